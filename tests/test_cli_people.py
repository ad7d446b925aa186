"""Keys, workspaces, users and service accounts on the command line, beside a running gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.store.audit import Sought
from gateway.store.chain import AuditRecord, Entry
from gateway.store.records import Page
from tests.gateway import Running, Tenant, serve
from tests.test_cli import Ended, wharfkeep


class Office:
    """The command line on one data directory."""

    def __init__(self, directory: Path) -> None:
        self._data = ("--data-dir", str(directory))

    def __call__(self, *arguments: str) -> Ended:
        return wharfkeep(*arguments, *self._data)

    def json(self, *arguments: str) -> Any:
        ended = self(*arguments, "--json")
        assert ended.status == 0, ended.err
        return json.loads(ended.out)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "data")


def test_a_key_is_made_for_a_user_of_a_workspace(office: Office):
    support = office.json("workspaces", "create", "support")
    ada = office.json("users", "create", "Ada@example.com", "--name", "Ada", "--role", "user")
    assert (ada["email"], ada["name"], ada["role"]) == ("ada@example.com", "Ada", "user")
    refused = office("keys", "create", "--workspace", "support", "--user", "ada@example.com")
    assert refused.status == 1
    assert "is not a member of workspace" in refused.err
    office("workspaces", "members", "add", "support", "ada@example.com")
    key = office.json(
        "keys", "create", "laptop", "--workspace", "support", "--user", "ADA@example.com",
        "--scope", "sessions:*", "--scope", "agents:read", "--expires-in", "90d",
    )  # fmt: skip
    assert key["key"].startswith("wk-")
    assert (key["workspace_id"], key["principal_id"]) == (support["id"], ada["id"])
    assert key["scopes"] == ["agents:read", "sessions:*"]
    assert key["expires_at"] > key["created_at"]
    listed = office.json("keys", "list", "--workspace", "support")
    assert [row["id"] for row in listed] == [key["id"]]
    assert office("users", "remove", "ada@example.com").out == f"Removed {ada['id']}.\n"
    (left,) = office.json("keys", "list")
    assert left["status"] == "archived"
    assert office.json("users", "list") == []
    assert office.json("workspaces", "members", "list", "support") == []


def test_a_robot_has_keys_and_memberships(office: Office):
    office("workspaces", "create", "support")
    robot = office.json("service-accounts", "create", "deploy", "--description", "Deploys.")
    added = office.json(
        "workspaces", "members", "add", "support", "deploy", "--role", "workspace_user"
    )
    assert (added["principal_id"], added["workspace_role"]) == (robot["id"], "workspace_user")
    again = office.json(
        "workspaces", "members", "add", "support", robot["id"], "--role", "workspace_admin"
    )
    assert office.json("workspaces", "members", "list", "support") == [again]
    office("keys", "create", "--workspace", "support", "--service-account", "deploy")
    assert office("workspaces", "members", "remove", "support", "deploy").status == 0
    ended = office("workspaces", "members", "remove", "support", "deploy")
    assert ended == Ended(1, "", "wharfkeep: deploy is not a member of workspace support\n")
    assert "deploy" in office("service-accounts", "list").out
    archived = office.json("service-accounts", "archive", "deploy")
    assert archived["archived_at"]
    assert office.json("service-accounts", "list") == []
    assert office.json("service-accounts", "list", "--archived") == [archived]
    assert [key["status"] for key in office.json("keys", "list")] == ["archived"]


def test_archiving_a_workspace_takes_its_keys_with_it(office: Office):
    support = office.json("workspaces", "create", "support")
    office("keys", "create", "--workspace", support["id"])
    office("keys", "create", "--organization")
    assert office("workspaces", "archive", "support").out == f"Archived {support['id']}.\n"
    assert [key["status"] for key in office.json("keys", "list")] == ["archived", "active"]
    assert [w["name"] for w in office.json("workspaces", "list")] == ["default"]
    assert len(office.json("workspaces", "list", "--archived")) == 2
    assert "organization" in office("keys", "list").out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("keys", "create", "--scope", "everything"), 1, "scopes: 'everything' is not one of"),
        (("keys", "create", "--expires-in", "soon"), 2, "such as 90d"),
        (("keys", "create", "--organization", "--workspace", "default"), 2, "exclude each other"),
        (("keys", "create", "--user", "a@b.c", "--service-account", "d"), 2, "exclude each other"),
        (("keys", "create", "--workspace", "none"), 1, "workspace none not found"),
        (("keys", "create", "--user", "a@b.c"), 1, "user a@b.c not found"),
        (("keys", "create", "a\x1b[2J"), 2, "must not hold control characters"),
        (("users", "create", "nobody"), 2, "must be an e-mail address"),
        (("users", "remove", "user_none"), 1, "user user_none not found"),
        (("service-accounts", "create", "Deploy"), 2, "must be lower-case letters"),
        (("service-accounts", "archive", "none"), 1, "service account none not found"),
        (("workspaces", "create", "default"), 1, "name: a workspace with the name"),
        (("workspaces", "archive", "default"), 1, "cannot be archived"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(
    office: Office, arguments: tuple[str, ...], status: int, said: str
):
    ended = office(*arguments)
    assert (ended.status, ended.out) == (status, "")
    assert said in ended.err


def test_what_is_done_beside_a_running_gateway_holds_there_and_is_recorded(tmp_path: Path):
    office = Office(tmp_path)
    with serve(tmp_path) as running:
        made = office.json("keys", "create", "--scope", "agents:read")
        with Tenant(running.url, made["workspace_id"], made["key"]).client() as client:
            assert list(client.beta.agents.list()) == []
        records = _records(running)
    assert [(r.kind, r.outcome, r.actor, r.body["key"]) for r in records] == [
        ("key", "created", None, made["id"])
    ]
    assert made["key"] not in str(records)


def _records(running: Running) -> list[AuditRecord]:
    page: Page[Entry] = running.call(_search, running, Sought(kind="key"))
    return [entry.record for entry in page.rows]


async def _search(running: Running, sought: Sought) -> Page[Entry]:
    return await running.gateway.store.audit.search(sought, limit=9)
