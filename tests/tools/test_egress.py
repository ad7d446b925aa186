"""What the network of sandboxes decides, tells and writes down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import StartError
from gateway.policy.repository import parse
from gateway.registries import Registries, Registry, Tools
from gateway.settings import Egress
from gateway.tools.egress import INSIDE, REGISTRIES, Diary, Facts, Network, tightens
from sandbox.egress.rules import Decision, Denied, Request, Target, Verdict

UNRESTRICTED: Mapping[str, Any] = {"type": "unrestricted"}
MIRROR = Target("mirror.test", 8081)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def limited(*hosts: str, mcp: bool = False, packages: bool = False) -> Mapping[str, Any]:
    return {
        "type": "limited",
        "allowed_hosts": list(hosts),
        "allow_mcp_servers": mcp,
        "allow_package_managers": packages,
    }


async def mirror(_: Tools) -> Registry:
    return Registry(frozenset([f"http://{MIRROR}/simple"]), {"PIP_INDEX_URL": "http://mirror.test"})


async def network(directory: Path, *private: str) -> Network:
    """A network of which one session is known, in a world with one registry."""
    registries = Registries(managers={"pip": mirror})
    await registries.learn()
    made = Network(Egress(allowed_private_hosts=list(private)), registries, directory=directory)
    made.admit("session", Facts(networking=UNRESTRICTED))
    return made


async def test_a_session_that_nobody_knows_reaches_nothing(tmp_path: Path):
    verdict = await (await network(tmp_path)).decide("other", Target("any.test", 443))
    assert not verdict.allowed


async def test_hosts_are_private_only_where_the_operator_says_so(tmp_path: Path):
    made = await network(tmp_path, "Intern.test", "*.lan.test", "10.0.0.1")
    found = {
        host: (await made.decide("session", Target(host, 443))).private
        for host in ("intern.test", "a.lan.test", "lan.test", "10.0.0.1", "10.0.0.2", "mirror.test")
    }
    assert [host for host, private in found.items() if private] == [
        "intern.test",
        "a.lan.test",
        "10.0.0.1",
    ]


async def test_one_word_exempts_the_package_registries_of_the_machine(tmp_path: Path):
    made = await network(tmp_path, REGISTRIES)
    assert (await made.decide("session", MIRROR)).private
    assert not (await made.decide("session", Target("other.test", 8081))).private


async def test_packages_are_allowed_from_where_this_machine_gets_them(tmp_path: Path):
    made = await network(tmp_path)
    made.admit("session", Facts(networking=limited(packages=True)))
    assert (await made.decide("session", MIRROR)).rule == "network:package_managers"
    assert not (await made.decide("session", Target("mirror.test", 22))).allowed


def test_an_exception_that_is_no_host_is_refused_at_the_start(tmp_path: Path):
    for wrong in ("http://host.test", "a b", "10.0.0.0/8", "*"):
        with pytest.raises(StartError, match="allowed_private_hosts"):
            Network(Egress(allowed_private_hosts=[wrong]), Registries(), directory=tmp_path)


async def test_programs_are_told_where_the_proxy_is_and_whom_to_trust(tmp_path: Path):
    made = await network(tmp_path / "shown")
    env = made.env()
    assert {env[name] for name in ("http_proxy", "HTTPS_PROXY", "all_proxy")} == {
        "http://127.0.0.1:3128"
    }
    assert env["PIP_INDEX_URL"] == "http://mirror.test"
    async with made.running():
        (mount,) = made.mounts()
        assert (mount.target, mount.writable) == (INSIDE, False)
        shown = {f"{INSIDE}/{place.name}" for place in mount.source.iterdir()}
    named = {value.removeprefix("--require=") for value in env.values() if INSIDE in value}
    assert named == shown


def ask(path: str, port: int = 80) -> Request:
    return Request(
        method="GET",
        scheme="http",
        target=Target("git.test", port),
        path=path,
        headers=((b"authorization", b"from inside"),),
    )


@pytest.mark.parametrize(
    ("networking", "rule"),
    [(UNRESTRICTED, "network:unrestricted"), (limited(), "network:repository")],
)
async def test_a_repository_is_reached_with_its_token_as_it_is_now(
    tmp_path: Path, networking: Mapping[str, Any], rule: str
):
    free = networking == UNRESTRICTED
    tokens: dict[str, str] = {}

    async def token(resource: str) -> str | None:
        return tokens.get(resource)

    made = Network(Egress(), Registries(managers={}), directory=tmp_path, token=token)
    made.admit("one", Facts(networking=networking, repositories=(REPOSITORY,)))
    assert await made.decide("one", Target("git.test", 80)) == Verdict(True, rule)
    assert (await made.decide("one", Target("git.test", 443))).allowed is free
    own = ask("/o/r/info/refs?service=git-upload-pack")
    assert (await made.rewrite("one", own)).headers == ()
    tokens["sesrsc_1"] = "t"
    for _ in range(2):
        sent = await made.rewrite("one", own)
        assert (sent.server, sent.scheme) == (Target("git.test", 443), "https")
        assert sent.headers == ((b"authorization", b"Basic eC1hY2Nlc3MtdG9rZW46dA=="),)
    for path, scheme in (("/o/r2/git-upload-pack", "https"), ("/o", "http")):
        if free:
            sent = await made.rewrite("one", ask(path))
            assert (sent.scheme, sent.headers) == (scheme, ask(path).headers)
        else:
            with pytest.raises(Denied, match="network:not_allowed"):
                await made.rewrite("one", ask(path))
    made.admit("other", Facts(networking=networking))
    assert await made.rewrite("other", own) == own
    assert (await made.decide("other", own.target)).allowed is free


async def test_certificates_that_cannot_be_read_are_named_at_the_start(tmp_path: Path):
    settings = Egress(ca_file=tmp_path / "absent.pem")
    made = Network(settings, Registries(managers={}), directory=tmp_path)
    with pytest.raises(StartError, match=r"egress\.ca_file"):
        await made.running().__aenter__()


MORE = Target("more.test", 443)
REPOSITORY = parse("sesrsc_1", "https://git.test/o/r")


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        (Facts(networking=UNRESTRICTED), Facts(networking=UNRESTRICTED), False),
        (Facts(networking=UNRESTRICTED), Facts(networking=limited("a.test")), True),
        (Facts(networking=limited("a.test")), Facts(networking=UNRESTRICTED), False),
        (Facts(networking=limited("a.test")), Facts(networking=limited("a.test", "b.test")), False),
        (Facts(networking=limited("a.test", "b.test")), Facts(networking=limited("a.test")), True),
        (Facts(networking=limited(mcp=True)), Facts(networking=limited()), True),
        (Facts(networking=limited()), Facts(networking=limited(packages=True)), False),
        (
            Facts(networking=limited(mcp=True), mcp_hosts=frozenset([MORE])),
            Facts(networking=limited(mcp=True)),
            True,
        ),
        (
            Facts(networking=limited()),
            Facts(networking=limited(), repositories=(REPOSITORY,)),
            False,
        ),
        (
            Facts(networking=limited(), repositories=(REPOSITORY,)),
            Facts(networking=limited()),
            True,
        ),
    ],
)
def test_facts_are_tighter_where_something_is_not_allowed_any_more(
    before: Facts, after: Facts, less: bool
):
    assert tightens(before, after) is less


def decision(host: str = "a.test", *, allowed: bool = True) -> Decision:
    return Decision(
        owner="session", kind="connect", host=host, port=443, allowed=allowed, rule="network:r"
    )


def test_a_decision_is_logged_with_session_host_and_rule():
    with capture_logs() as lines:
        Diary().note(decision(allowed=False))
    assert lines == [
        {
            "event": "egress denied",
            "log_level": "info",
            "session": "session",
            "kind": "connect",
            "host": "a.test",
            "port": 443,
            "rule": "network:r",
            "times": 1,
        }
    ]


def test_the_same_decision_is_logged_less_and_less_often():
    diary = Diary()
    with capture_logs() as lines:
        for _ in range(1000):
            diary.note(decision())
    assert [line["times"] for line in lines] == [1, 10, 100, 1000]


def test_a_program_cannot_fill_the_log():
    diary = Diary()
    with capture_logs() as lines:
        for number in range(20_000):
            diary.note(decision(f"{number}.test"))
    assert len(lines) < 1100
    assert lines[-1]["host"] == ""
