"""What the way out of a sandbox costs: a tunnel through relay and proxy, against none.

    python -m benchmarks.egress [--requests 300] [--json]

The same client makes the same requests to the same server on loopback: directly; through the
floor, a proxy of forty lines with a thread for each direction that asks nobody and checks nothing;
and from a sandbox, through the relay inside and the egress proxy outside. `new` is a connection,
a tunnel and a request; `kept` is a request in a tunnel that is open; `bulk` is one large answer.
Everything shares the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import RELAY_PORT, SandboxSpec
from sandbox.egress.proxy import Egress
from sandbox.egress.rules import Bounds, Request, Target, Verdict

BULK = 256 * 1024**2

_SERVER = """
import socket, sys, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print(listener.getsockname()[1], flush=True)
ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok"
def copy(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def answer(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := client.recv(65536):
        if data.startswith(b"BULK "):
            block, left = bytes(65536), int(data[5:])
            while left > 0:
                client.sendall(block)
                left -= len(block)
        else:
            client.sendall(ANSWER)
def proxy(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, _, port = client.recv(65536).split()[1].partition(b":")
    server = socket.create_connection(("127.0.0.1", int(port)))
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    threading.Thread(target=copy, args=(server, client), daemon=True).start()
    copy(client, server)
work = {"answer": answer, "proxy": proxy}[sys.argv[1]]
while True:
    threading.Thread(target=work, args=(listener.accept()[0],), daemon=True).start()
"""

_CLIENT = """
import json, socket, sys, time
entrance, target, count, bulk = map(int, sys.argv[1:])
def dial():
    s = socket.create_connection(("127.0.0.1", entrance))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if entrance != target:
        host = b"server.test:%d" % target
        s.sendall(b"CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\n\\r\\n" % (host, host))
        assert b" 200 " in s.recv(4096)
    return s
def ask(s):
    s.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n")
    assert s.recv(4096).endswith(b"ok")
new, kept = [], []
for _ in range(count):
    begin = time.perf_counter()
    with dial() as s:
        ask(s)
    new.append(time.perf_counter() - begin)
with dial() as s:
    for _ in range(count):
        begin = time.perf_counter()
        ask(s)
        kept.append(time.perf_counter() - begin)
with dial() as s:
    begin, left = time.perf_counter(), bulk
    s.sendall(b"BULK %d" % bulk)
    while left > 0:
        left -= len(s.recv(1 << 18))
    rate = bulk / (time.perf_counter() - begin)
print(json.dumps({"new": new, "kept": kept, "bulk": rate}))
"""


@dataclass(frozen=True)
class Figures:
    """Medians in milliseconds, and megabytes a second."""

    name: str
    new: float
    kept: float
    bulk: float


class Open:
    """Rules that allow everything."""

    async def decide(self, owner: str, target: Target) -> Verdict:
        del owner, target
        return Verdict(True, "benchmark", private=True)

    async def rewrite(self, owner: str, request: Request) -> Request:
        del owner
        return request


def figures(name: str, printed: str) -> Figures:
    told = json.loads(printed)
    new, kept = (1000 * statistics.median(told[kind]) for kind in ("new", "kept"))
    return Figures(name, round(new, 3), round(kept, 3), round(told["bulk"] / 1e6))


def outside(name: str, entrance: int, target: int, requests: int) -> Figures:
    numbers = map(str, (entrance, target, requests, BULK))
    command = ["/usr/bin/python3", "-I", "-S", "-c", _CLIENT, *numbers]
    return figures(
        name, subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()
    )


async def inside(name: str, target: int, requests: int) -> Figures:
    """From a sandbox. Its proxy finds every name on loopback."""
    numbers = map(str, (RELAY_PORT, target, requests, BULK))
    printed = b""
    with tempfile.TemporaryDirectory() as directory:
        await anyio.Path(directory).chmod(0o711)
        async with anyio.create_task_group() as tasks:
            egress = Egress(
                tasks, Open(), Bounds(), report=lambda _: None, look_up=lambda _: ["127.0.0.1"]
            )
            driver = BubblewrapDriver(tasks, Settings(data_dir=Path(directory) / "data"))
            sandbox = await driver.create(SandboxSpec(id="benchmark"))
            await egress.open("benchmark", sandbox.sockets, sandbox.uid)
            await sandbox.claim(env={})
            argv = ["/usr/bin/python3", "-I", "-S", "-c", _CLIENT, *numbers]
            channel = await sandbox.open("spawn", argv=argv)
            while data := await channel.receive():
                printed += data
            await channel.aclose()
            await driver.aclose()
            await egress.aclose()
    return figures(name, printed.decode())


@contextmanager
def serving(kind: str) -> Generator[int]:
    """A server in a process of its own; says on which port."""
    command = [sys.executable, "-I", "-S", "-c", _SERVER, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with serving("answer") as target, serving("proxy") as floor:
        rows = [
            outside("direct", target, target, options.requests),
            outside("floor", floor, target, options.requests),
            anyio.run(inside, "sandbox", target, options.requests),
        ]
    if options.json:
        sys.stdout.write(json.dumps([vars(row) for row in rows]) + "\n")
    else:
        _print(rows)


def _print(rows: list[Figures]) -> None:
    direct, floor, _ = rows
    print("a request through a tunnel; milliseconds, medians; ratios to direct and to the floor")
    for row in rows:
        print(
            f"{row.name:<8} new {row.new:6.2f} (+{row.new - direct.new:5.2f},"
            f" {row.new / direct.new:4.1f}x, {row.new / floor.new:4.1f}x)"
            f"  kept {row.kept:6.3f} (+{row.kept - direct.kept:6.3f},"
            f" {row.kept / direct.kept:4.1f}x, {row.kept / floor.kept:4.1f}x)"
            f"  bulk {row.bulk:5.0f} MB/s ({row.bulk / direct.bulk:4.2f}x)"
        )


if __name__ == "__main__":
    main()
