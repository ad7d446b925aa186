"""A bucket of a real S3-compatible server, which is started for the tests.

The server is Versity's S3 gateway over a directory, one Go program:
``go install github.com/versity/versitygw/cmd/versitygw@v1.8.0``.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from gateway.settings import Files

BUCKET = "files"
SECONDS = 20.0
_KEY, _SECRET = "test-key", "test-secret"


def program() -> str | None:
    """Where the server is: on the path, or where Go installs programs."""
    places = [os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(Path.home() / "go/bin")]
    return shutil.which("versitygw", path=os.pathsep.join(filter(None, places)))


@contextmanager
def serve(folder: Path) -> Generator[Files]:
    """Run the server on `folder` and give the settings that lead to its bucket."""
    command = program()
    assert command is not None, "ask `program` first"
    (folder / "buckets" / BUCKET).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [command, "--port", f"127.0.0.1:{port}", "posix", str(folder / "buckets")],
        env={**os.environ, "ROOT_ACCESS_KEY": _KEY, "ROOT_SECRET_KEY": _SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            _wait(port)
            yield Files(
                url=f"s3://{BUCKET}/some/prefix",
                endpoint=f"http://127.0.0.1:{port}",
                region="us-east-1",
                access_key_id=_KEY,
                secret_access_key=SecretStr(_SECRET),
            )
        finally:
            server.kill()


def _wait(port: int) -> None:
    """Wait until the server listens: a refused connection is answered at once, so none is idle."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), SECONDS).close()
        except ConnectionRefusedError:
            os.sched_yield()
        else:
            return
    raise AssertionError("the S3 server did not start")
