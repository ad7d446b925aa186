"""A sandbox with a way out, and a git server for it to reach."""

import os
import ssl
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.registries import Registries
from gateway.settings import Egress
from gateway.tools.egress import Facts, Network
from sandbox.bubblewrap import BubblewrapDriver, Settings
from sandbox.contract import Sandbox, SandboxSpec, Unavailable
from sandbox.egress.dial import look_up
from tests.sandbox.outside import serving
from tests.sandbox.places import data_directory

SECONDS = 60.0
UNRESTRICTED: Mapping[str, Any] = {"type": "unrestricted"}


def limited(*hosts: str, **switches: bool) -> Mapping[str, Any]:
    off = {"allow_mcp_servers": False, "allow_package_managers": False}
    return {"type": "limited", "allowed_hosts": list(hosts), **off, **switches}


@dataclass
class Place:
    """Where sandboxes are made that reach out through one network."""

    network: Network
    driver: BubblewrapDriver

    async def sandbox(self, name: str, networking: Mapping[str, Any]) -> "Inside":
        sandbox = await self.driver.create(SandboxSpec(id=name, mounts=self.network.mounts()))
        await self.network.open(name, Facts(networking=networking), sandbox)
        await sandbox.claim(env=self.network.env())
        return Inside(sandbox)


@dataclass
class Inside:
    """One sandbox."""

    sandbox: Sandbox

    async def run(self, script: str) -> str:
        """What a shell script prints, on both its outputs."""
        said = b""
        with anyio.fail_after(SECONDS):
            channel = await self.sandbox.open(
                "spawn", argv=["/bin/bash", "-c", f"exec 2>&1\n{script}"]
            )
            while data := await channel.receive():
                said += data
            await channel.aclose()
        return said.decode(errors="replace").strip()


@asynccontextmanager
async def place(
    *, registries: Registries, ca_file: Path, names: Mapping[str, str], private: Sequence[str]
) -> AsyncGenerator[Place]:
    """`names` are the addresses of names that only exist here; `private` is the exception list."""

    def find(host: str) -> Sequence[str]:
        return [names[host]] if host in names else look_up(host)

    settings = Egress(allowed_private_hosts=list(private), ca_file=ca_file)
    with data_directory() as directory:
        directory.chmod(0o711)
        network = Network(settings, registries, directory=directory / "network", look_up=find)
        async with anyio.create_task_group() as tasks, network.running():
            driver = BubblewrapDriver(tasks, Settings(data_dir=directory / "data"))
            try:
                await driver.reap()
            except Unavailable as reason:
                pytest.skip(str(reason))
            try:
                yield Place(network, driver)
            finally:
                with anyio.CancelScope(shield=True):
                    await driver.aclose()
                tasks.cancel_scope.cancel()


def admit_all(path: str, credential: str | None) -> int:
    del path, credential
    return 200


@contextmanager
def git_server(
    root: Path,
    tls: ssl.SSLContext,
    at: tuple[str, int],
    admit: Callable[[str, str | None], int] = admit_all,
) -> Generator[int]:
    """Serve the repositories below `root`, for reading and writing; says on which port.

    `admit` is asked with each path and Authorization header; what is not 200 is answered.
    """

    class Answer(BaseHTTPRequestHandler):
        def answer(self) -> None:
            status = admit(self.path, self.headers.get("authorization"))
            if status != 200:
                self.refuse(status)
                return
            head, _, content = _ask_git(root, self).partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(fields.pop("Status", "200").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def refuse(self, status: int) -> None:
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
            if status in (301, 302):
                other = self.path.replace("/info/", ".git/info/")
                self.send_header("Location", f"https://{self.headers['host']}{other}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            pass

    with serving(Answer, tls, at) as port:
        yield port


def _ask_git(root: Path, request: BaseHTTPRequestHandler) -> bytes:
    """What git's own server says to a request."""
    path, _, query = request.path.partition("?")
    body = request.rfile.read(int(request.headers.get("content-length") or 0))
    if request.headers.get("transfer-encoding") == "chunked":
        while size := int(request.rfile.readline(), 16):
            body += request.rfile.read(size)
            request.rfile.readline()
    done = subprocess.run(
        ["git", "http-backend"],
        input=body,
        capture_output=True,
        check=True,
        env={
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "agent",
            "REQUEST_METHOD": request.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": request.headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        },
    )
    return done.stdout
