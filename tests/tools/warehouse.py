"""A package registry of this machine's own, with packages as bad as one likes.

`Registry` serves what pip needs over HTTP on loopback. A package made by `source` runs its own code
when it is built, which is all that an enemy needs.
"""

import io
import tarfile
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BACKEND = """
import base64, hashlib, os, subprocess, sys, zipfile

def build_wheel(directory, config_settings=None, metadata_directory=None):
    {code}
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("{name}.py", "VALUE = 1\\n")
        wheel.writestr("{name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        wheel.writestr("{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("{name}-1.0.dist-info/RECORD", "")
    return name
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_INFO = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"


def wheel(name: str, *, script: str = "") -> tuple[str, bytes]:
    """A package of one module, and perhaps a command of the same name that prints `script`."""
    data = io.BytesIO()
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}.py", f"VALUE = 1\ndef main(): print({script!r})\n")
        archive.writestr(f"{info}/METADATA", _INFO.format(name=name))
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        if script:
            archive.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name} = {name}:main")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}-1.0-py3-none-any.whl", data.getvalue()


def source(name: str, code: str) -> tuple[str, bytes]:
    """A package that runs `code`, one line of Python, while it is built."""
    files = {
        "pyproject.toml": _PROJECT,
        "backend.py": _BACKEND.format(name=name, code=code),
        "PKG-INFO": _INFO.format(name=name),
    }
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-1.0/{path}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return f"{name}-1.0.tar.gz", data.getvalue()


class Registry:
    """Packages by name, and what was asked for."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        """Its index, by the name that `tests.tools.building` gives to this machine."""
        return f"http://registry.test:{self._server.server_port}/simple"

    def add(self, *packages: tuple[str, bytes]) -> None:
        self.files.update(packages)

    def answer(self, path: str) -> bytes | None:
        """A page of links, or a file; None if there is neither."""
        self.asked.append(path)
        *_, kind, name = path.strip("/").split("/")
        if kind == "files":
            return self.files.get(name)
        links = [each for each in self.files if each.startswith(f"{name}-")]
        page = "".join(f'<a href="/files/{each}">{each}</a>' for each in links)
        return page.encode() if links else None


@contextmanager
def registry() -> Generator[Registry]:
    """Serve until the end of the block."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = found.answer(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    found = Registry(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
