"""Event streams with many readers, slow readers, and readers that come and go."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import anyio
import anyio.lowlevel
import pytest
from anthropic import AsyncAnthropic

from tests.e2e import script, serving
from tests.e2e.conversation import SECONDS, Conversation, Stream, of, processed, text, types
from tests.e2e.script import turn
from tests.e2e.serving import KEY, Server
from tests.e2e.validity import flaws
from tests.ledger.requirement import requirement

_LONG = "A long text. " * 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving.place() as folder:
        path = script.write(
            folder,
            turn("long", "Read."),
            turn("slow", {"text": "There.", "delay_seconds": 1.0}),
            turn("", "Done: {last_text}"),
        )
        with Server(folder / "data", WHARFKEEP_MODELS__SCRIPT=path) as running:
            yield running


@requirement("streams:open:replay")
async def test_twenty_clients_that_send_first_all_see_the_end_of_their_turn(client: AsyncAnthropic):
    ends: list[str] = []

    async def send_then_stream(number: int) -> None:
        talk = await Conversation.begin(client, tools=())
        await talk.send(f"message {number}")
        async with talk.stream() as stream:
            shown = await stream.until_idle()
        ends.append(text(of(shown, "agent.message")[0]))

    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(send_then_stream, number)
    assert sorted(ends) == sorted(f"Done: message {number}" for number in range(20))


async def test_a_session_whose_client_always_sends_first_shows_every_turn(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    for number in range(10):
        await talk.send(f"message {number}")
        async with talk.stream() as stream:
            shown = await stream.until_idle()
        assert text(of(shown, "agent.message")[-1]) == f"Done: message {number}"


@requirement("streams:open:from-now")
async def test_a_stream_opened_before_the_send_shows_no_earlier_turn(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    await talk.turn("first")
    shown = await talk.turn("second")
    assert [text(event) for event in of(shown, "agent.message")] == ["Done: second"]
    assert types(shown).count("session.status_idle") == 1


@requirement("streams:open:same-bytes", "streams:queued:twice")
async def test_a_stream_shows_what_the_list_shows(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    async with talk.stream() as stream:
        await talk.send("first")
        first = len(await stream.until_idle())
        await talk.send("second")
        shown = await stream.until_idle()
    queued, taken = shown[first : first + 2]
    assert (queued.type, queued.id, queued.processed_at) == ("user.message", taken.id, None)
    assert [e.to_dict() for e in processed(shown)] == [e.to_dict() for e in await talk.log()]


@requirement("streams:disconnect:harmless")
async def test_clients_that_come_and_go_change_nothing(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())

    async def come_and_go() -> None:
        for _ in range(5):
            async with talk.stream("agent.message"):
                await anyio.lowlevel.checkpoint()

    with anyio.fail_after(SECONDS):
        async with talk.stream() as stream, anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(come_and_go)
            for number in range(5):
                await talk.send(f"message {number}")
                await stream.until_idle()
    log = await talk.log()
    assert flaws(log) == []
    assert [text(event) for event in of(log, "agent.message")] == [
        f"Done: message {number}" for number in range(5)
    ]


async def test_a_reader_that_does_not_read_holds_up_nobody(server: Server, client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    with _deaf(server, talk.id):
        async with talk.stream() as stream:
            for _ in range(20):
                await talk.send(_LONG)
                await stream.until_idle()
    assert len(of(stream.shown, "agent.message")) == 20


@requirement("streams:end:deleted", "sessions:delete:stream")
async def test_deleting_a_session_ends_its_streams(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    await talk.turn("hello")
    ends: list[list[str]] = []

    async def listen(stream: Stream) -> None:
        ends.append(types(await stream.rest()))

    with anyio.fail_after(SECONDS):
        async with talk.stream() as one, talk.stream() as two, anyio.create_task_group() as tasks:
            tasks.start_soon(listen, one)
            tasks.start_soon(listen, two)
            await client.beta.sessions.delete(talk.id)
    assert ends == [["session.deleted"], ["session.deleted"]]


@requirement("streams:end:terminated", "sessions:archive:terminates")
async def test_archiving_a_session_ends_its_streams(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    async with talk.stream() as stream:
        await client.beta.sessions.archive(talk.id)
        assert types(await stream.rest())[-1] == "session.status_terminated"


async def test_two_streams_of_one_session_show_the_same(client: AsyncAnthropic):
    talk = await Conversation.begin(client, tools=())
    async with talk.stream() as one, talk.stream() as two:
        await talk.send("hello")
        first, second = await one.until_idle(), await two.until_idle()
    assert [event.to_dict() for event in first] == [event.to_dict() for event in second]


async def test_a_stream_opened_in_the_middle_of_a_turn_shows_the_rest_of_it(
    client: AsyncAnthropic,
):
    talk = await Conversation.begin(client, tools=())
    async with talk.stream() as first:
        await talk.send("slow, please")
        await first.until("span.model_request_start")
        async with talk.stream() as second:
            shown = await second.until_idle()
    assert types(shown)[0] == "agent.message"


def _deaf(server: Server, session: str) -> socket.socket:
    """A client that asks for a stream and then never reads from its socket."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect((address.hostname, address.port))
    request = f"GET /v1/sessions/{session}/events/stream HTTP/1.1\r\nhost: {address.netloc}\r\n"
    deaf.sendall(f"{request}x-api-key: {KEY}\r\n\r\n".encode())
    return deaf
