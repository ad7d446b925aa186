"""What requests and running time cost at list price, exactly, in US cents (spec/core 8.6).

The built-in table holds Anthropic's public prices; the operator's own override it, id by id. An
id in neither has no price, and sessions that could use it cannot have a budget.
"""

from dataclasses import dataclass
from decimal import Decimal

from gateway.model.contract import Usage
from gateway.settings import Models, Price

_CENTS_PER_TOKEN = Decimal(1) / 10_000
"""A dollar for a million tokens is this many cents for one."""
_WEB_SEARCH_CENTS = Decimal(1)
_US_ONLY = Decimal("1.1")
_FAST = 2
_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rate:
    """US dollars for a million tokens. Cache writes cost 1.25 and 2 times the input."""

    input: str
    output: str
    read: str
    long_prompt: int | None = None
    """Prompts of more tokens than this cost five times as much, throughout."""

    def price(self, prompt_tokens: int) -> "_Exact":
        long = self.long_prompt is not None and prompt_tokens > self.long_prompt
        factor = 5 if long else 1
        base = Decimal(self.input) * factor
        return _Exact(
            input=base,
            output=Decimal(self.output) * factor,
            read=Decimal(self.read) * factor,
            write_5m=base * Decimal("1.25"),
            write_1h=base * 2,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exact:
    input: Decimal
    output: Decimal
    read: Decimal
    write_5m: Decimal
    write_1h: Decimal


_OPUS_4 = _Rate(input="5", output="25", read="0.50")
_SONNET_4 = _Rate(input="3", output="15", read="0.30")
_HAIKU_4 = _Rate(input="1", output="5", read="0.10")

# Anthropic's public price list of November 2026.
_LIST: dict[str, _Rate] = {
    "claude-fable-5-2": _Rate(input="8", output="40", read="0.20"),
    "claude-haiku-5-5": _Rate(input="0.10", output="0.50", read="0.01", long_prompt=100_000),
    "claude-sonnet-5-5": _Rate(input="2", output="10", read="0.20"),
    "claude-opus-5-5": _Rate(input="4", output="20", read="0.20"),
    "claude-fable-5-1": _Rate(input="10", output="50", read="0.25"),
    "claude-sonnet-5": _Rate(input="2", output="10", read="0.20"),
    "claude-fable-5": _Rate(input="10", output="50", read="1"),
    "claude-opus-5": _Rate(input="5", output="25", read="0.50"),
    "claude-opus-4-8": _OPUS_4,
    "claude-opus-4-7": _OPUS_4,
    "claude-opus-4-6": _OPUS_4,
    "claude-sonnet-4-6": _SONNET_4,
    "claude-haiku-4-5": _HAIKU_4,
    "claude-haiku-4-5-20251001": _HAIKU_4,
    "claude-opus-4-5": _OPUS_4,
    "claude-opus-4-5-20251101": _OPUS_4,
    "claude-sonnet-4-5": _SONNET_4,
    "claude-sonnet-4-5-20250929": _SONNET_4,
}


class Prices:
    """The price list of one gateway."""

    def __init__(self, models: Models) -> None:
        self._own = {model: _exact(price) for model, price in models.prices.items()}
        self._hour = Decimal(str(models.runtime_price_hour)) * 100

    def priced(self, model: str) -> bool:
        return model in self._own or model in _LIST

    def cents(self, model: str, usage: Usage) -> Decimal | None:
        """The cost of one request; None for a model without a price."""
        rate = self._own.get(model)
        if rate is None and model in _LIST:
            rate = _LIST[model].price(usage.prompt_tokens)
        if rate is None:
            return None
        dollars = (
            rate.input * usage.input_tokens
            + rate.output * usage.output_tokens
            + rate.read * usage.cache_read_input_tokens
            + rate.write_5m * usage.cache_creation_5m
            + rate.write_1h * usage.cache_creation_1h
        )
        if usage.speed == "fast":
            dollars *= _FAST
        if usage.inference_geo == "us":
            dollars *= _US_ONLY
        return dollars * _CENTS_PER_TOKEN + _WEB_SEARCH_CENTS * usage.web_search_requests

    def runtime_cents(self, active_micros: int) -> Decimal:
        """The cost of running time, in microseconds, metered in whole milliseconds."""
        return self._hour * (active_micros // 1000 * 1000) / _HOUR


def _exact(price: Price) -> _Exact:
    return _Exact(
        input=Decimal(str(price.input)),
        output=Decimal(str(price.output)),
        read=Decimal(str(price.cache_read)),
        write_5m=Decimal(str(price.cache_write_5m)),
        write_1h=Decimal(str(price.cache_write_1h)),
    )
