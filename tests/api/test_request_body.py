"""Bodies as they come over the wire: empty, broken, too large, packed."""

import gzip
import json
import socket
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest
from httpx2 import Client

from gateway.api import body as request_body
from gateway.api.exchange import Exchange
from gateway.errors import InvalidRequest
from tests.gateway import MODEL, SECONDS, Tenant, serve
from tests.ledger.requirement import requirement

AGENT = {"name": "Ada", "model": MODEL}
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Generator[Tenant]:
    """A gateway that takes little."""
    settings = {"server": {"max_body": LIMIT}}
    with serve(tmp_path_factory.mktemp("small"), settings) as running:
        yield running.tenant()


def _message(answer: Any, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def _code(answer: Any) -> str:
    return answer.json()["error"]["details"]["error_code"]


@requirement("transport:body:empty")
@pytest.mark.parametrize("body", [b"", b"{}", b" \n"])
def test_an_action_needs_no_body(raw: Client, body: bytes):
    agent = raw.post("/v1/agents", json=AGENT).json()
    headers = {"content-type": "application/json"}
    path = f"/v1/agents/{agent['id']}"
    assert raw.post(f"{path}/archive", content=body, headers=headers).status_code == 200
    environment = raw.post("/v1/environments", json={"name": "Plain"}).json()
    path = f"/v1/environments/{environment['id']}"
    assert raw.request("DELETE", path, content=body, headers=headers).status_code == 200


@requirement("transport:body:malformed", "transport:body:unstorable")
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b'{"name": "\xff"}',
        b'{"name": "a", "name": "b"}',
        b'{"metadata": {"a": "1", "a": "2"}}',
        b'{"name": NaN}',
        b'{"name": "\\u0000"}',
        b'{"name": "\\ud800"}',
        b'{"name":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"name": 1e999}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b"name=Ada",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_what_is_no_clean_json_object_is_refused(raw: Client, body: bytes):
    assert _message(raw.post("/v1/agents", content=body))
    assert raw.get("/v1/agents").json()["data"] == []


@requirement("transport:body:unknown-field", "errors:message:path", "errors:message:several")
def test_mistakes_are_told_by_their_paths(raw: Client):
    tools = [{"type": "agent_toolset_20260401", "configs": [{"name": "bash", "nmae": 1}]}]
    message = _message(
        raw.post("/v1/agents", json={"name": 5, "model": MODEL, "tools": tools, "colour": "red"})
    )
    assert "name: Input should be a valid string" in message
    assert "tools.0.configs.0.nmae: " in message
    assert "colour: " in message


@requirement("transport:body:wrong-type")
@pytest.mark.parametrize("value", [1, True, ["Ada"], {"a": 1}, None])
def test_nothing_is_coerced(raw: Client, value: object):
    assert _message(raw.post("/v1/agents", json={**AGENT, "name": value})).startswith("name: ")


@requirement("transport:body:relaxed")
def test_an_operator_can_have_unknown_fields_ignored(tmp_path: Path):
    with (
        serve(tmp_path, {"server": {"strict_bodies": False}}) as running,
        running.tenant().raw() as http,
    ):
        agent = http.post("/v1/agents", json={**AGENT, "colour": "red"}).json()
        assert (agent["name"], "colour" in agent) == ("Ada", False)


@requirement("transport:body:too-large")
@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "in chunks"])
def test_a_body_above_the_limit_is_too_large(small: Tenant, chunked: bool):
    body = json.dumps({**AGENT, "system": "s" * LIMIT}).encode()
    with small.raw() as http:
        answer = http.post("/v1/agents", content=iter([body[:9], body[9:]]) if chunked else body)
        assert _message(answer, 413)
        assert answer.json()["error"]["type"] == "request_too_large"
        assert http.post("/v1/agents", json=AGENT).status_code == 200


def test_a_body_at_the_limit_is_taken(small: Tenant):
    body = json.dumps(AGENT).encode()
    with small.raw() as http:
        answer = http.post("/v1/agents", content=body + b" " * (LIMIT - len(body)))
        assert answer.status_code == 200


def test_a_packed_body_is_unpacked(raw: Client):
    # Long enough to be unpacked beside the event loop, and not compressible.
    noise = "".join(f"{zlib.crc32(str(n).encode()):08x}" for n in range(12_000))[:90_000]
    for body in (AGENT, {**AGENT, "system": noise}):
        packed = gzip.compress(json.dumps(body).encode())
        answer = raw.post("/v1/agents", content=packed, headers={"content-encoding": "gzip"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["system"] == body.get("system")


@pytest.mark.parametrize(
    "packed",
    [b"{}", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"more", b""],
    ids=["plain", "cut", "followed", "empty"],
)
def test_what_cannot_be_unpacked_is_refused(raw: Client, packed: bytes):
    answer = raw.post("/v1/agents", content=packed, headers={"content-encoding": "gzip"})
    assert _message(answer)
    assert _code(answer) == "request_body_encoding_invalid"


def test_a_small_body_that_unpacks_to_a_large_one_is_too_large(small: Tenant):
    bomb = gzip.compress(b" " * 50_000_000)
    with small.raw() as http:
        answer = http.post("/v1/agents", content=bomb, headers={"content-encoding": "gzip"})
    assert _message(answer, 413)
    assert _code(answer) == "request_body_too_large_after_decoding"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "zstd"])
def test_other_encodings_are_refused(raw: Client, encoding: str):
    answer = raw.post("/v1/agents", content=b"{}", headers={"content-encoding": encoding})
    assert _message(answer)
    assert _code(answer) == "request_body_encoding_unsupported"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ('application/json; charset="UTF-8"', 200),
        ("text/plain", 200),
        ("application/x-www-form-urlencoded", 200),
        ("application/json; charset=utf-16", 400),
    ],
)
def test_json_is_read_whatever_it_is_called_but_only_in_utf_8(
    raw: Client, content_type: str, status: int
):
    body = json.dumps(AGENT)
    answer = raw.post("/v1/agents", content=body, headers={"content-type": content_type})
    assert answer.status_code == status
    assert status == 200 or _code(answer) == "unsupported_charset"


def test_a_client_that_leaves_in_the_middle_of_a_body_harms_nobody(tenant: Tenant):
    host, port = tenant.url.removeprefix("http://").split(":")
    head = f"POST /v1/agents HTTP/1.1\r\nhost: x\r\nx-api-key: {tenant.key}\r\ncontent-length: 99\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(head.encode() + b'{"name"')
    with tenant.raw() as http:
        assert http.get("/v1/agents").json()["data"] == []


async def test_a_body_that_stops_coming_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_body, "SILENCE", 0.01)
    parts = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> dict[str, Any]:
        for part in parts:
            return part
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"method": "POST", "path": "/", "query_string": b"", "headers": []}
    with pytest.raises(InvalidRequest) as refusal, anyio.fail_after(SECONDS):
        await request_body.read(Exchange(scope, receive, send, "req_01"), LIMIT)
    assert refusal.value.code == "request_body_timeout"
