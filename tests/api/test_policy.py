"""The policies in force, kill switches and enforcement, over the API."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Client, Response

from gateway.keys import digest, hint, new_key
from tests.gateway import Running, Tenant, serve

PATH = "/wharfkeep/v1/policy"
POLICIES = '@id("reads") permit (principal, action in Action::"read", resource);'


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("policies")
    (directory / "reads.cedar").write_text(POLICIES)
    return directory


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory, directory: Path) -> Generator[Running]:
    """A gateway with policies."""
    data_dir = tmp_path_factory.mktemp("ruled")
    with serve(data_dir, {"policy": {"directory": directory, "reload_seconds": 3600}}) as running:
        yield running


@pytest.fixture
def tenant(ruled: Running) -> Tenant:
    return ruled.tenant()


@pytest.fixture
def admin(ruled: Running, tenant: Tenant) -> Generator[Client]:
    """Somebody with a key that names the scope."""
    key = new_key()

    async def add() -> None:
        await ruled.gateway.store.keys.create(
            workspace=tenant.workspace,
            name="admin",
            sha256=digest(key),
            hint=hint(key),
            now=ruled.gateway.clock.now(),
            scopes=frozenset({"policy:admin", "policy:read"}),
        )

    ruled.call(add)
    with Tenant(tenant.url, tenant.workspace, key).raw() as client:
        yield client


def refusal(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def switch(**changes: Any) -> dict[str, Any]:
    return {"kind": "tool", "subject": "web.web_fetch", "reason": "it leaks", **changes}


def test_the_status_says_what_is_in_force(raw: Client):
    status = raw.get(PATH).json()
    assert (status["policies"], status["problems"], status["enforced"]) == (1, [], True)
    assert len(status["digest"]) == 64
    assert status["unenforced"] is None


def test_a_reload_says_what_is_wrong_and_keeps_what_is_good(admin: Client, directory: Path):
    before = admin.get(PATH).json()["digest"]
    (directory / "more.cedar").write_text("permit (")
    after = admin.post(PATH + "/reload").json()
    assert after["digest"] == before
    assert after["problems"][0].startswith("more.cedar:1: ")
    (directory / "more.cedar").unlink()
    assert admin.post(PATH + "/reload").json()["problems"] == []


def test_a_switch_is_thrown_listed_and_lifted(admin: Client, raw: Client):
    thrown = admin.post(PATH + "/switches", json=switch(seconds=60)).json()
    assert (thrown["kind"], thrown["subject"]) == ("tool", "web.web_fetch")
    assert thrown["thrown_at"] < thrown["until"]
    assert raw.get(PATH + "/switches").json() == {"data": [thrown]}
    lifted = admin.post(PATH + "/switches/lift", json={"kind": "tool", "subject": "web.web_fetch"})
    assert lifted.json()["type"] == "switch_lifted"
    assert raw.get(PATH + "/switches").json() == {"data": []}


def test_a_switch_without_an_end_says_so(admin: Client):
    assert admin.post(PATH + "/switches", json=switch(subject="x.y")).json()["until"] is None
    admin.post(PATH + "/switches/lift", json={"kind": "tool", "subject": "x.y"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"kind": "planet"}, "kind"), ({"subject": ""}, "subject"), ({"seconds": -1}, "seconds")],
)
def test_a_switch_that_makes_no_sense_is_refused(
    admin: Client, change: dict[str, Any], reason: str
):
    assert reason in refusal(admin.post(PATH + "/switches", json=switch(**change)), 400)


def test_what_is_not_stopped_is_not_found(admin: Client):
    body = {"kind": "tool", "subject": "nothing"}
    refusal(admin.post(PATH + "/switches/lift", json=body), 404)


def test_enforcement_is_switched_off_for_a_while_and_on_again(admin: Client):
    off = {"enforced": False, "reason": "incident 12", "seconds": 60}
    status = admin.post(PATH + "/enforcement", json=off).json()
    assert not status["enforced"]
    assert status["unenforced"]["reason"] == "incident 12"
    assert admin.get(PATH + "/switches").json() == {"data": []}
    assert admin.post(PATH + "/enforcement", json={"enforced": True}).json()["enforced"]


@pytest.mark.parametrize(
    "body",
    [
        {"enforced": False},
        {"enforced": False, "reason": "r"},
        {"enforced": False, "seconds": 60},
        {"enforced": False, "reason": "r", "seconds": 24 * 3600 + 1},
        {"enforced": False, "reason": "", "seconds": 60},
        {},
    ],
)
def test_enforcement_is_not_switched_off_without_a_reason_and_an_end(
    admin: Client, body: dict[str, Any]
):
    refusal(admin.post(PATH + "/enforcement", json=body), 400)
    assert admin.get(PATH).json()["enforced"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/reload", {}),
        ("/switches", switch()),
        ("/switches/lift", {"kind": "tool", "subject": "x"}),
        ("/enforcement", {"enforced": False, "reason": "r", "seconds": 60}),
    ],
)
def test_an_ordinary_key_changes_nothing(raw: Client, path: str, body: dict[str, Any]):
    assert "policy:admin" in refusal(raw.post(PATH + path, json=body), 403)
