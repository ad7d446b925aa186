"""Around every request: ids, headers, envelopes, the log, and faults of ours."""

import json
import re
from pathlib import Path
from typing import Any

import anyio
import pytest
from anthropic import Anthropic
from httpx2 import Client
from structlog.testing import capture_logs

from gateway.api.context import Stream
from gateway.api.exchange import Exchange
from gateway.api.middleware import supervised
from gateway.clock import SystemClock
from gateway.errors import ApiError, Internal, Overloaded, RateLimited
from tests.api.building import make_session
from tests.gateway import MODEL, Tenant, serve
from tests.ledger.requirement import requirement

REQUEST_ID = re.compile(r"req_01[0-9A-Za-z]{22}")


@requirement("transport:response:request-id", "errors:envelope:shape", "errors:envelope:details")
def test_every_answer_has_an_id_and_errors_repeat_it(raw: Client, tenant: Tenant):
    seen: set[str] = set()
    for path, status in (("/v1/agents", 200), ("/v1/agents/agent_01none", 404), ("/nowhere", 404)):
        answer = raw.get(path)
        found = answer.headers["request-id"]
        assert REQUEST_ID.fullmatch(found)
        seen.add(found)
        assert answer.status_code == status
        if status != 200:
            body = answer.json()
            assert set(body) == {"type", "error", "request_id"}
            assert (body["type"], body["request_id"]) == ("error", found)
            assert set(body["error"]) == {"type", "message"}
    assert len(seen) == 3


@requirement("transport:response:status-200", "transport:response:accept")
def test_every_success_is_200_json_whatever_is_accepted(raw: Client):
    made = raw.post("/v1/environments", json={"name": "Plain"}, headers={"accept": "text/html"})
    gone = raw.delete(f"/v1/environments/{made.json()['id']}", headers={"accept": "image/png"})
    for answer in (made, gone):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-length"] == str(len(answer.content))


@requirement("transport:response:timestamps", "transport:response:no-extras")
def test_instants_are_utc_and_nothing_private_is_shown(raw: Client, client: Anthropic):
    session = make_session(client)
    shown = [
        raw.get(f"/v1/agents/{session.agent.id}"),
        raw.get(f"/v1/environments/{session.environment_id}"),
        raw.get(f"/v1/sessions/{session.id}"),
        raw.get(f"/v1/sessions/{session.id}/threads"),
    ]
    for answer in shown:
        for instant in re.findall(r'"(?:created|updated)_at":"([^"]+)"', answer.text):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", instant)
        for private in ("environment_type", "agent_form", 'networking":null', "active_micros"):
            assert private not in answer.text


@requirement("transport:response:every-field")
def test_every_field_of_the_sdks_models_is_there(client: Anthropic):
    session = make_session(client)
    agent = client.beta.agents.retrieve(session.agent.id)
    environment = client.beta.environments.retrieve(session.environment_id)
    (thread,) = client.beta.sessions.threads.list(session.id)
    for shown in (session, session.agent, session.usage, session.stats, agent, environment, thread):
        assert shown.model_fields_set == set(type(shown).model_fields)


@requirement("transport:version:known", "transport:version:missing", "transport:version:invalid")
@pytest.mark.parametrize(
    ("version", "status"),
    [("2026-10-21", 200), ("2023-06-01", 200), (None, 200), ("latest", 400), ("2026-13-01", 400)],
)
def test_a_version_is_a_date_or_absent(raw: Client, version: str | None, status: int):
    headers = {"anthropic-version": version} if version else {}
    assert raw.get("/v1/agents", headers=headers).status_code == status


@requirement("transport:beta:lenient", "transport:query:beta-flag")
@pytest.mark.parametrize("headers", [{}, {"anthropic-beta": "some-other-2020-01-01"}])
def test_a_missing_beta_value_is_forgiven(raw: Client, headers: dict[str, str]):
    assert raw.get("/v1/agents?beta=true", headers=headers).status_code == 200


@requirement("transport:beta:strict", "transport:beta:list")
def test_under_strict_betas_only_those_who_ask_are_served(tmp_path: Path):
    with serve(tmp_path, {"server": {"strict_betas": True}}) as running:
        tenant = running.tenant()
        with tenant.raw() as http, tenant.client() as client:
            refused = http.get("/v1/agents")
            assert refused.status_code == 404
            assert "managed-agents-2026-04-01" in refused.json()["error"]["message"]
            lines = [("anthropic-beta", "a, b"), ("anthropic-beta", "c,managed-agents-2026-04-01")]
            assert http.get("/v1/agents", headers=lines).status_code == 200
            assert http.get("/v1/models").status_code == 200
            assert list(client.beta.agents.list(betas=["another"])) == []


def test_the_log_has_one_line_for_each_request_and_no_secrets(tenant: Tenant):
    with capture_logs() as lines, tenant.raw() as http:
        http.post("/v1/agents?token=hush", json={"name": "whisper", "model": MODEL})
        answer = http.get("/v1/agents/agent_01none")
    mine = [line for line in lines if line.get("workspace") == tenant.workspace]
    assert [(m["event"], m["method"], m["path"], m["status"]) for m in mine] == [
        ("request", "POST", "/v1/agents", 200),
        ("request", "GET", "/v1/agents/agent_01none", 404),
    ]
    assert mine[1]["request_id"] == answer.headers["request-id"]
    assert mine[1]["ms"] >= 0
    for secret in (tenant.key, "hush", "whisper"):
        assert secret not in str(lines)


class Wire:
    """Both ends of one request without a server: what was sent back, in order."""

    def __init__(self, serve: Any, *, leaves: bool = False) -> None:
        self.sent: list[dict[str, Any]] = []
        self._app = supervised(serve, SystemClock())
        self._leaves = leaves

    async def ask(self) -> None:
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        await self._app(scope, self.receive, self._send)

    async def receive(self) -> dict[str, Any]:
        if self._leaves:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def body(self) -> Any:
        return json.loads(b"".join(m.get("body", b"") for m in self.sent))


class Patient(Wire):
    """A client that waits for whatever comes."""

    async def receive(self) -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError


@requirement("errors:class:internal")
async def test_a_fault_of_ours_is_a_500_that_tells_nothing_and_is_logged():
    async def serve(exchange: Exchange) -> None:
        raise RuntimeError("the secret of the house")

    wire = Wire(serve)
    with capture_logs() as lines:
        await wire.ask()
    assert wire.sent[0]["status"] == 500
    assert wire.body["error"]["type"] == "api_error"
    assert "secret" not in str(wire.sent)
    failed = next(line for line in lines if line["event"] == "request failed")
    assert failed["request_id"] == wire.body["request_id"]
    assert failed["exc_info"]


@requirement("errors:retry:rate-limit")
@pytest.mark.parametrize("kind", [RateLimited, Overloaded])
async def test_a_client_is_told_when_to_come_back(kind: type[ApiError]):
    async def serve(exchange: Exchange) -> None:
        raise kind("Too much.")

    wire = Wire(serve)
    await wire.ask()
    headers = dict(wire.sent[0]["headers"])
    assert float(headers[b"retry-after"]) > 0


async def test_a_stream_that_fails_says_so_in_its_last_event():
    async def chunks():
        yield b"event: ping\ndata: {}\n\n"
        raise Internal("Broken.")

    async def serve(exchange: Exchange) -> None:
        await exchange.answer(Stream(chunks()))

    wire = Patient(serve)
    with capture_logs():
        await wire.ask()
    last = wire.sent[-1]
    assert last["body"].startswith(b"event: error\ndata: ")
    assert not last["more_body"]


async def test_a_client_that_leaves_in_the_middle_of_its_request_is_no_error():
    async def serve(exchange: Exchange) -> None:
        await exchange.receive()

    wire = Wire(serve, leaves=True)
    with capture_logs() as lines:
        await wire.ask()
    assert wire.sent == []
    assert [(line["event"], line["status"]) for line in lines] == [("request", 499)]


async def test_a_stream_ends_when_its_client_goes():
    closed = anyio.Event()

    async def chunks():
        try:
            await anyio.sleep_forever()
            yield b""
        finally:
            closed.set()

    async def serve(exchange: Exchange) -> None:
        await exchange.answer(Stream(chunks()))

    with anyio.fail_after(5):
        await Wire(serve, leaves=True).ask()
    assert closed.is_set()
