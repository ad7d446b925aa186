"""Exact list prices."""

from decimal import Decimal

import pytest

from gateway.model.catalogue import Catalogue
from gateway.model.contract import Usage
from gateway.model.price import Prices
from gateway.settings import Models, Price

PRICES = Prices(Models())


def cents(model: str, **counts: object) -> Decimal | None:
    return PRICES.cents(model, Usage(**counts))  # pyright: ignore[reportArgumentType] - by name


@pytest.mark.parametrize(
    ("model", "counts", "expected"),
    [
        ("claude-opus-5-5", {"input_tokens": 1_000_000}, "400"),
        ("claude-opus-5-5", {"output_tokens": 1_000_000}, "2000"),
        ("claude-opus-5-5", {"cache_read_input_tokens": 1_000_000}, "20"),
        ("claude-opus-5-5", {"cache_creation_5m": 1_000_000}, "500"),
        ("claude-opus-5-5", {"cache_creation_1h": 1_000_000}, "800"),
        ("claude-opus-5-5", {"input_tokens": 1_000_000, "speed": "fast"}, "800"),
        ("claude-opus-5-5", {"input_tokens": 1_000_000, "inference_geo": "us"}, "440"),
        ("claude-opus-5-5", {"web_search_requests": 3, "inference_geo": "us"}, "3"),
        ("claude-haiku-4-5", {"input_tokens": 1, "output_tokens": 1}, "0.0006"),
        ("claude-haiku-5-5", {"input_tokens": 100_000}, "1"),
        ("claude-haiku-5-5", {"input_tokens": 1, "cache_read_input_tokens": 100_000}, "0.50005"),
        ("claude-haiku-5-5", {}, "0"),
    ],
)
def test_a_request_costs_its_list_price_exactly(
    model: str, counts: dict[str, object], expected: str
) -> None:
    assert cents(model, **counts) == Decimal(expected)


def test_every_claude_model_has_a_price() -> None:
    assert all(PRICES.priced(entry["id"]) for entry in Catalogue(Models()).entries())


def test_a_model_without_a_price_is_not_free_but_unpriced() -> None:
    assert not PRICES.priced("qwen3")
    assert cents("qwen3", input_tokens=1) is None


def test_the_operators_prices_come_first() -> None:
    own = Price(input=0.1, output=0.3, cache_read=0.01)
    prices = Prices(Models(prices={"qwen3": own, "claude-opus-5-5": own}))
    assert prices.priced("qwen3")
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000, cache_read_input_tokens=1_000)
    assert prices.cents("qwen3", usage) == Decimal("40.001")
    assert prices.cents("claude-opus-5-5", usage) == Decimal("40.001")


def test_running_time_is_metered_in_milliseconds_and_free_by_default() -> None:
    assert PRICES.runtime_cents(3_600_000_000) == 0
    prices = Prices(Models(runtime_price_hour=0.08))
    assert prices.runtime_cents(3_600_000_000) == 8
    assert prices.runtime_cents(999) == 0
