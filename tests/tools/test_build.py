"""Builds of packages, in real sandboxes, from a registry whose packages are enemies."""

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import anyio
import pytest

from gateway.errors import InvalidRequest
from gateway.store.builds import MAX_LINES
from gateway.tools.build import BuildPending, Built
from gateway.tools.install import BuildFailed
from sandbox.contract import Limits, SandboxError, Unavailable
from tests.ledger.requirement import requirement
from tests.sandbox.places import data_directory
from tests.sandbox.places import environment as environment_of
from tests.store.rows import environment
from tests.tools.building import SECONDS, Bench, NoRoots, bench
from tests.tools.warehouse import Registry, registry, source, wheel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def data_dir() -> Generator[Path]:
    with data_directory() as directory:
        yield directory


@pytest.fixture
def warehouse() -> Generator[Registry]:
    with registry() as served:
        yield served


@pytest.fixture(autouse=True)
async def possible(data_dir: Path, warehouse: Registry) -> None:
    """Skip where no sandbox can be made."""
    reason = None
    async with bench(data_dir, warehouse.url) as made:
        try:
            await made.driver.probe()
        except Unavailable as error:
            reason = str(error)
    if reason:
        pytest.skip(reason)


def pip(*names: str) -> dict[str, Any]:
    return {"type": "packages", "pip": list(names)}


async def ready(made: Bench, packages: dict[str, Any], owner: str = "sesn_1") -> Built:
    with anyio.fail_after(SECONDS):
        return await made.builder.ready(packages, owner=owner)


def left(images: Path) -> list[str]:
    """What is there besides finished images and the archive of pip."""
    return [
        place.name
        for place in images.iterdir()
        if place.name.startswith(".") and not (place.name == ".trash" and not any(place.iterdir()))
    ]


async def test_packages_are_used_by_their_plain_names(data_dir: Path, warehouse: Registry):
    warehouse.add(wheel("oats", script="porridge"))
    async with bench(data_dir, warehouse.url) as made:
        built = await ready(made, pip("oats==1.0"))
        assert await made.run(built, "python3", "-c", "import oats; print(oats.VALUE)") == "1"
        assert await made.run(built, "oats") == "porridge"
        assert (await made.ended(pip("oats==1.0"))).status == "ready"
        assert "Successfully installed oats-1.0" in await made.log(pip("oats==1.0"))


async def test_what_is_shared_can_be_changed_by_nobody(data_dir: Path, warehouse: Registry):
    warehouse.add(wheel("oats"))
    async with bench(data_dir, warehouse.url) as made:
        built = await ready(made, pip("oats"))
        for attempt in ("echo bad > /opt/packages/python/oats.py", "rm -r /opt/packages/python"):
            assert "Read-only file system" in await made.run(built, "sh", "-c", attempt)


async def test_what_is_built_is_built_once(data_dir: Path, warehouse: Registry):
    warehouse.add(wheel("oats"))
    async with bench(data_dir, warehouse.url) as made:
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(ready, made, pip("oats"), f"sesn_{number}")
        assert sum(path.startswith("/files/") for path in warehouse.asked) == 1
    warehouse.files.clear()
    async with bench(data_dir, warehouse.url) as made:
        assert (await ready(made, pip("oats"))).mounts


async def test_without_packages_there_is_nothing_to_wait_for(data_dir: Path, warehouse: Registry):
    async with bench(data_dir, warehouse.url) as made:
        assert await ready(made, pip()) == Built()
        assert await made.builder.state(pip(), after=0, limit=1) == (None, [])


async def test_a_package_that_does_not_exist_is_named_and_remembered(
    data_dir: Path, warehouse: Registry
):
    async with bench(data_dir, warehouse.url) as made:
        with pytest.raises(BuildFailed, match=r"^pip: .*straw"):
            await ready(made, pip("straw"))
        asked = len(warehouse.asked)
        with pytest.raises(BuildFailed, match=r"^pip: .*straw"):
            await ready(made, pip("straw"))
        assert len(warehouse.asked) == asked
        warehouse.add(wheel("straw"))
        await made.builder.restart(pip("straw"))
        assert (await ready(made, pip("straw"))).mounts


async def test_a_failure_is_tried_again_after_a_while(data_dir: Path, warehouse: Registry):
    async with bench(data_dir, warehouse.url, retry_seconds=0) as made:
        with pytest.raises(BuildFailed):
            await ready(made, pip("straw"))
        warehouse.add(wheel("straw"))
        assert (await ready(made, pip("straw"))).mounts


async def test_a_call_waits_only_so_long(data_dir: Path, warehouse: Registry):
    warehouse.add(wheel("oats"))
    async with bench(data_dir, warehouse.url, wait_seconds=0) as made:
        with pytest.raises(BuildPending):
            await ready(made, pip("oats"))
        assert (await made.ended(pip("oats"))).status == "ready"
        assert (await ready(made, pip("oats"))).mounts


async def test_a_registry_that_is_not_there_is_a_failure(data_dir: Path, warehouse: Registry):
    async with bench(data_dir, "http://registry.test:9/simple") as made:
        with pytest.raises(BuildFailed, match=r"^pip: "):
            await ready(made, pip("oats"))


_DAEMON = """subprocess.Popen(
        ["sleep", "10000"], stdout=-3, stderr=-3, start_new_session=True
    )"""
HOSTILE: dict[str, tuple[str, float, str]] = {
    "runs for ever": ("os.system('sleep 10000')", 8, "took more than 8 seconds"),
    "prints for ever": (
        "os.system('yes')",
        8,
        "took more than 8 seconds|printed more",
    ),
    "forks for ever": (
        "[os.fork() for _ in range(10_000)] and __import__('signal').pause()",
        8,
        "took more than 8 seconds|pip: ",
    ),
    "fills the disk": (
        "os.system('head -c 1G /dev/zero > /opt/packages/full; sleep 10000')",
        SECONDS,
        "take more than",
    ),
    "kills everything": ("os.kill(-1, 9)", SECONDS, "^pip: the installation was killed"),
}


@pytest.mark.parametrize("crime", HOSTILE)
async def test_a_package_that(data_dir: Path, warehouse: Registry, crime: str):
    """...does that harms nothing but its own build."""
    code, seconds, said = HOSTILE[crime]
    warehouse.add(source("straw", code), wheel("oats"))
    limits = Limits(processes=64)
    async with bench(
        data_dir, warehouse.url, build_seconds=seconds, disk=256 * 1024**2, limits=limits
    ) as made:
        with pytest.raises(BuildFailed, match=said):
            await ready(made, pip("straw"))
        assert left(made.images) == []
        assert len(await made.log(pip("straw"))) <= MAX_LINES
        assert not list((made.images.parent / "layers").iterdir())


async def test_a_package_that_leaves_programs_behind_holds_nothing_up(
    data_dir: Path, warehouse: Registry
):
    warehouse.add(source("straw", _DAEMON))
    async with bench(data_dir, warehouse.url) as made:
        built = await ready(made, pip("straw"))
        assert await made.run(built, "python3", "-c", "import straw; print(straw.VALUE)") == "1"


async def test_a_build_whose_gateway_is_killed_is_done_again(data_dir: Path, warehouse: Registry):
    warehouse.add(source("straw", "os.system('sleep 10000')"))
    script = Path(__file__).with_name("dying.py")
    arguments = [sys.executable, "-P", str(script), str(data_dir), warehouse.url, "straw"]
    dying = await anyio.open_process(arguments, env=environment_of())
    try:
        with anyio.fail_after(SECONDS):
            while not any(path.startswith("/files/") for path in warehouse.asked):  # noqa: ASYNC110 - another process asks
                await anyio.sleep(0.02)
    finally:
        dying.kill()
        await dying.aclose()
    warehouse.files.clear()
    warehouse.add(wheel("straw"))
    async with bench(data_dir, warehouse.url) as made:
        assert len(left(made.images)) <= 1
        assert (await made.ended(pip("straw"))).status == "ready"
        assert left(made.images) == []
        assert (await ready(made, pip("straw"))).mounts


async def test_a_package_meets_the_same_wall_as_everything_else(
    data_dir: Path, warehouse: Registry
):
    secret = data_dir / "secret"
    secret.write_text("the key")
    look = f"open('/opt/packages/seen', 'w').write(str((os.path.exists({str(secret)!r}), os.getuid())))"
    link = "os.symlink('/etc/shadow', '/opt/packages/link')"
    warehouse.add(source("straw", f"{look}; {link}; os.mkfifo('/opt/packages/pipe')"))
    async with bench(data_dir, warehouse.url) as made:
        built = await ready(made, pip("straw"))
        assert await made.run(built, "cat", "/opt/packages/seen") == "(False, 1000)"
        packages = built.mounts[0].source
        assert not (packages / "pipe").exists()
        assert (packages / "seen").stat().st_uid == os.geteuid()


async def test_what_nobody_wants_is_removed_when_nobody_shows_it(
    data_dir: Path, warehouse: Registry
):
    warehouse.add(wheel("oats"), wheel("rye"))
    async with bench(data_dir, warehouse.url, keep_seconds=0) as made:
        body = {"config": {"type": "cloud", "packages": pip("rye")}}
        await made.store.environments.create(row=environment(body=body))
        await ready(made, pip("oats"))
        await ready(made, pip("rye"), "sesn_2")
        made.builder.release("sesn_2")
        assert await made.builder.sweep() == []
        made.builder.release("sesn_1")
        assert len(await made.builder.sweep()) == 1
        row, _ = await made.builder.state(pip("oats"), after=0, limit=1)
        assert row is not None
        assert row.status == "queued"
        assert (await made.ended(pip("rye"))).status == "ready"
        assert left(made.images) == []


@requirement("environments:cloud:packages-possible")
async def test_what_needs_a_root_is_refused_where_there_can_be_none(
    data_dir: Path, warehouse: Registry
):
    async with bench(data_dir, warehouse.url) as made:
        made.builder.check(pip("oats"))
        with pytest.raises(InvalidRequest, match=r"^config.packages.apt: .*there is no oven"):
            made.builder.check({"apt": ["jq"], "pip": ["oats"]})
        with pytest.raises(InvalidRequest, match=r"^config.packages.go: there is no go"):
            made.builder.check({"go": ["example.com/x"]})


async def test_a_root_that_cannot_be_made_is_a_failure_of_apt(data_dir: Path, warehouse: Registry):
    class Broken(NoRoots):
        async def make(self, destination: Path, **options: Any) -> None:
            await anyio.Path(destination).mkdir()
            options["progress"]("I: begun")
            raise SandboxError("no such package")

    async with bench(data_dir, warehouse.url, Broken()) as made:
        with pytest.raises(BuildFailed, match=r"^apt: no such package"):
            await ready(made, {"apt": ["jq"]})
        assert await made.log({"apt": ["jq"]}) == ["apt: jq", "I: begun"]
        assert left(made.images) == []
