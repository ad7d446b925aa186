"""Which policies are in force: loaded aside, replaced at once, never replaced by what is broken."""

import itertools
import signal
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import perf_counter

import anyio
import pytest
from structlog.testing import capture_logs

from gateway.clock import SystemClock
from gateway.errors import Overloaded, StartError
from gateway.policy.bundle import read_bundle
from gateway.policy.enterprise import Enterprise
from gateway.policy.facts import ToolFacts
from gateway.rulebook import Rulebook, Rules, read_directory
from gateway.settings.policy import PolicySettings
from gateway.store.store import Store
from tests.policy.shop import POLICIES, VOCABULARY_FILES, call, facts
from tests.store.places import Place

SECONDS = 20.0
READ_ONLY = """
@id("reads") permit (principal, action in Action::"read", resource);
"""
FETCH = ToolFacts(server="web", name="web_fetch", digest="d")
WRITE = ToolFacts(server="sandbox", name="write", digest="d")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    (directory / "all.cedar").write_text(READ_ONLY)
    return directory


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    async with Place("", tmp_path / "data").open() as store:
        yield store


def rulebook(store: Store, directory: Path | None, seconds: float = 0.01) -> Rulebook:
    settings = PolicySettings(directory=directory, reload_seconds=seconds)
    return Rulebook(settings, store, SystemClock())


async def opened(store: Store, directory: Path | None) -> Rulebook:
    book = rulebook(store, directory)
    await book.open()
    return book


def outcome(book: Rulebook, action: str = "web.web_search") -> str:
    judgement = book.judge(call(action, query="x"), facts("web"))
    assert judgement.ruling is not None
    return judgement.ruling.outcome


async def test_without_a_directory_nothing_is_judged(store: Store):
    book = await opened(store, None)
    judgement = book.judge(call("web.web_search", query="x"), facts("web"))
    assert (judgement.ruling, judgement.shadow, judgement.digest) == (None, None, "none")
    assert judgement.enforced
    assert book.reachable(FETCH, facts("web"))
    assert (await book.reload()).body() == {
        "type": "policy",
        "digest": "none",
        "loaded_at": None,
        "policies": 0,
        "shadow_policies": 0,
        "tools": 0,
        "warnings": [],
        "problems": [],
    }


async def test_the_directory_s_policies_judge_calls_and_lists(store: Store, policies: Path):
    book = await opened(store, policies)
    assert outcome(book) == "allow"
    assert book.reachable(FETCH, facts("web"))
    assert not book.reachable(WRITE, facts("sandbox"))
    status = book.status()
    assert (status.policies, status.tools, status.problems) == (1, 8, ())
    assert status.body()["loaded_at"].endswith("Z")


async def test_what_came_into_force_is_written_down_and_audited(store: Store, policies: Path):
    book = await opened(store, policies)
    row = await store.policy_sets.get(digest=book.rules.digest)
    assert row is not None
    assert row.files == {"all.cedar": READ_ONLY}
    assert row == await store.policy_sets.last()
    assert await store.policy_sets.get(digest="other") is None


async def test_a_reload_brings_what_changed_into_force(store: Store, policies: Path):
    book = await opened(store, policies)
    before = book.rules.digest
    (policies / "deny.cedar").write_text('@id("no") forbid (principal, action, resource);')
    status = await book.reload()
    assert (status.policies, status.problems) == (2, ())
    assert book.rules.digest != before
    assert outcome(book) == "deny"


async def test_cases_are_no_part_of_a_set(store: Store, policies: Path):
    book = await opened(store, policies)
    before = book.rules
    (policies / "tests").mkdir()
    (policies / "tests" / "some.toml").write_text("")
    await book.reload()
    assert book.rules is before


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("all.cedar", "", "there are no policies"),
        ("all.cedar", "permit (", "all.cedar:1: "),
        ("vocabulary.toml", "[grups]", "vocabulary.toml: grups: unknown key"),
        ("rules.toml", "[everyone", "rules.toml: "),
        ("all.cedar", "\udce9", "not UTF-8"),
    ],
)
async def test_what_is_broken_leaves_the_last_good_set_in_force_and_says_so_once(
    store: Store, policies: Path, file: str, text: str, reason: str
):
    book = await opened(store, policies)
    before = book.rules
    (policies / file).write_text(text, errors="surrogateescape")
    with capture_logs() as lines:
        for _ in range(3):
            status = await book.reload()
            assert reason in status.problems[0]
    assert book.rules is before
    assert [line["log_level"] for line in lines] == ["error"]
    (policies / file).unlink()
    (policies / "all.cedar").write_text(READ_ONLY)
    assert (await book.reload()).problems == ()


async def test_a_directory_that_is_gone_leaves_the_last_good_set_in_force(
    store: Store, policies: Path
):
    book = await opened(store, policies)
    before = book.rules
    policies.rename(policies.with_name("elsewhere"))  # noqa: ASYNC240 - a moment
    assert "there is no such directory" in (await book.reload()).problems[0]
    assert book.rules is before


async def test_after_a_restart_the_last_good_set_stands_in_for_a_broken_one(
    store: Store, policies: Path
):
    good = (await opened(store, policies)).rules.digest
    (policies / "all.cedar").write_text("permit (")
    with capture_logs() as lines:
        book = await opened(store, policies)
    assert book.rules.digest == good
    assert outcome(book) == "allow"
    assert "all.cedar:1" in book.status().problems[0]
    assert [line["digest"] for line in lines if line["log_level"] == "warning"] == [good]


async def test_without_any_good_set_the_gateway_does_not_start(store: Store, tmp_path: Path):
    with pytest.raises(StartError, match="there is no such directory"):
        await opened(store, tmp_path / "nothing")


async def test_a_last_set_that_this_version_cannot_read_does_not_start_either(
    store: Store, policies: Path
):
    book = await opened(store, policies)
    row = await store.policy_sets.last()
    assert row is not None
    files = {"all.cedar": READ_ONLY.replace('"read"', '"gone"')}
    await store.policy_sets.put(
        row=type(row)("later", files, row.loaded_at + 1),
        record=book._record(Rules()),  # pyright: ignore[reportPrivateUsage] - any record will do
    )
    (policies / "all.cedar").write_text("")
    with pytest.raises(StartError, match="neither can the last good ones"):
        await opened(store, policies)


async def test_a_database_that_does_not_take_a_set_keeps_the_last_one(store: Store, policies: Path):
    class Full:
        """A table that is full."""

        async def put(self, **_row: object) -> None:
            raise Overloaded("the disk is full")

    book = await opened(store, policies)
    before = book.rules
    full = replace(store, policy_sets=Full())  # pyright: ignore[reportArgumentType] - stands in
    book._store = full  # pyright: ignore[reportPrivateUsage] - as if the disk had filled
    with capture_logs() as lines, anyio.fail_after(SECONDS):
        async with book.running():
            (policies / "rules.toml").write_text('[everyone]\nallow = ["Bash(git *)"]')
            while not lines:  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)
    assert lines[0]["event"] == "cannot write down the policies in force"
    assert book.rules is before


async def test_warnings_of_a_set_are_logged_when_it_comes_into_force(store: Store, policies: Path):
    (policies / "rules.toml").write_text('[everyone]\nallow = ["Bash(git *)"]')
    with capture_logs() as lines:
        await opened(store, policies)
    assert "not a boundary" in lines[-1]["warning"]


async def test_without_a_directory_nothing_is_watched(store: Store):
    book = await opened(store, None)
    async with book.running():
        assert book.status().problems == ()


async def test_a_directory_that_never_settles_is_refused(
    store: Store, policies: Path, monkeypatch: pytest.MonkeyPatch
):
    book = await opened(store, policies)
    numbers = itertools.count()

    def read(_directory: Path) -> dict[str, str]:
        return {"all.cedar": str(next(numbers))}

    monkeypatch.setattr("gateway.rulebook.read_directory", read)
    assert "changes all the time" in (await book.reload()).problems[0]


async def test_changes_are_found_without_being_told(store: Store, policies: Path):
    book = await opened(store, policies)
    async with book.running():
        (policies / "deny.cedar").write_text('@id("no") forbid (principal, action, resource);')
        with anyio.fail_after(SECONDS):
            while outcome(book) != "deny":  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)


async def test_a_hangup_signal_reloads(store: Store, policies: Path):
    book = rulebook(store, policies, seconds=3600)
    await book.open()
    before = signal.getsignal(signal.SIGHUP)
    async with book.running():
        (policies / "deny.cedar").write_text('@id("no") forbid (principal, action, resource);')
        with anyio.fail_after(SECONDS):
            while signal.getsignal(signal.SIGHUP) == before:  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)
            signal.raise_signal(signal.SIGHUP)
            while outcome(book) != "deny":  # noqa: ASYNC110 - nothing tells of it
                await anyio.sleep(0.01)


async def test_shadow_policies_are_asked_and_decide_nothing(store: Store, policies: Path):
    (policies / "shadow").mkdir()
    (policies / "shadow" / "no.cedar").write_text(
        '@id("no") forbid (principal, action in Action::"egress", resource);'
    )
    book = await opened(store, policies)
    judgement = book.judge(call("web.web_search", query="x"), facts("web"))
    assert judgement.ruling is not None
    assert judgement.shadow is not None
    assert (judgement.ruling.outcome, judgement.shadow.outcome) == ("allow", "deny")
    assert judgement.shadow.policies == ("no",)
    assert (book.status().policies, book.status().shadow_policies) == (1, 1)
    assert book.reachable(FETCH, facts("web"))


async def test_an_unenforced_set_goes_on_to_judge_and_hides_nothing(store: Store, policies: Path):
    book = await opened(store, policies)
    await book.switches.suspend(reason="incident 12", actor="user_1", seconds=60)
    now = SystemClock().now()
    judgement = book.judge(
        call("sandbox.write", file_path="/x", content=""), facts("sandbox", now=now)
    )
    assert judgement.ruling is not None
    assert (judgement.ruling.outcome, judgement.enforced) == ("deny", False)
    assert book.reachable(WRITE, facts("sandbox", now=now))


async def test_a_stopped_tool_is_neither_listed_nor_called(store: Store, policies: Path):
    book = await opened(store, policies)
    await book.switches.throw(
        kind="tool", subject=FETCH.action, reason="leaks", actor="user_1", seconds=None
    )
    assert not book.reachable(FETCH, facts("web"))
    judgement = book.judge(call("web.web_fetch", url="https://a.example/"), facts("web"))
    assert judgement.switch == "the tool web.web_fetch was stopped: leaks"


def test_a_directory_is_read_no_further_than_its_limit(
    policies: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.rulebook.MAX_BYTES", 10)
    with pytest.raises(Exception, match="more than"):
        read_directory(policies)


def test_a_file_that_cannot_be_read_is_named(policies: Path):
    (policies / "dangling.cedar").symlink_to(policies / "nowhere")
    with pytest.raises(Exception, match=r"dangling.cedar: No such file"):
        read_directory(policies)


@pytest.mark.slow
def test_calls_are_judged_while_a_thousand_policies_are_read():
    """The longest wait between two judgements is a fraction of what the reading takes."""
    many = "\n".join(
        f'@id("p{n}") permit (principal == Agent::"a{n}", action == Action::"pay.refund", resource)'
        f" when {{ context.args.cents <= {n} }};"
        for n in range(1000)
    )
    files = {**VOCABULARY_FILES, "all.cedar": POLICIES + many}
    rules = read_bundle({**VOCABULARY_FILES, "all.cedar": POLICIES})
    assert rules.enterprise is not None
    # A busy machine may stall everybody at any time; the lock of the interpreter does always.
    shares = (_longest_wait(rules.enterprise, files) for _ in range(_ATTEMPTS))
    assert any(share < _SHARE for share in shares)


_ATTEMPTS, _SHARE = 6, 0.25


def _longest_wait(enterprise: Enterprise, files: dict[str, str]) -> float:
    """The longest time between two judgements while the files are read, of the time that took."""
    took: list[float] = []

    def read() -> None:
        began = perf_counter()
        read_bundle(files)
        took.append(perf_counter() - began)

    reading = Thread(target=read)
    reading.start()
    last, longest = perf_counter(), 0.0
    while reading.is_alive():
        ruling = enterprise.decide(call("pay.refund", charge="c", cents=1), facts("pay"))
        assert ruling.outcome == "allow"
        now = perf_counter()
        last, longest = now, max(longest, now - last)
    reading.join()
    return longest / took[0]
