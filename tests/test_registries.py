"""What package managers tell of their registries, asked of the real ones with settings of a test."""

import json
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gateway import registries
from gateway.registries import Registries, Tools, Unknown
from sandbox.egress.rules import Target
from tests.sandbox.outside import serving


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def registry(pages: Mapping[str, str]) -> Generator[str]:
    """A registry that has these pages; says its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = pages.get(self.path, "").encode()
            self.send_response(200 if text else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's
            pass

    with serving(Answer) as port:
        yield f"127.0.0.1:{port}"


def needs(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def target(place: str) -> Target:
    host, _, port = place.rpartition(":")
    return Target(host, int(port))


async def learned(name: str) -> Registries:
    made = Registries(managers={name: registries.MANAGERS[name]})
    assert await made.learn()
    return made


async def test_pip_tells_its_indices_and_they_tell_where_files_are(
    monkeypatch: pytest.MonkeyPatch,
):
    page = '<a href="../../files/a.whl">a</a><a class="x" href="https://files.test/b.whl">b</a>'
    with registry({"/simple/pip/": page}) as main, registry({}) as other:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://someone:secret@{main}/simple")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"http://{other}/more http://{other}/most")
        found = await learned("pip")
    assert await found.targets() == {target(main), target(other), Target("files.test", 443)}
    assert found.environment() == {
        "PIP_INDEX_URL": f"http://{main}/simple",
        "PIP_EXTRA_INDEX_URL": f"http://{other}/more http://{other}/most",
    }


async def test_npm_tells_its_registries_and_a_package_where_archives_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    needs("npm")
    (tmp_path / "npmrc").write_text("@ours:registry=https://ours.test/npm/\n")
    monkeypatch.setenv("npm_config_userconfig", str(tmp_path / "npmrc"))
    page = json.dumps({"dist": {"tarball": "https://archives.test/npm.tgz"}})
    with registry({"/npm/latest": page}) as main:
        monkeypatch.setenv("npm_config_registry", f"http://{main}/")
        found = await learned("npm")
    wanted = {target(main), Target("ours.test", 443), Target("archives.test", 443)}
    assert await found.targets() == wanted
    assert found.environment() == {"npm_config_registry": f"http://{main}/"}


async def test_cargo_tells_its_index_and_the_index_where_the_rest_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    needs("cargo")
    page = json.dumps({"dl": "https://crates.test/{crate}", "api": "https://api.test"})
    with registry({"/index/config.json": page}) as main:
        (tmp_path / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "m"\n[source.m]\nregistry = "sparse+http://{main}/index/"\n'
            f'[registries.ours]\nindex = "sparse+http://{main}/ours/"\n'
        )
        monkeypatch.setenv("CARGO_HOME", str(tmp_path))
        found = await learned("cargo")
    assert await found.targets() == {
        target(main),
        Target("crates.test", 443),
        Target("api.test", 443),
    }


async def test_go_tells_its_proxies_and_its_database(monkeypatch: pytest.MonkeyPatch):
    needs("go")
    monkeypatch.setenv("GOPROXY", "https://a:b@one.test/go,http://two.test:81|direct")
    monkeypatch.setenv("GOSUMDB", "sums.test https://sums.mirror.test/sums")
    found = await learned("go")
    assert await found.targets() == {
        Target("one.test", 443),
        Target("two.test", 81),
        Target("sums.mirror.test", 443),
    }
    assert found.environment()["GOPROXY"] == "https://one.test/go,http://two.test:81|direct"


async def test_apt_tells_its_mirrors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    needs("apt-get")
    (tmp_path / "sources.list").write_text("deb http://mirror.test:81/debian stable main\n")
    (tmp_path / "conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/nowhere";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "conf"))
    assert await (await learned("apt")).targets() == {Target("mirror.test", 81)}


async def test_a_program_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    made = Registries(managers={"gem": registries.ask_gem, "npm": registries.ask_npm})
    assert await made.learn()
    assert await made.targets() == set()


async def test_a_registry_that_does_not_answer_is_asked_again_and_what_was_known_stays(
    monkeypatch: pytest.MonkeyPatch,
):
    made = Registries(managers={"pip": registries.ask_pip})
    with registry({"/simple/pip/": '<a href="x">x</a>'}) as main:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://{main}/simple")
        assert await made.learn()
    assert not await made.learn()
    assert await made.targets() == {target(main)}


async def test_a_program_that_is_not_there_is_no_answer():
    with pytest.raises(Unknown):
        await Tools().run("no-such-program-anywhere")
