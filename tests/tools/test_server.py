"""The MCP client half, against servers that keep to the protocol and servers that do not."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from gateway.tools.server import MAX_LINE, MAX_PARTS, ProtocolError, ToolServer
from sandbox.contract import SandboxGone

Message = dict[str, Any]
Answer = Callable[["Wire", Message], Awaitable[None]]


class Wire:
    """Both ends of a byte stream in memory; this end is the gateway's channel."""

    def __init__(self) -> None:
        self.out, self._sent = anyio.create_memory_object_stream[bytes](100)
        self._incoming, self.incoming = anyio.create_memory_object_stream[bytes](100)
        self.received: list[Message] = []

    async def send(self, data: bytes) -> None:
        await self.out.send(data)

    async def receive(self, max_bytes: int = 65536) -> bytes:  # noqa: ARG002 - the contract's
        try:
            return await self.incoming.receive()
        except anyio.EndOfStream:
            return b""

    async def aclose(self) -> None:
        self.out.close()

    async def say(self, message: Any) -> None:
        await self._incoming.send(json.dumps(message).encode() + b"\n")

    async def say_bytes(self, data: bytes) -> None:
        await self._incoming.send(data)

    def hang_up(self) -> None:
        self._incoming.close()

    async def serve(self, answer: Answer) -> None:
        async for data in self._sent:
            for line in data.splitlines():
                message = json.loads(line)
                self.received.append(message)
                await answer(self, message)

    def close(self) -> None:
        for end in (self.out, self._sent, self._incoming, self.incoming):
            end.close()


@asynccontextmanager
async def connected(answer: Answer) -> AsyncGenerator[tuple[ToolServer, Wire]]:
    wire = Wire()
    server = ToolServer(wire)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wire.serve, answer)
            tasks.start_soon(server.listen)
            yield server, wire
            tasks.cancel_scope.cancel()
    wire.close()


async def echo(wire: Wire, message: Message) -> None:
    result = {"content": [{"type": "text", "text": message["params"]["name"]}]}
    await wire.say({"jsonrpc": "2.0", "id": message["id"], "result": result})


async def silence(wire: Wire, message: Message) -> None:
    pass


async def test_a_call_is_one_line_that_names_the_protocol_revision() -> None:
    async with connected(echo) as (server, wire):
        result = await server.call("bash", {"command": "true"}, {"wharfkeep/thread": "t"})
    assert result["content"][0]["text"] == "bash"
    (request,) = wire.received
    assert request["method"] == "tools/call"
    meta = request["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["wharfkeep/thread"] == "t"


async def test_answers_reach_the_calls_they_belong_to_in_any_order() -> None:
    held: list[Message] = []

    async def reverse(wire: Wire, message: Message) -> None:
        held.append(message)
        if len(held) == 3:
            for one in reversed(held):
                await echo(wire, one)

    results: dict[str, str] = {}
    async with connected(reverse) as (server, _):

        async def call(name: str) -> None:
            answer = await server.call(name, {}, {})
            results[name] = answer["content"][0]["text"]

        async with anyio.create_task_group() as tasks:
            for name in ("a", "b", "c"):
                tasks.start_soon(call, name)
    assert results == {"a": "a", "b": "b", "c": "c"}


async def test_an_error_answer_is_raised_with_the_servers_words() -> None:
    async def refuse(wire: Wire, message: Message) -> None:
        error = {"code": -32602, "message": "no such tool"}
        await wire.say({"jsonrpc": "2.0", "id": message["id"], "error": error})

    async with connected(refuse) as (server, _):
        with pytest.raises(ProtocolError, match="no such tool"):
            await server.call("x", {}, {})


@pytest.mark.parametrize("error", [None, 7, {}, {"message": None}])
async def test_an_answer_that_is_neither_result_nor_error_is_an_error(error: Any) -> None:
    async def nothing(wire: Wire, message: Message) -> None:
        await wire.say({"jsonrpc": "2.0", "id": message["id"], "result": 5, "error": error})

    async with connected(nothing) as (server, _):
        with pytest.raises(ProtocolError):
            await server.call("x", {}, {})


async def test_noise_that_is_well_formed_is_passed_over() -> None:
    async def noisy(wire: Wire, message: Message) -> None:
        await wire.say_bytes(b"\n\n")
        await wire.say({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}})
        await wire.say({"jsonrpc": "2.0", "id": 999, "result": {}})
        await wire.say({"jsonrpc": "2.0", "id": message["id"], "method": "ping"})
        await echo(wire, message)

    async with connected(noisy) as (server, _):
        result = await server.call("x", {}, {})
    assert result["content"][0]["text"] == "x"


@pytest.mark.probe(78)
@pytest.mark.parametrize("garbage", [b"{\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n", b"[" * 99_999])
async def test_a_line_that_is_no_message_ends_the_connection(garbage: bytes) -> None:
    async def speak(wire: Wire, message: Message) -> None:
        await wire.say_bytes(garbage + b"\n")

    async with connected(speak) as (server, _):
        with pytest.raises(SandboxGone):
            await server.call("x", {}, {})
        assert server.closed
        with pytest.raises(SandboxGone):
            await server.call("x", {}, {})


@pytest.mark.probe(78)
async def test_a_line_without_an_end_is_given_up_at_the_bound() -> None:
    async def flood(wire: Wire, message: Message) -> None:
        await wire.say_bytes(b"x" * (MAX_LINE + 1))

    async with connected(flood) as (server, _):
        with pytest.raises(SandboxGone):
            await server.call("x", {}, {})


@pytest.mark.probe(78)
async def test_a_line_of_countless_parts_is_given_up_before_it_takes_their_memory() -> None:
    async def swell(wire: Wire, message: Message) -> None:
        parts = b",".join([b"{}"] * MAX_PARTS)
        await wire.say_bytes(b'{"id":1,"result":{"content":[' + parts + b"]}}\n")

    async with connected(swell) as (server, _):
        with pytest.raises(SandboxGone):
            await server.call("x", {}, {})


async def test_a_server_that_goes_away_fails_every_call_that_waits() -> None:
    failed: list[str] = []
    async with connected(silence) as (server, wire):

        async def call(name: str) -> None:
            with pytest.raises(SandboxGone):
                await server.call(name, {}, {})
            failed.append(name)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, "a")
            tasks.start_soon(call, "b")
            await anyio.wait_all_tasks_blocked()
            wire.hang_up()
    assert sorted(failed) == ["a", "b"]


async def test_a_cancelled_call_tells_the_server_to_stop() -> None:
    async with connected(silence) as (server, wire):
        with anyio.move_on_after(0.05):
            await server.call("sleep", {}, {})
        await anyio.wait_all_tasks_blocked()
    assert wire.received[-1]["method"] == "notifications/cancelled"
    assert wire.received[-1]["params"] == {"requestId": wire.received[0]["id"]}


async def test_half_a_surrogate_pair_becomes_a_replacement_character():
    async def halves(wire: Wire, message: Message) -> None:
        number = str(message["id"]).encode()
        text = rb'"a\ud800b\u00e9\ud83d\ude00"'
        await wire.say_bytes(b'{"id":' + number + b',"result":{"content":' + text + b"}}\n")

    async with connected(halves) as (server, _):
        result = await server.call("read", {}, {})
    assert result == {"content": "a\ufffdb\u00e9\U0001f600"}
