"""Signed links: a page that asks, a button that answers, and nothing for whoever forges one."""

import re
from typing import Any

import pytest
from httpx2 import Client, Response

from gateway.loop.approval import LINK
from gateway.store.approvals import ApprovalRow
from gateway.vault.links import Link
from tests.api.asking import HOUR, Place
from tests.gateway import SECONDS, Running, Tenant


@pytest.fixture
def place(gateway: Running, tenant: Tenant) -> Place:
    return Place(gateway, tenant)


@pytest.fixture
def browser(gateway: Running) -> Any:
    """Somebody without a key."""
    with Client(base_url=gateway.url, timeout=SECONDS) as client:
        yield client


def link(place: Place, row: ApprovalRow, approver: str = LINK, **changes: Any) -> str:
    fields: dict[str, Any] = {
        "approval": row.id,
        "decision": "approve",
        "approver": approver,
        "expires_at": row.created_at + HOUR,
        **changes,
    }
    token = Link(**fields).token(place.running.gateway.seal)
    return f"/wharfkeep/v1/approvals/{row.id}/link?token={token}"


def ask(place: Place, **changes: Any) -> ApprovalRow:
    """A call that anybody may approve, in time."""
    return place.ask("user_1", None, **{"second_person": False, **changes})


def said(answer: Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


def test_opening_a_link_shows_what_is_asked_and_answers_nothing(place: Place, browser: Client):
    row = ask(place)
    for _ in range(2):
        page = said(browser.get(link(place, row)), 200)
        assert "Approve this call?" in page
        assert "sandbox.bash" in page
        assert "echo &lt;b&gt;refund&lt;/b&gt;" in page, "the agent's text is not markup"
        assert page.count("<form") == page.count("<button>Approve") == 1
    assert place.found(row).state == "pending"


def test_a_page_runs_no_script_and_stays_out_of_frames_and_caches(place: Place, browser: Client):
    answer = browser.get(link(place, ask(place)))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script|\son\w+=|style=|src=|href=", answer.text)


def test_the_button_approves_once(place: Place, browser: Client):
    row = ask(place)
    url = link(place, row)
    assert "Approved" in said(browser.post(url), 200)
    found = place.found(row)
    assert (found.approver, found.state in ("approved", "used")) == (LINK, True)
    assert "was approved already" in said(browser.post(url), 400)
    assert "was approved already" in said(browser.get(url), 400)
    assert place.answers(row) == [("allow", None)]


def test_the_other_button_denies_also_what_the_link_could_not_approve(
    place: Place, browser: Client
):
    row = place.ask("user_1", approvers=["finance"])
    assert "Denied" in said(browser.post(link(place, row, decision="deny")), 200)
    assert place.found(row).state == "denied"


def test_a_link_for_nobody_is_no_second_person(place: Place, browser: Client):
    row = place.ask("user_1")
    assert "second person" in said(browser.post(link(place, row)), 403)
    assert place.found(row).state == "pending"


def test_a_link_acts_as_the_person_it_was_made_for(place: Place, browser: Client):
    user, _ = place.person("Ann")
    row = place.ask("user_1")
    assert "Approved" in said(browser.post(link(place, row, user)), 200)
    assert place.found(row).approver == user


def test_the_link_of_the_acting_user_approves_nothing_that_needs_another(
    place: Place, browser: Client
):
    user, _ = place.person("Ann")
    row = place.ask(user)
    assert "another person" in said(browser.post(link(place, row, user)), 403)


def test_a_link_for_somebody_outside_the_named_groups_approves_nothing(
    place: Place, browser: Client
):
    user, _ = place.person("Ann")
    row = place.ask("user_1", approvers=["finance"])
    assert "a member of finance" in said(browser.post(link(place, row, user)), 403)


def test_the_link_of_somebody_who_has_left_is_worth_nothing(place: Place, browser: Client):
    user, _ = place.person("Ann")
    row = place.ask("user_1")

    async def leave() -> None:
        await place.running.gateway.store.people.archive(kind="user", id=user, now=1)

    place.running.call(leave)
    assert "not here any more" in said(browser.post(link(place, row, user)), 403)
    assert "not here any more" in said(browser.post(link(place, row, "user_none")), 403)


def test_a_link_has_its_time(place: Place, browser: Client):
    row = ask(place)
    url = link(place, row, expires_at=row.created_at)
    for answer in (browser.get(url), browser.post(url)):
        assert "expired" in said(answer, 400)
    late = ask(place, expires_at=1)
    assert "could be answered until" in said(browser.post(link(place, late)), 400)


@pytest.mark.parametrize("token", ["", "%00", "AAAA", "é", "-" * 300, "e30"])
def test_a_forged_link_is_worth_nothing(place: Place, browser: Client, token: str):
    row = ask(place)
    path = f"/wharfkeep/v1/approvals/{row.id}/link"
    for answer in (browser.get(f"{path}?token={token}"), browser.post(f"{path}?token={token}")):
        assert answer.status_code in (400, 404)
        assert "refund" not in answer.text
    assert said(browser.get(path), 404)


def test_a_changed_link_or_one_of_another_approval_is_worth_nothing(place: Place, browser: Client):
    one, other = ask(place), ask(place)
    url = link(place, one)
    assert said(browser.post(url.replace(one.id, other.id)), 404)
    path, _, token = url.partition("?token=")
    for at in (0, 20, 60):
        letter = "A" if token[at] != "A" else "Q"
        assert said(browser.post(f"{path}?token={token[:at]}{letter}{token[at + 1 :]}"), 404)
    assert place.found(one).state == place.found(other).state == "pending"


def test_a_link_to_what_is_gone_says_so(place: Place, browser: Client):
    row = ask(place)
    url = link(place, row)
    with place.tenant.client() as client:
        client.beta.sessions.delete(row.session)
    assert "gone" in said(browser.get(url), 404)
