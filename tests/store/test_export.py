"""The audit trail is delivered at least once to every sink, and nothing is lost when one is down."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest
import structlog
from pydantic import SecretStr

from gateway import export as exporting
from gateway import sinks
from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.export import Export
from gateway.settings.policy import AuditSettings
from gateway.sinks import FileSink, HttpSink, OtlpSink, Sink, Undelivered, open_sinks
from gateway.store.store import Store
from tests.house.tree import ROOT
from tests.store.places import Place
from tests.store.receiver import Receiver, receiving
from tests.store.trail import meddle, record, verified


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Exporter(Protocol):
    def __call__(self, store: Store, *sinks: Sink, **settings: Any) -> Export: ...


@pytest.fixture
async def exporter(template: str) -> AsyncGenerator[Exporter]:  # made before any event loop runs
    """Makes exports whose connections are closed when the test is over."""
    opened: list[Sink] = []

    def make(store: Store, *sinks: Sink, **settings: Any) -> Export:
        opened.extend(sinks)
        return Export(store.audit, SystemClock(), AuditSettings(**settings), sinks)

    yield make
    for sink in opened:
        await sink.aclose()


async def write(store: Store, *ids: str, chain: str = "gateway") -> None:
    await store.audit.write(chain, [record(name, at=n) for n, name in enumerate(ids)])


def lines(file: Path) -> list[str]:
    return [json.loads(line)["metadata"]["uid"] for line in file.read_text("utf-8").splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - a file or another thread is watched
            await anyio.sleep(0.01)


async def test_records_are_appended_to_a_file_once(
    exporter: Exporter, store: Store, tmp_path: Path
):
    file = tmp_path / "audit.jsonl"
    export = exporter(store, FileSink(file))
    await write(store, "a", "b")
    await export.deliver()
    await write(store, "c", chain="sesn_1")
    await export.deliver()
    await export.deliver()
    assert lines(file) == ["a", "b", "c"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await store.audit.backlog()).records == 0
    assert await verified(store) == []


async def test_a_file_that_was_moved_away_is_begun_anew(
    exporter: Exporter, store: Store, tmp_path: Path
):
    file, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    export = exporter(store, FileSink(file))
    await write(store, "a")
    await export.deliver()
    file.rename(old)
    await write(store, "b", chain="sesn_1")
    await export.deliver()
    assert (lines(old), lines(file)) == (["a"], ["b"])


async def test_a_line_that_a_crash_cut_off_does_not_spoil_the_next(
    exporter: Exporter, store: Store, tmp_path: Path
):
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b'{"half":')
    await write(store, "a")
    await exporter(store, FileSink(file)).deliver()
    half, whole = file.read_bytes().splitlines()
    assert half == b'{"half":'
    assert json.loads(whole)["metadata"]["uid"] == "a"


async def test_a_file_that_cannot_be_written_loses_nothing(
    exporter: Exporter, store: Store, tmp_path: Path
):
    folder = tmp_path / "logs"
    export = exporter(store, FileSink(folder / "audit.jsonl"), require_delivery=True)
    await write(store, "a")
    with pytest.raises(Undelivered, match="No such file"):
        await export.deliver()
    assert not export.healthy
    assert "audit.jsonl: No such file" in export.behind
    assert export.refusal == export.behind
    folder.mkdir()
    await export.deliver()
    assert lines(folder / "audit.jsonl") == ["a"]
    assert export.healthy
    assert export.refusal == ""


async def test_what_is_not_a_file_is_not_written_to():
    with pytest.raises(Undelivered, match="is not a file"):
        await FileSink(Path("/dev/full")).deliver([{}])


def test_a_full_disk_leaves_no_half_of_a_batch(tmp_path: Path):
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"{}\n")
    code = (
        "import resource, sys, anyio, pathlib\n"
        "from gateway.sinks import FileSink, Undelivered\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: anyio.run(FileSink(pathlib.Path(sys.argv[1])).deliver, [{'x': 'y' * 5000}])\n"
        "except Undelivered as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, cwd=ROOT,
        timeout=50, check=False, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("File too large\n", "")
    assert file.read_bytes() == b"{}\n"


async def test_records_are_posted_as_an_array_with_the_token(
    exporter: Exporter, store: Store, receiver: Receiver
):
    await write(store, "a", "b")
    await exporter(store, HttpSink(receiver.url, "s3cret")).deliver()
    assert receiver.ids == ["a", "b"]
    assert receiver.headers["authorization"] == "Bearer s3cret"
    assert receiver.headers["content-type"] == "application/json"
    assert receiver.taken[0][0]["class_uid"] == 6003


async def test_what_an_endpoint_refused_is_offered_again(
    exporter: Exporter, store: Store, receiver: Receiver
):
    export = exporter(store, HttpSink(receiver.url, None))
    receiver.replies = [(500, b""), (302, b"")]
    await write(store, "a")
    for status in (500, 302):
        with pytest.raises(Undelivered, match=f"answered {status}"):
            await export.deliver()
        assert "127.0.0.1" in export.behind
    await write(store, "b", chain="sesn_1")
    await export.deliver()
    assert receiver.ids == ["a", "b"]


async def test_a_batch_that_is_too_large_goes_in_pieces(
    exporter: Exporter, store: Store, receiver: Receiver
):
    receiver.replies = [(413, b""), (413, b"")]
    await write(store, *"abcdefgh")
    await exporter(store, HttpSink(receiver.url, None)).deliver()
    assert [len(batch) for batch in receiver.taken] == [2, 2, 4]
    assert receiver.ids == list("abcdefgh")


async def test_one_record_that_is_too_large_is_not_dropped(
    exporter: Exporter, store: Store, receiver: Receiver
):
    receiver.replies = [(413, b"")]
    export = exporter(store, HttpSink(receiver.url, None))
    await write(store, "a")
    with pytest.raises(Undelivered, match="413"):
        await export.deliver()
    assert (await store.audit.backlog()).records == 1


async def test_an_endpoint_that_says_nothing_has_a_deadline(
    exporter: Exporter, store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sinks, "SECONDS", 0.1)
    receiver.hold.clear()
    await write(store, "a")
    with anyio.fail_after(10), pytest.raises(Undelivered):
        await exporter(store, HttpSink(receiver.url, None)).deliver()


async def test_an_endless_answer_is_not_read(exporter: Exporter, store: Store, receiver: Receiver):
    receiver.replies = [(200, b"x" * 1_000_000)]
    await write(store, "a")
    with pytest.raises(Undelivered, match="too long"):
        await exporter(store, HttpSink(receiver.url, None)).deliver()


async def test_a_healthy_sink_gets_nothing_twice_while_another_is_down(
    exporter: Exporter, store: Store, receiver: Receiver, tmp_path: Path
):
    file = tmp_path / "audit.jsonl"
    export = exporter(store, FileSink(file), HttpSink(receiver.url, None))
    receiver.replies = [(503, b"")] * 3
    await write(store, "a", "b")
    for _ in range(3):
        with pytest.raises(Undelivered):
            await export.deliver()
    await write(store, "c", chain="sesn_1")
    await export.deliver()
    assert sorted(lines(file)) == sorted(receiver.ids) == ["a", "b", "c"]


async def test_a_collector_gets_log_records(exporter: Exporter, store: Store, receiver: Receiver):
    await write(store, "a")
    await store.audit.write("sesn_1", [record("b", at=5_000, outcome="deny")])
    await exporter(store, OtlpSink(receiver.url)).deliver()
    (resource,) = receiver.taken[0]["resourceLogs"]
    assert resource["resource"]["attributes"][0] == {
        "key": "service.name",
        "value": {"stringValue": "wharfkeep"},
    }
    one, other = resource["scopeLogs"][0]["logRecords"]
    assert (one["severityNumber"], other["severityNumber"]) == (9, 13)
    assert other["timeUnixNano"] == "5000000"
    assert json.loads(other["body"]["stringValue"])["metadata"]["uid"] == "b"
    shown = {item["key"]: item["value"]["stringValue"] for item in other["attributes"]}
    assert shown == {
        "audit.id": "b",
        "audit.kind": "decision",
        "audit.chain": "sesn_1",
        "audit.n": "1",
    }


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (b'{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no"}}', False),
        (b'{"partialSuccess":{"rejectedLogRecords":0}}', True),
        (b'{"partialSuccess":{}}', True),
        (b"", True),
        (b"[]", True),
    ],
)
async def test_a_collector_that_drops_records_has_not_taken_them(
    exporter: Exporter, store: Store, receiver: Receiver, answer: bytes, taken: bool
):
    receiver.replies = [(200, answer)]
    await write(store, "a")
    export = exporter(store, OtlpSink(receiver.url))
    if taken:
        await export.deliver()
    else:
        with pytest.raises(Undelivered, match="rejected 1 records"):
            await export.deliver()
    assert (await store.audit.backlog()).records == int(not taken)


async def test_batches_are_bounded_in_number_and_in_bytes(
    exporter: Exporter, store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporting, "BATCH", 4)
    monkeypatch.setattr(exporting, "BATCH_BYTES", 3000)
    big = [record(f"big{n}", at=n, body={"x": "y" * 1200}) for n in range(5)]
    await store.audit.write("sesn_1", [*big, record("huge", at=9, body={"x": "y" * 9000})])
    await write(store, *"abcdef")
    await exporter(store, HttpSink(receiver.url, None)).deliver()
    assert Counter(receiver.ids) == Counter([*(f"big{n}" for n in range(5)), "huge", *"abcdef"])
    assert max(len(batch) for batch in receiver.taken) <= 4
    assert ["huge"] in [[e["metadata"]["uid"] for e in batch] for batch in receiver.taken]


async def test_a_sink_down_for_a_while_gets_everything_when_it_is_up_again(
    exporter: Exporter, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporting, "RETRY_SECONDS", (0.01, 0.05))
    monkeypatch.setattr(exporting, "PAUSE_SECONDS", 0.01)
    with receiving() as gone:
        url, port = gone.url, int(gone.url.split(":")[2].partition("/")[0])
    export = exporter(store, HttpSink(url, None))
    with structlog.testing.capture_logs() as logged:
        async with export.running():
            await write(store, *(f"x{n}" for n in range(10)))
            await until(lambda: not export.healthy)
            await write(store, *(f"y{n}" for n in range(10)), chain="sesn_1")
            await until(lambda: any(entry.get("records", 0) >= 20 for entry in logged))
            with receiving(port) as back:
                await until(lambda: export.healthy and len(set(back.ids)) >= 20)
                assert {f"{a}{n}" for a in "xy" for n in range(10)} <= set(back.ids)
    told = [entry for entry in logged if entry["event"] == "audit records not delivered"]
    assert told[0]["log_level"] == "warning"
    assert url in told[0]["reason"]
    assert told[0]["since"] == "1970-01-01T00:00:00.000000Z"


async def test_heads_are_signed_while_it_runs(exporter: Exporter, store: Store):
    await write(store, "a")
    export = exporter(store, checkpoint_seconds=0.01)
    async with export.running():
        with anyio.fail_after(20):
            while await store.audit.count() < 2:  # noqa: ASYNC110 - the database is watched
                await anyio.sleep(0.01)
    assert await verified(store) == []
    assert (export.healthy, export.behind) == (True, "")


async def test_a_record_that_somebody_has_changed_goes_out_and_stops_nothing(
    exporter: Exporter, store: Store, tmp_path: Path
):
    file = tmp_path / "audit.jsonl"
    await write(store, "a", "b", "c")
    await meddle(store, "UPDATE audit SET record = mac WHERE id = 'a'")
    forged = json.dumps({**json.loads(await written(store, "b")), "body": {"agent": 1}}).encode()
    await meddle(store, "UPDATE audit SET record = :new WHERE id = 'b'", new=forged)
    await exporter(store, FileSink(file)).deliver()
    assert lines(file) == ["a", "b", "c"]


async def written(store: Store, identity: str) -> bytes:
    (found,) = [e for e in await store.audit.unsent(limit=9) if e.record.id == identity]
    return found.written


@pytest.mark.slow
async def test_a_gateway_killed_after_delivering_delivers_again(
    exporter: Exporter, place: Place, tmp_path: Path
):
    file = tmp_path / "audit.jsonl"
    process = await anyio.open_process(
        [sys.executable, "-m", "tests.store.delivering", place.url, str(place.data_dir), str(file)],
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        with anyio.fail_after(30):
            assert await process.stdout.receive() == b"delivered\n"
    finally:
        process.kill()
        await process.aclose()
    every = [f"aud_{n}" for n in range(5)]
    assert lines(file) == every
    async with place.open() as store:
        export = exporter(store, FileSink(file))
        await turn_of(store)
        await export.deliver()
        await export.deliver()
        assert await verified(store) == []
    assert lines(file) == every + every


async def turn_of(store: Store) -> None:
    with anyio.fail_after(20):
        while not await store.audit.turn.take():  # noqa: ASYNC110 - another process's lock
            await anyio.sleep(0.01)


async def test_of_several_gateways_one_delivers_and_another_goes_on_when_it_ends(
    exporter: Exporter, database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporting, "PAUSE_SECONDS", 0.01)
    files = [tmp_path / "one.jsonl", tmp_path / "other.jsonl"]

    def delivered() -> Sequence[str]:
        return [name for file in files if file.exists() for name in lines(file)]

    async with database.open() as other, exporter(other, FileSink(files[1])).running():
        async with database.open() as one, exporter(one, FileSink(files[0])).running():
            for n in range(20):
                await write(one, *(f"{n}.{k}" for k in range(5)), chain=f"sesn_{n % 3}")
                await write(other, f"{n}.x", chain="gateway")
            await until(lambda: decisions(delivered()) >= 120)
        await write(other, "last", chain="sesn_9")
        await until(lambda: "last" in delivered())
    counted = Counter(name for name in delivered() if not name.startswith("audit_"))
    assert len(counted) == 121
    assert set(counted.values()) == {1}


def decisions(ids: Sequence[str]) -> int:
    return sum(not name.startswith("audit_") for name in ids)


async def test_a_gateway_notices_that_the_one_whose_turn_it_is_delivers_nothing(
    exporter: Exporter, database: Place
):
    async with database.open() as one, database.open() as other:
        assert await one.audit.turn.take()
        export = exporter(other, FileSink(Path("/nowhere/audit.jsonl")), require_delivery=True)
        await export.deliver()
        assert export.healthy
        await write(one, "old")
        await export.deliver()
        assert export.refusal == "nothing delivered since 1970-01-01T00:00:00.000000Z"
        await one.audit.mark(await one.audit.unsent(limit=1))
        await export.deliver()
        assert export.healthy


def test_the_configuration_says_which_sinks_there_are(tmp_path: Path):
    settings = AuditSettings(
        file=tmp_path / "a",
        http_url="https://me:pw@siem.example/in?token=x",
        http_token=SecretStr("t"),
        otlp_url="http://collector/v1/logs",
    )
    names = [sink.name for sink in open_sinks(settings)]
    assert names == [str(tmp_path / "a"), "https://siem.example/in", "http://collector/v1/logs"]
    assert open_sinks(AuditSettings()) == []


@pytest.mark.parametrize("name", ["http_url", "otlp_url"])
def test_an_address_that_is_none_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"audit.{name}"):
        open_sinks(AuditSettings.model_validate({name: "siem.example"}))
