"""One plain-HTTP request, said again to its server, and the answer said again to the client.

Nothing is passed on as bytes: both messages are parsed and written anew, so what the server reads
is what the proxy read.
"""

from dataclasses import dataclass

import anyio
import h11

from sandbox.egress.dial import Refusal
from sandbox.egress.head import Head, end_to_end
from sandbox.egress.line import Line, Lost
from sandbox.egress.rules import Request


@dataclass(frozen=True, slots=True)
class _End:
    """One side of the exchange."""

    line: Line
    http: h11.Connection

    async def receive(self) -> h11.Event | type[h11.PAUSED]:
        """The next part of a message.

        Raises:
            Lost: The connection broke.
            h11.RemoteProtocolError: It is not HTTP, or ended too early.
        """
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.line.receive())
        return event  # pyright: ignore[reportReturnType] - NEED_DATA is dealt with above

    async def send(self, event: h11.Event) -> None:
        data = self.http.send(event)
        if data:
            await self.line.send(data)


async def exchange(client: Line, server: Line, head: Head, request: Request, limit: int) -> bool:
    """Do it; returns whether the client may ask again on its connection.

    `limit` bounds the bytes of the answer's head.

    Raises:
        Refusal: The server does not answer as it should, and nothing was said to the client yet.
        Lost: The client has to be told by closing its connection.
    """
    asking = _End(client, head.connection)
    answering = _End(server, h11.Connection(h11.CLIENT, max_incomplete_event_size=limit))
    failure: Lost | Refusal | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_say, asking, answering, head, request)
        try:
            await _answer(asking, answering)
        except (Lost, Refusal) as error:
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return asking.http.our_state is h11.DONE and asking.http.their_state is h11.DONE


async def _say(client: _End, server: _End, head: Head, request: Request) -> None:
    """Pass the request on."""
    headers = [(b"host", request.host.encode()), *request.headers, *head.framing]
    try:
        await server.send(
            h11.Request(
                method=request.method,
                target=request.path,
                headers=[*headers, (b"connection", b"close")],
            )
        )
        if client.http.they_are_waiting_for_100_continue:
            await client.send(h11.InformationalResponse(status_code=100, headers=[]))
        while isinstance(part := await client.receive(), h11.Data):
            await server.send(part)
        await server.send(h11.EndOfMessage())
    except Lost:
        pass  # the server's answer, or its absence, will tell
    except h11.RemoteProtocolError:
        await server.line.aclose()  # it is not to take half a body for a whole one


async def _answer(client: _End, server: _End) -> None:
    answer = await _first_answer(server)
    headers = tuple((bytes(name), bytes(value)) for name, value in answer.headers)
    await client.send(
        h11.Response(
            status_code=answer.status_code,
            reason=bytes(answer.reason),
            headers=list(end_to_end(headers)),
        )
    )
    try:
        while isinstance(event := await server.receive(), h11.Data):
            await client.send(h11.Data(data=bytes(event.data)))
    except h11.RemoteProtocolError as error:
        raise Lost from error
    await client.send(h11.EndOfMessage())


async def _first_answer(server: _End) -> h11.Response:
    try:
        while True:
            event = await server.receive()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
    except (Lost, h11.RemoteProtocolError):
        pass
    raise Refusal(502, "unreachable:answer", "the server did not answer with HTTP")
