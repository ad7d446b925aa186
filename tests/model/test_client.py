"""The client against a real server on a loopback port, with every gap servers are known to have."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.model.client import MessagesClient
from gateway.model.contract import (
    Answer,
    ModelError,
    Part,
    Request,
    TextDelta,
    Thinking,
    ToolStart,
)
from gateway.settings import Endpoint as Settings
from gateway.settings import Models
from tests.model.endpoint import Endpoint, Reply, block, end, event, start, stream, text, tool

LISTEN = "127.0.0.1:8400"
SECRET = "sk-local-4711-secret"


def models(endpoint: Endpoint, silence: float = 20.0, **flags: Any) -> Models:
    settings = Settings.model_validate({"base_url": endpoint.url, "api_key": SECRET, **flags})
    return Models(endpoints={"local": settings}, silence_seconds=silence, connect_seconds=5.0)


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[MessagesClient]:
    made = MessagesClient(models(endpoint), listen=LISTEN, clock=SystemClock(), environ={})
    yield made
    await made.aclose()


def ask(**fields: Any) -> Request:
    base: dict[str, Any] = {
        "model": "test-model",
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
        "tools": [{"name": "bash", "description": "Run it.", "input_schema": {"type": "object"}}],
    }
    return Request(**{**base, **fields})


async def parts_of(client: MessagesClient, request: Request | None = None) -> list[Part]:
    parts: list[Part] = []
    with anyio.fail_after(30):
        async with aclosing(client.stream(request or ask())) as stream_:
            async for part in stream_:
                parts.append(part)  # noqa: PERF401 - kept when the stream breaks off
    return parts


async def answer_of(client: MessagesClient, request: Request | None = None) -> Answer:
    last = (await parts_of(client, request))[-1]
    assert isinstance(last, Answer)
    return last


async def failure_of(client: MessagesClient, request: Request | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await parts_of(client, request)
    assert SECRET not in caught.value.message
    return caught.value


async def test_text_streams_in_and_ends_as_one_answer(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[stream(text("Hel", "lo"))])]
    parts = await parts_of(client)
    assert parts[:2] == [TextDelta(0, "Hel"), TextDelta(0, "lo")]
    answer = parts[-1]
    assert isinstance(answer, Answer)
    assert answer.content == [{"type": "text", "text": "Hello"}]
    assert (answer.stop_reason, answer.endpoint, answer.model) == (
        "end_turn",
        "local",
        "test-model",
    )
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (10, 7)
    assert not answer.usage.estimated


async def test_thinking_keeps_its_signature_and_tools_their_input(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    thinking = block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Let me "},
        {"type": "thinking_delta", "thinking": "see."},
        {"type": "signature_delta", "signature": "c2ln"},
    )
    redacted = block(1, {"type": "redacted_thinking", "data": "b3BhcXVl"})
    call = tool(['{"comm', 'and": "ls"}'], index=2)
    endpoint.replies = [Reply(chunks=[stream(thinking, redacted, call, stop_reason="tool_use")])]
    parts = await parts_of(client)
    assert parts[:3] == [Thinking(0), Thinking(1), ToolStart("toolu_1", "bash")]
    answer = parts[-1]
    assert isinstance(answer, Answer)
    assert answer.content == [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}},
    ]
    assert answer.stop_reason == "tool_use"


async def test_the_request_carries_key_settings_and_cache_marks(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    await answer_of(client, ask(model="claude-opus-5-5", effort="high", max_tokens=999))
    asked = endpoint.requests[0]
    assert asked.path == "/v1/messages"
    assert asked.headers["authorization"] == f"Bearer {SECRET}"
    assert "x-api-key" not in asked.headers
    assert asked.headers["x-stainless-retry-count"] == "0"
    assert asked.body["max_tokens"] == 999
    assert asked.body["output_config"] == {"effort": "high"}
    assert asked.body["stream"] is True
    assert asked.body["system"][0]["cache_control"] == {"type": "ephemeral"}


async def test_fast_mode_is_asked_for_with_its_beta(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[stream(text("Quick"), speed="fast")])]
    answer = await answer_of(client, ask(model="claude-opus-5-5", speed="fast", inference_geo="us"))
    asked = endpoint.requests[0]
    assert asked.body["speed"] == "fast"
    assert asked.body["inference_geo"] == "us"
    assert asked.headers["anthropic-beta"] == "fast-mode-2026-02-01"
    assert (answer.usage.speed, answer.usage.inference_geo) == ("fast", "us")


async def test_a_key_may_go_as_x_api_key_with_headers_of_the_operator(endpoint: Endpoint) -> None:
    settings = models(endpoint, auth_header="x-api-key", headers={"X-Team": "harbour"})
    client = MessagesClient(settings, listen=LISTEN, clock=SystemClock(), environ={})
    await answer_of(client)
    await client.aclose()
    headers = endpoint.requests[0].headers
    assert headers["x-api-key"] == SECRET
    assert headers["x-team"] == "harbour"
    assert "authorization" not in headers


async def test_an_endpoint_without_a_key_gets_none_of_the_environments_secrets(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-of-someone-else")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Private: for-anthropic")
    client = MessagesClient(models(endpoint, api_key=None), listen=LISTEN, clock=SystemClock())
    await answer_of(client)
    await client.aclose()
    headers = endpoint.requests[0].headers
    assert "authorization" not in headers
    assert "x-api-key" not in headers
    assert "x-private" not in headers


async def test_without_configuration_the_sdks_environment_is_used(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {
        "ANTHROPIC_BASE_URL": endpoint.url,
        "ANTHROPIC_API_KEY": "sk-ant-1",
        "ANTHROPIC_CUSTOM_HEADERS": "X-Team: harbour\nX-Route: b",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    client = MessagesClient(Models(), listen=LISTEN, clock=SystemClock())
    answer = await answer_of(client, ask(model="claude-haiku-4-5"))
    await client.aclose()
    headers = endpoint.requests[0].headers
    assert "sk-ant-1" in (headers.get("authorization", "") + headers.get("x-api-key", ""))
    assert (headers["x-team"], headers["x-route"]) == ("harbour", "b")
    assert answer.endpoint == "environment"


async def test_an_auth_token_of_the_environment_goes_as_bearer(endpoint: Endpoint) -> None:
    environ = {"ANTHROPIC_BASE_URL": endpoint.url, "ANTHROPIC_AUTH_TOKEN": "token-1"}
    client = MessagesClient(Models(), listen=LISTEN, clock=SystemClock(), environ=environ)
    await answer_of(client)
    await client.aclose()
    assert endpoint.requests[0].headers["authorization"] == "Bearer token-1"


async def test_no_endpoint_at_all_says_which_variables_to_set() -> None:
    client = MessagesClient(Models(), listen=LISTEN, clock=SystemClock(), environ={})
    error = await failure_of(client)
    assert (error.kind, error.retryable) == ("billing", False)
    assert "ANTHROPIC_API_KEY" in error.message
    assert "ANTHROPIC_BASE_URL" in error.message


async def test_a_model_nobody_serves_is_named(endpoint: Endpoint) -> None:
    settings = models(endpoint, models=["qwen*"])
    client = MessagesClient(settings, listen=LISTEN, clock=SystemClock(), environ={})
    error = await failure_of(client, ask(model="llama-9"))
    assert (error.kind, error.retryable) == ("request_failed", False)
    assert "llama-9" in error.message


@pytest.mark.parametrize("variable", ["ANTHROPIC_BASE_URL", "config"])
def test_the_gateways_own_address_is_refused_as_an_endpoint(variable: str) -> None:
    url = "http://localhost:8400"
    settings = Models(endpoints={"loop": Settings(base_url=url)} if variable == "config" else {})
    environ = {variable: url} if variable != "config" else {}
    with pytest.raises(ConfigError, match="own address"):
        MessagesClient(settings, listen=LISTEN, clock=SystemClock(), environ=environ)


@pytest.mark.parametrize(
    ("status", "body", "kind", "retryable"),
    [
        (400, {"error": {"message": "max_tokens: must be positive"}}, "request_failed", False),
        (400, {"error": {"message": "prompt is too long: 9 tokens"}}, "context_overflow", False),
        (400, {"object": "error", "message": "maximum context length"}, "context_overflow", False),
        (400, {"error": "context_length_exceeded"}, "context_overflow", False),
        (401, {"error": {"message": f"bad key {SECRET}"}}, "billing", False),
        (402, {"error": {"message": "no money"}}, "billing", False),
        (403, {"error": {"message": "no"}}, "billing", False),
        (404, {"error": {"message": "no such model"}}, "request_failed", False),
        (408, {}, "request_failed", True),
        (409, {}, "request_failed", True),
        (413, {"error": {"message": "too large"}}, "context_overflow", False),
        (422, {"detail": [{"msg": "bad"}]}, "request_failed", False),
        (429, {"error": {"message": "slow down"}}, "rate_limited", True),
        (500, {"error": {"message": f"oops {SECRET}"}}, "request_failed", True),
        (502, None, "request_failed", True),
        (503, {}, "overloaded", True),
        (529, {"error": {"message": "busy"}}, "overloaded", True),
    ],
)
async def test_each_refusal_has_its_kind(
    endpoint: Endpoint,
    client: MessagesClient,
    *,
    status: int,
    body: dict[str, Any] | None,
    kind: str,
    retryable: bool,
) -> None:
    raw = b"<html>Bad gateway</html>" if body is None else json.dumps(body).encode()
    endpoint.replies = [Reply(chunks=[raw], status=status, content_type="application/json")]
    error = await failure_of(client)
    assert (error.kind, error.retryable) == (kind, retryable)
    assert f"HTTP {status}" in error.message
    assert len(endpoint.requests) == 1, "retries belong to the session"


async def test_retry_after_is_passed_on(endpoint: Endpoint, client: MessagesClient) -> None:
    endpoint.replies = [Reply(status=429, headers={"retry-after": "7"})]
    assert (await failure_of(client)).retry_after == 7.0


async def test_an_error_page_that_is_not_json_is_an_error_like_any_other(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[b"<html>\xff nginx"], status=504, content_type="text/html")]
    error = await failure_of(client)
    assert (error.kind, error.retryable) == ("request_failed", True)


async def test_a_redirect_is_not_followed_with_the_key(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(status=307, headers={"location": f"{endpoint.url}/v1/messages"})]
    error = await failure_of(client)
    assert (error.kind, error.retryable) == ("request_failed", False)
    assert len(endpoint.requests) == 1


async def test_a_stream_cut_in_the_middle_may_be_tried_again(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[start(), text("Hel")], cut=True)]
    error = await failure_of(client)
    assert (error.kind, error.retryable) == ("request_failed", True)


async def test_a_stream_that_ends_early_without_a_word_may_be_tried_again(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[start(), text("Hel")]), Reply()]
    for _ in range(2):
        error = await failure_of(client)
        assert (error.kind, error.retryable) == ("request_failed", True)


@pytest.mark.parametrize("said", [[], [start(), event("ping")]])
async def test_silence_ends_at_its_deadline(endpoint: Endpoint, said: list[bytes]) -> None:
    endpoint.replies = [Reply(chunks=said, hang=True)]
    settings = models(endpoint, silence=0.2)
    client = MessagesClient(settings, listen=LISTEN, clock=SystemClock(), environ={})
    error = await failure_of(client)
    await client.aclose()
    assert (error.kind, error.retryable) == ("request_failed", True)
    assert "silent for 0.2 seconds" in error.message


async def test_an_answer_that_is_whole_does_not_wait_for_the_connection_to_end(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[stream(text("Hello"))], hang=True)]
    with anyio.fail_after(10):
        assert (await answer_of(client)).content[0]["text"] == "Hello"


async def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    settings = Models(endpoints={"gone": Settings(base_url="http://127.0.0.1:9")})
    client = MessagesClient(settings, listen=LISTEN, clock=SystemClock(), environ={})
    error = await failure_of(client)
    await client.aclose()
    assert (error.kind, error.retryable) == ("request_failed", True)
    assert "cannot be reached" in error.message


@pytest.mark.parametrize(
    ("type_", "kind", "retryable"),
    [
        ("overloaded_error", "overloaded", True),
        ("rate_limit_error", "rate_limited", True),
        ("api_error", "request_failed", True),
        ("invalid_request_error", "request_failed", False),
        ("something_new", "request_failed", True),
    ],
)
async def test_an_error_in_the_middle_of_a_stream_has_its_kind(
    endpoint: Endpoint, client: MessagesClient, *, type_: str, kind: str, retryable: bool
) -> None:
    error = event("error", error={"type": type_, "message": f"sorry {SECRET}"})
    endpoint.replies = [Reply(chunks=[start() + error])]
    raised = await failure_of(client)
    assert (raised.kind, raised.retryable) == (kind, retryable)


async def test_a_request_can_be_cancelled_while_the_model_is_silent(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[start(), text("Hel")], hang=True), Reply(chunks=[])]
    heard: list[Part] = []
    with anyio.fail_after(10), anyio.CancelScope() as scope:
        async with aclosing(client.stream(ask())) as stream_:
            async for part in stream_:
                heard.append(part)
                scope.cancel()
    assert heard == [TextDelta(0, "Hel")]
    endpoint.replies = [Reply(chunks=[stream(text("Again"))])]
    assert (await answer_of(client)).content[0]["text"] == "Again"


async def test_many_requests_share_the_client(endpoint: Endpoint, client: MessagesClient) -> None:
    answers: list[Answer] = []

    async def one() -> None:
        answers.append(await answer_of(client))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(one)
    assert [answer.content[0]["text"] for answer in answers] == ["Hello"] * 8


async def test_a_server_that_does_not_stream_is_understood(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    message = {
        "type": "message",
        "content": [
            {"type": "text", "text": "Whole"},
            {"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    raw = json.dumps(message).encode()
    endpoint.replies = [Reply(chunks=[raw[:20], raw[20:]], content_type="application/json")]
    parts = await parts_of(client)
    assert parts[0] == TextDelta(0, "Whole")
    answer = parts[-1]
    assert isinstance(answer, Answer)
    assert answer.content[1]["input"] == {"command": "ls"}
    assert answer.usage.output_tokens == 4


async def test_an_answer_without_an_end_is_refused_before_it_fills_the_memory(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    endpoint.replies = [Reply(chunks=[start(), b"data: ", *([b"x" * 2**20] * 17)], hang=True)]
    error = await failure_of(client)
    assert (error.kind, error.retryable) == ("request_failed", False)


async def test_text_that_cannot_be_sent_is_said_so(client: MessagesClient) -> None:
    request = ask(messages=[{"role": "user", "content": "half a pair: \ud800"}])
    error = await failure_of(client, request)
    assert (error.kind, error.retryable) == ("request_failed", False)


async def test_a_closed_client_can_be_used_again(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    await answer_of(client)
    await client.aclose()
    assert (await answer_of(client)).stop_reason == "end_turn"


async def test_pings_and_unknown_events_are_passed_over(
    endpoint: Endpoint, client: MessagesClient
) -> None:
    noise = event("ping") + event("weather", sky="blue") + b": comment\n\ndata: [DONE]\n\n"
    endpoint.replies = [Reply(chunks=[start(), noise, text("Hi"), noise, end()])]
    assert (await answer_of(client)).content == [{"type": "text", "text": "Hi"}]
