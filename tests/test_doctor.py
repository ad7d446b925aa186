"""What works on this machine."""

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config
from gateway.doctor import Finding, examine
from gateway.settings import Endpoint, Models
from tests.sandbox.engine import NoEngine, RealEngine, engine


def _finding(config: Config, name: str) -> Finding:
    return next(finding for finding in examine(config) if finding.name == name)


@pytest.fixture(autouse=True)
def no_model_in_the_environment(monkeypatch: pytest.MonkeyPatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_whatever_does_not_work_comes_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = examine(Config(data_dir=tmp_path / "data"))
    assert {finding.name for finding in found if not finding.works} >= {
        "bubblewrap",
        "user namespaces",
        "ripgrep",
    }
    assert all(bool(finding.remedy) == (not finding.works) for finding in found)


def test_the_data_directory_need_not_exist_yet_and_is_not_made(tmp_path: Path):
    finding = _finding(Config(data_dir=tmp_path / "a" / "b"), "data directory")
    assert finding.works
    assert list(tmp_path.iterdir()) == []


def test_a_data_directory_below_a_file_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    assert not _finding(Config(data_dir=tmp_path / "file" / "data"), "data directory").works


def test_a_program_that_fails_is_reported_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    stand_in = tmp_path / "bwrap"
    stand_in.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    finding = _finding(Config(data_dir=tmp_path), "user namespaces")
    assert not finding.works
    assert finding.detail == "No permissions to create new namespace"


class _Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


def test_an_endpoint_that_answers_anything_is_reachable(tmp_path: Path):
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        models = Models(endpoints={"mine": Endpoint(base_url=url)})
        assert _finding(Config(data_dir=tmp_path, models=models), "model mine").works


def test_an_endpoint_that_is_not_there_is_named(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    models = Models(endpoints={"mine": Endpoint(base_url=url)})
    finding = _finding(Config(data_dir=tmp_path, models=models), "model mine")
    assert not finding.works
    assert url in finding.detail


def test_without_an_endpoint_the_gateway_says_how_to_get_a_model(tmp_path: Path):
    finding = _finding(Config(data_dir=tmp_path), "model")
    assert (finding.works, finding.required) == (False, False)
    assert "ANTHROPIC_API_KEY" in finding.remedy


def on_docker(data_dir: Path, address: str, *, image: str = "", **sandbox: Any) -> Config:
    settings = {"driver": "docker", "docker": {"address": address, "image": image}, **sandbox}
    return Config.model_validate({"data_dir": data_dir, "sandbox": settings})


@pytest.fixture(scope="session")
def container_engine() -> Iterator[RealEngine]:
    try:
        with engine() as found:
            yield found
    except NoEngine as reason:
        pytest.skip(str(reason))


def test_with_containers_the_engine_is_examined_and_not_bubblewrap(
    container_engine: RealEngine, tmp_path: Path
):
    config = on_docker(tmp_path, container_engine.address, image=container_engine.image)
    found = {finding.name: finding for finding in examine(config)}
    assert {"bubblewrap", "user namespaces"} & set(found) == set()
    assert found["container engine"].works
    assert container_engine.address in found["container engine"].detail
    assert found["sandbox image"].works
    assert "runc" in found["gvisor"].detail
    assert not found["gvisor"].required


def test_an_image_that_the_engine_does_not_have_is_named(
    container_engine: RealEngine, tmp_path: Path
):
    config = on_docker(tmp_path, container_engine.address, image="no-such-image")
    finding = _finding(config, "sandbox image")
    assert not finding.works
    assert "docker pull no-such-image" in finding.remedy


def test_gvisor_is_required_where_the_kernel_must_not_be_shared(
    container_engine: RealEngine, tmp_path: Path
):
    config = on_docker(tmp_path, container_engine.address, require=["kernel_isolation"])
    finding = _finding(config, "gvisor")
    assert finding.required
    assert finding.works or "runsc" in finding.remedy


def test_an_engine_that_is_not_there_is_told_with_the_remedy(tmp_path: Path):
    finding = _finding(on_docker(tmp_path, f"unix://{tmp_path}/socket"), "container engine")
    assert not finding.works
    assert "not running" in finding.detail
    assert "sandbox.docker.address" in finding.remedy
