"""A tunnel: bytes in both directions, once the client's first ones have been looked at.

On port 443 they have to be a TLS client's, and on any port a TLS client has to name the host the
tunnel is for: otherwise a permitted host at a large provider would lead to every other one there.
What follows is encrypted and not looked at.
"""

import anyio

from sandbox.egress import address
from sandbox.egress.clienthello import HANDSHAKE, Listener, NotTls
from sandbox.egress.line import Line, Lost, Meter
from sandbox.egress.rules import HTTPS, Target

_HALF_SECONDS = 60.0
"""The longest silence of a server whose client has ended: it may have gone altogether."""


class _Unfit(Exception):
    """The client may not say this here; the argument is the end of the rule's name."""


async def carry(client: Line, server: Line, target: Target, early: bytes, meter: Meter) -> None:
    """Carry bytes until both ends have ended, one is lost, or the meter ends it.

    `early` came from the client before it knew that there is a tunnel.
    """
    if target.port == HTTPS:
        meter.hurry(meter.bounds.handshake_seconds)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_pump, server, client, tasks.cancel_scope)
        try:
            first = await _first_bytes(client, target, early)
            meter.wait(meter.bounds.idle_seconds)
            await server.send(first)
        except _Unfit as error:
            meter.stop(f"tls:{error}")
        except Lost:
            tasks.cancel_scope.cancel()
        await _pump(client, server, tasks.cancel_scope)
        meter.wait(min(_HALF_SECONDS, meter.bounds.idle_seconds))


async def _pump(source: Line, sink: Line, broken: anyio.CancelScope) -> None:
    try:
        while data := await source.receive():
            await sink.send(data)
        await sink.send_eof()
    except Lost:
        broken.cancel()


async def _first_bytes(client: Line, target: Target, early: bytes) -> bytes:
    """What the client says first, if it may say that.

    Raises:
        _Unfit: It may not.
    """
    data = early or await client.receive()
    if not data or (target.port != HTTPS and data[0] != HANDSHAKE):
        return data
    listener, said = Listener(), data
    try:
        while (hello := listener.feed(data)) is None:
            data = await client.receive()
            if not data:
                raise _Unfit("not_tls")
            said += data
    except NotTls as error:
        raise _Unfit("not_tls") from error
    _check_name(hello.name, target.host)
    return said


def _check_name(name: str | None, host: str) -> None:
    """A client names no host where that is an address, and some do not where it has no dot."""
    if name is None:
        if address.is_address(host) or "." not in host:
            return
    elif name.lower().removesuffix(".") == host:
        return
    raise _Unfit("sni_mismatch")
