"""Calls that wait for a person: listed, shown and answered over the API and as events."""

from dataclasses import replace
from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError, PermissionDeniedError
from httpx2 import Client, Response

from gateway.clock import rfc3339
from tests.api.asking import HOUR, Place
from tests.gateway import Running, Tenant
from tests.ledger.requirement import requirement

PATH = "/wharfkeep/v1/approvals"


@pytest.fixture
def place(gateway: Running, tenant: Tenant) -> Place:
    return Place(gateway, tenant)


def confirm(event: str, result: str = "allow") -> Any:
    return {"type": "user.tool_confirmation", "tool_use_id": event, "result": result}


def refusal(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["message"]


def test_an_approval_shows_what_is_asked_and_for_whom(place: Place, raw: Client):
    row = place.ask("user_1")
    shown = raw.get(f"{PATH}/{row.id}").json()
    assert shown == {
        "id": row.id,
        "type": "approval",
        "state": "pending",
        "workspace_id": place.tenant.workspace,
        "session_id": row.session,
        "session_thread_id": row.body["thread"],
        "tool_use_id": row.event,
        "acting_for": "user_1",
        "tool": "sandbox.bash",
        "arguments": {"command": "echo <b>refund</b>"},
        "arguments_digest": "d2",
        "tool_digest": "d1",
        "policy_set": "d3",
        "policies": ["writes-need-two"],
        "approvers": [],
        "second_person": True,
        "enterprise": True,
        "approver": None,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.created_at + HOUR),
        "decided_at": None,
    }


def test_the_list_is_newest_first_in_pages_and_by_state(place: Place, raw: Client):
    rows = [place.ask("user_1") for _ in range(3)]
    place.running.call(_deny, place, rows[1])
    first = raw.get(PATH, params={"limit": 2}).json()
    assert [shown["id"] for shown in first["data"]] == [rows[2].id, rows[1].id]
    rest = raw.get(PATH, params={"limit": 2, "page": first["next_page"]}).json()
    assert [shown["id"] for shown in rest["data"]] == [rows[0].id]
    assert rest["next_page"] is None
    waiting = raw.get(PATH, params={"state": "pending"}).json()["data"]
    assert [shown["id"] for shown in waiting] == [rows[2].id, rows[0].id]
    both = raw.get(f"{PATH}?state[]=pending&state[]=withdrawn").json()["data"]
    assert len(both) == 3
    assert "state" in refusal(raw.get(PATH, params={"state": "odd"}), 400)


async def _deny(place: Place, row: Any) -> None:
    await place.running.gateway.store.approvals.withdraw(id=row.id, now=1)


def test_another_workspace_has_no_such_approval(place: Place, gateway: Running):
    row = place.ask("user_1")
    with gateway.tenant().raw() as other:
        assert other.get(PATH).json()["data"] == []
        refusal(other.get(f"{PATH}/{row.id}"), 404)
        refusal(other.post(f"{PATH}/{row.id}", json={"decision": "approve"}), 404)
    assert place.found(row).state == "pending"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"decision": "allow"},
        {"decision": "approve", "message": "no"},
        {"decision": "deny", "message": 7},
        {"decision": "deny", "message": "x" * 16_385},
        {"decision": "deny", "why": "no"},
    ],
)
def test_a_malformed_answer_changes_nothing(place: Place, raw: Client, body: dict[str, Any]):
    row = place.ask("user_1")
    refusal(raw.post(f"{PATH}/{row.id}", json=body), 400)
    assert place.found(row).state == "pending"


def test_approving_sends_the_session_a_confirmation(place: Place):
    row = place.ask("user_1")
    user, theirs = place.person("Ann")
    with theirs.raw() as client:
        answer = client.post(f"{PATH}/{row.id}", json={"decision": "approve"}).json()
    assert answer["approver"] == user
    assert answer["decided_at"] is not None
    assert answer["state"] in ("approved", "used")
    assert place.answers(row) == [("allow", None)]


def test_denying_tells_the_model_why(place: Place, raw: Client):
    row = place.ask("user_1")
    body = {"decision": "deny", "message": "too much"}
    assert raw.post(f"{PATH}/{row.id}", json=body).json()["state"] == "denied"
    assert place.answers(row) == [("deny", "too much")]


@requirement("events:confirmation:approver")
@pytest.mark.parametrize("way", ["approval", "event"])
def test_the_acting_user_is_no_second_person(place: Place, way: str):
    user, theirs = place.person("Ann")
    row = place.ask(user)
    if way == "approval":
        with theirs.raw() as client:
            answer = client.post(f"{PATH}/{row.id}", json={"decision": "approve"})
        message = refusal(answer, 403)
        assert answer.json()["error"]["type"] == "permission_error"
    else:
        with theirs.client() as client, pytest.raises(PermissionDeniedError) as caught:
            client.beta.sessions.events.send(row.session, events=[confirm(row.event)])
        message = caught.value.message
    assert f"another person than {user}" in message
    assert "writes-need-two" in message
    assert place.found(row).state == "pending"
    assert place.answers(row) == []


def test_a_confirmation_sent_as_an_event_settles_the_approval(place: Place):
    row = place.ask("user_1")
    user, theirs = place.person("Ann")
    with theirs.client() as client:
        client.beta.sessions.events.send(row.session, events=[confirm(row.event)])
    found = place.found(row)
    assert (found.approver, found.state in ("approved", "used")) == (user, True)


def test_only_a_member_of_a_named_group_approves(place: Place, raw: Client):
    row = place.ask("user_1", approvers=["finance"])
    message = refusal(raw.post(f"{PATH}/{row.id}", json={"decision": "approve"}), 403)
    assert "a member of finance" in message


@pytest.mark.parametrize("scopes", [{"sessions:write"}, {"approvals:read", "sessions:*"}])
def test_a_key_without_the_scope_approves_nothing_by_any_way(place: Place, scopes: set[str]):
    row = place.ask("user_1")
    _, theirs = place.person("Ann", frozenset(scopes))
    with theirs.raw() as client:
        refusal(client.post(f"{PATH}/{row.id}", json={"decision": "approve"}), 403)
    with theirs.client() as client:
        with pytest.raises(PermissionDeniedError, match="approvals:answer"):
            client.beta.sessions.events.send(row.session, events=[confirm(row.event)])
        client.beta.sessions.events.send(row.session, events=[confirm(row.event, "deny")])
    assert place.found(row).state == "denied"


@requirement("events:confirmation:once")
def test_an_approval_is_answered_once(place: Place, raw: Client, client: Anthropic):
    row = place.ask("user_1")
    assert raw.post(f"{PATH}/{row.id}", json={"decision": "deny"}).status_code == 200
    message = refusal(raw.post(f"{PATH}/{row.id}", json={"decision": "approve"}), 400)
    assert "was denied already" in message
    with pytest.raises(BadRequestError, match="was denied already"):
        client.beta.sessions.events.send(row.session, events=[confirm(row.event)])
    assert place.answers(row) == [("deny", None)]


@requirement("events:confirmation:late")
def test_an_answer_that_comes_late_is_refused(place: Place, raw: Client):
    row = place.ask("user_1", expires_at=1)
    for decision in ("approve", "deny"):
        message = refusal(raw.post(f"{PATH}/{row.id}", json={"decision": decision}), 400)
        assert "could be answered until 1970" in message or "expired" in message


def test_an_answer_to_a_call_of_another_session_is_refused(place: Place, client: Anthropic):
    one, other = place.ask("user_1"), place.ask("user_1")
    with pytest.raises(BadRequestError, match="names no tool use of this session"):
        client.beta.sessions.events.send(one.session, events=[confirm(other.event)])
    assert place.found(other).state == "pending"


def test_an_answer_to_an_approval_that_was_replaced_approves_nothing(place: Place, raw: Client):
    row = place.ask("user_1")
    place.running.call(_ask_again, place, row)
    refusal(raw.post(f"{PATH}/{row.id}", json={"decision": "approve"}), 404)
    assert place.answers(row) == []


async def _ask_again(place: Place, row: Any) -> None:
    store = place.running.gateway.store
    claim = await store.log.claim(session=row.session, owner=store.leases.owner, now=1)
    assert claim is not None
    await store.log.append(
        session=row.session,
        epoch=claim.epoch,
        owner=store.leases.owner,
        events=[],
        head=claim.session.head,
        now=1,
        approvals=[replace(row, id=f"{row.id}2")],
        release=True,
    )
