"""Which endpoint serves which model, and which URL is the gateway's own."""

from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.model.endpoints import Endpoints, is_self
from gateway.settings import Endpoint, Models

LISTEN = "127.0.0.1:8400"


def endpoints(environ: dict[str, str] | None = None, **named: dict[str, Any]) -> Endpoints:
    made = {
        name: Endpoint.model_validate({"base_url": f"http://{name}.test", **fields})
        for name, fields in named.items()
    }
    return Endpoints(Models(endpoints=made), listen=LISTEN, environ=environ or {})


def test_a_whole_id_beats_a_prefix_and_a_prefix_beats_the_rest() -> None:
    found = endpoints(
        rest={},
        wide={"models": ["qwen*"]},
        narrow={"models": ["qwen3-coder*"]},
        exact={"models": ["qwen3-coder-30b"]},
    )
    serves = {
        "qwen3-coder-30b": "exact",
        "qwen3-coder-480b": "narrow",
        "qwen2": "wide",
        "llama": "rest",
    }
    for model, name in serves.items():
        route = found.route(model)
        assert route is not None
        assert route.name == name


def test_the_environment_serves_what_no_configured_endpoint_does() -> None:
    found = endpoints({"ANTHROPIC_API_KEY": "k"}, local={"models": ["qwen*"]})
    claude, qwen = found.route("claude-opus-5-5"), found.route("qwen3")
    assert claude is not None
    assert qwen is not None
    assert (claude.name, claude.base_url) == ("environment", "https://api.anthropic.com")
    assert qwen.name == "local"


def test_a_configured_catch_all_comes_before_the_environment() -> None:
    route = endpoints({"ANTHROPIC_API_KEY": "k"}, local={}).route("claude-opus-5-5")
    assert route is not None
    assert route.name == "local"


def test_nothing_at_all_serves_nothing() -> None:
    assert not endpoints()
    assert endpoints().route("claude-opus-5-5") is None
    assert endpoints().capabilities("claude-opus-5-5").endpoint == ""


def test_sizes_of_claude_models_are_known_unless_configured() -> None:
    found = endpoints({"ANTHROPIC_API_KEY": "k"}, small={"models": ["claude-x"]})
    assert found.capabilities("claude-opus-5-5").max_input_tokens == 1_000_000
    assert found.capabilities("claude-haiku-4-5").max_tokens == 64_000
    assert found.capabilities("claude-x").max_input_tokens == 200_000
    limited = endpoints(e={"max_input_tokens": 50_000, "images": False})
    able = limited.capabilities("claude-opus-5-5")
    assert (able.max_input_tokens, able.max_tokens) == (50_000, 128_000)
    assert not able.images


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-from-file\n", encoding="utf-8")
    route = endpoints(local={"api_key_file": path}).route("m")
    assert route is not None
    assert route.key == "sk-from-file"
    assert "sk-from-file" not in repr(route)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"local.api_key_file.*No such file"):
        endpoints(local={"api_key_file": tmp_path / "none"})


@pytest.mark.parametrize("url", ["ftp://x", "localhost:11434", "http://"])
def test_an_endpoint_needs_an_http_url(url: str) -> None:
    with pytest.raises(ConfigError, match=r"local.base_url must be"):
        endpoints(local={"base_url": url})


@pytest.mark.parametrize(
    ("url", "listen", "own"),
    [
        ("http://127.0.0.1:8400", "127.0.0.1:8400", True),
        ("http://localhost:8400/", "127.0.0.1:8400", True),
        ("http://[::1]:8400", "127.0.0.1:8400", True),
        ("http://127.8.8.8:8400/v1", "0.0.0.0:8400", True),
        ("http://0.0.0.0:8400", "[::]:8400", True),
        ("http://LOCALHOST:8400", "localhost:8400", True),
        ("http://gateway.example:8400", "gateway.example:8400", True),
        ("http://localhost", "127.0.0.1:80", True),
        ("https://localhost", "127.0.0.1:443", True),
        ("http://localhost:11434", "127.0.0.1:8400", False),
        ("http://10.0.0.7:8400", "127.0.0.1:8400", False),
        ("http://127.0.0.1:8400", "10.0.0.7:8400", False),
        ("https://api.anthropic.com", "0.0.0.0:443", False),
        ("http://localhost:99999", "127.0.0.1:8400", False),
        ("not a url", "127.0.0.1:8400", False),
    ],
)
def test_the_gateways_own_address_is_known_by_any_name(url: str, listen: str, own: bool) -> None:
    assert is_self(url, listen) is own
