"""The audit trail as clients and operators see it: searched, verified, exported."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client

from gateway.clock import rfc3339
from gateway.store.checkpoints import MAX_HEADS
from gateway.store.store import DATABASE
from tests.gateway import SECONDS, Running, serve
from tests.house.tree import ROOT
from tests.store.trail import record

PATH = "/wharfkeep/v1/audit"


@pytest.fixture
def place(tmp_path: Path) -> Generator[Running]:
    """A gateway of its own: what is verified is everything there is."""
    with serve(tmp_path / "data") as running:
        yield running


def write(place: Running, *records: Any, chain: str = "sesn_1") -> None:
    place.call(partial(place.gateway.store.audit.write, chain, records))


def get(client: Client, path: str = PATH, *, _status: int = 200, **query: Any) -> dict[str, Any]:
    with client:
        answer = client.get(path, params=query)
    assert answer.status_code == _status, answer.text
    return answer.json()


def wharfkeep(place: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "gateway", "audit", *arguments],
        env={"PYTHONPATH": str(ROOT), "WHARFKEEP_DATA_DIR": str(place.data_dir)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def meddle(place: Running, statement: str) -> None:
    with sqlite3.connect(place.data_dir / DATABASE, timeout=SECONDS) as database:
        database.execute(statement)
    database.close()


def test_a_workspace_sees_what_happened_in_it_and_nothing_else(place: Running):
    tenant = place.tenant()
    own = record("aud_1", at=1_000_000, workspace=tenant.workspace)
    write(place, own, record("aud_2", workspace="wrkspc_other"), record("aud_3", workspace=None))
    (found,) = get(tenant.raw())["data"]
    assert found.pop("mac")
    assert found == {
        "id": "aud_1",
        "type": "audit_record",
        "created_at": "1970-01-01T00:00:01.000000Z",
        "kind": "decision",
        "workspace_id": tenant.workspace,
        "session_id": "sesn_1",
        "event_id": "sevt_1",
        "actor": "user_1",
        "tool": "sandbox.bash",
        "outcome": "allow",
        "body": own.body,
        "chain": "sesn_1",
        "n": 1,
    }
    assert get(tenant.raw(), workspace="wrkspc_other")["data"][0]["id"] == "aud_1"


def test_the_organization_sees_everything_or_one_workspace(place: Running):
    write(place, record("aud_1"), record("aud_2", workspace="wrkspc_2"))
    write(place, record("aud_3", workspace=None), chain="gateway")
    admin = place.administrator()
    assert {"aud_1", "aud_2", "aud_3"} <= {r["id"] for r in get(admin.raw())["data"]}
    assert [r["id"] for r in get(admin.raw(), workspace="wrkspc_2")["data"]] == ["aud_2"]
    auditor = place.key(place.tenant().workspace, scopes=frozenset({"audit:admin", "audit:read"}))
    assert [r["id"] for r in get(auditor.raw(), workspace="wrkspc_2")["data"]] == ["aud_2"]


def test_records_are_found_by_every_filter_and_paged(place: Running):
    tenant = place.tenant()
    write(
        place,
        *(
            record(f"aud_{n}", at=n, workspace=tenant.workspace, outcome="deny" if n % 2 else "ask")
            for n in range(6)
        ),
    )
    assert [r["id"] for r in get(tenant.raw(), outcome="deny")["data"]] == [
        "aud_5",
        "aud_3",
        "aud_1",
    ]
    for name, value in {
        "actor": "user_1",
        "tool": "sandbox.bash",
        "session": "sesn_1",
        "kind": "decision",
    }.items():
        for wanted, count in ((value, 6), ("nobody", 0)):
            query: Any = {name: wanted}
            assert len(get(tenant.raw(), **query)["data"]) == count
    between: Any = {"created_at[gte]": rfc3339(2), "created_at[lt]": rfc3339(4)}
    some = get(tenant.raw(), **between)
    assert [r["id"] for r in some["data"]] == ["aud_3", "aud_2"]
    first = get(tenant.raw(), limit=4, order="asc")
    second = get(tenant.raw(), limit=4, order="asc", page=first["next_page"])
    assert [r["id"] for r in first["data"] + second["data"]] == [f"aud_{n}" for n in range(6)]
    assert second["next_page"] is None


def test_the_whole_trail_is_verified_and_a_break_is_located(place: Running):
    admin = place.administrator()
    write(place, record("aud_1"), record("aud_2"))
    intact = get(admin.raw(), f"{PATH}/verify")
    assert (intact["type"], intact["valid"], intact["breaks"]) == ("audit_verification", True, [])
    assert intact["records"] >= 2
    assert intact["next_page"] is None
    meddle(place, "UPDATE audit SET outcome = 'deny' WHERE id = 'aud_2'")
    broken = get(admin.raw(), f"{PATH}/verify")
    assert broken["valid"] is False
    assert [(b["chain"], b["n"]) for b in broken["breaks"]] == [("sesn_1", 2)]


def test_a_verification_goes_on_where_the_time_was_up(
    place: Running, monkeypatch: pytest.MonkeyPatch
):
    write(place, record("aud_1"))
    monkeypatch.setattr("gateway.api.audit.VERIFY_SECONDS", 0)
    admin = place.administrator()
    first = get(admin.raw(), f"{PATH}/verify")
    assert (first["records"], first["valid"]) == (0, True)
    monkeypatch.undo()
    rest = get(admin.raw(), f"{PATH}/verify", page=first["next_page"])
    assert rest["records"] >= 1
    assert rest["next_page"] is None


@pytest.mark.parametrize("page", ["nonsense", "W10=", "WzEsMiwzXQ==", "\u00e9"])
def test_a_page_that_was_never_given_is_refused(place: Running, page: str):
    error = get(place.administrator().raw(), f"{PATH}/verify", _status=400, page=page)
    assert "page" in error["error"]["message"]


def test_verifying_takes_a_key_of_the_organization_or_the_scope(place: Running):
    workspace = place.tenant().workspace
    error = get(place.key(workspace).raw(), f"{PATH}/verify", _status=403)
    assert "audit:admin" in error["error"]["message"]
    allowed = place.key(workspace, scopes=frozenset({"audit:read", "audit:admin"}))
    assert get(allowed.raw(), f"{PATH}/verify")["valid"]
    get(place.key(workspace, scopes=frozenset({"files:read"})).raw(), PATH, _status=403)


def test_the_command_line_verifies_beside_the_server(place: Running):
    write(place, record("aud_1"), record("aud_2"))
    ended = wharfkeep(place, "verify")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("intact: ")
    meddle(place, "DELETE FROM audit WHERE id = 'aud_1'")
    ended = wharfkeep(place, "verify", "--json")
    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert told["valid"] is False
    assert told["breaks"] == [{"chain": "sesn_1", "n": 1, "problem": "records 1 to 1 are missing"}]
    ended = wharfkeep(place, "verify")
    assert ended.returncode == 1
    assert "broken sesn_1 1: records 1 to 1 are missing\n" in ended.stdout


def test_the_command_line_searches(place: Running):
    write(place, record("aud_1", at=1), record("aud_2", at=2, outcome="deny"))
    ended = wharfkeep(place, "search", "--session", "sesn_1", "--json")
    assert [r["id"] for r in json.loads(ended.stdout)] == ["aud_2", "aud_1"]
    ended = wharfkeep(place, "search", "--outcome", "deny", "--kind", "decision", "--limit", "5")
    assert ended.stdout.split() == [
        "1970-01-01T00:00:00.000002Z", "decision", "deny", "sandbox.bash", "user_1",
        "policy:always_allow",
    ]  # fmt: skip
    ended = wharfkeep(place, "search", "--since", "1971-01-01", "--session", "sesn_1")
    assert ended.stdout == ""
    ended = wharfkeep(place, "search", "--until", "yesterday")
    assert ended.returncode == 2
    assert "RFC 3339" in ended.stderr


@pytest.mark.parametrize("shape", ["jsonl", "ocsf"])
def test_an_export_holds_the_trail_to_what_it_said(place: Running, tmp_path: Path, shape: str):
    file = tmp_path / "export.jsonl"
    write(place, *(record(f"aud_{n}", at=n) for n in range(3)))
    place.call(partial(place.gateway.store.audit.checkpoint, id="aud_c", now=9))
    ended = wharfkeep(place, "export", "--format", shape, "--output", str(file))
    assert ended.stderr.endswith(" records exported.\n")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [line.get("id") or line["metadata"]["uid"] for line in lines][:3] == [
        "aud_0",
        "aud_1",
        "aud_2",
    ]
    ended = wharfkeep(place, "verify", "--against", str(file))
    assert ended.returncode == 0, ended.stdout
    # Somebody with the database cuts the end off everywhere: only the export remembers.
    meddle(place, "DELETE FROM audit WHERE chain <> 'sesn_1' OR n > 1")
    meddle(place, "DELETE FROM audit_checkpoints")
    meddle(place, "DELETE FROM audit_heads WHERE chain <> 'sesn_1'")
    meddle(place, "UPDATE audit_heads SET n = 1, mac = (SELECT mac FROM audit)")
    assert wharfkeep(place, "verify").returncode == 0
    ended = wharfkeep(place, "verify", "--against", str(file))
    assert ended.returncode == 1
    assert "broken sesn_1 2: record 2 is not the one in export.jsonl\n" in ended.stdout


def test_a_forged_export_is_told_line_by_line(place: Running, tmp_path: Path):
    file = tmp_path / "export.jsonl"
    write(place, record("aud_1"))
    place.call(partial(place.gateway.store.audit.checkpoint, id="aud_c", now=9))
    wharfkeep(place, "export", "--kind", "checkpoint", "--output", str(file))
    forged = file.read_text(encoding="utf-8").replace('"at": 9', '"at": 8')
    file.write_text(f"{forged}nonsense\n[]\n{{}}\n", encoding="utf-8")
    ended = wharfkeep(place, "verify", "--against", str(file), "--json")
    lines = [b["n"] for b in json.loads(ended.stdout)["breaks"] if b["chain"] == "the file"]
    assert len(lines) == 4 or lines == [2, 3, 4]
    assert ended.returncode == 1


def test_an_export_goes_to_standard_output_and_never_over_a_file(place: Running, tmp_path: Path):
    write(place, *(record(f"aud_{n}", at=n) for n in range(MAX_HEADS + 5)))
    ended = wharfkeep(place, "export", "--session", "sesn_1")
    assert len(ended.stdout.splitlines()) == MAX_HEADS + 5
    there = tmp_path / "there"
    there.touch()
    ended = wharfkeep(place, "export", "--output", str(there))
    assert ended.returncode == 1
    assert "File exists" in ended.stderr


def test_verifying_with_another_key_says_so(place: Running):
    write(place, record("aud_1"))
    key = place.data_dir / "audit.key"
    key.write_bytes(bytes(32))
    ended = wharfkeep(place, "verify")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "another key" in ended.stderr
