"""Notices of calls that wait: posted to a real receiver, with links, at least once."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
import pytest

from gateway.clock import SystemClock
from gateway.errors import ConfigError
from gateway.loop.approval import LINK
from gateway.notify import AGAIN_SECONDS, Notifier
from gateway.store.approvals import ApprovalRow
from gateway.store.store import Store
from gateway.vault.links import Link, read
from gateway.vault.seal import Seal
from tests.hook import Receiver, receiving
from tests.store import conftest, rows

SECONDS = 20.0
SECOND = 1_000_000

anyio_backend = conftest.anyio_backend
server, template = conftest.server, conftest.template
directory, database = conftest.directory, conftest.database
place, store = conftest.place, conftest.store
"""SQLite and PostgreSQL, one after the other."""


class Watch(SystemClock):
    """A clock that can be put forward."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


@dataclass(frozen=True)
class Scene:
    """A gateway that tells a receiver."""

    store: Store
    receiver: Receiver
    notifier: Notifier
    client: httpx2.AsyncClient
    clock: Watch
    seal: Seal

    async def ask(self, **body: Any) -> ApprovalRow:
        """Somebody has to approve a call, from now on and for an hour."""
        now, row = self.clock.now(), rows.approval()
        body = {**row.body, **body}
        row = replace(row, body=body, created_at=now, expires_at=now + 3_600 * SECOND)
        await rows.add_session(self.store)
        await rows.append(self.store, await rows.claimed(self.store), approvals=[row])
        return row

    async def sweep(self, **changes: Any) -> None:
        """Tell what is due now; by another gateway, if anything of it is different."""
        await replace(self.notifier, **changes).sweep(self.client)

    async def sweep_later(self, seconds: float = 3_000) -> None:
        """The same, so much later."""
        self.clock.ahead += int(seconds * SECOND)
        await self.sweep()


@pytest.fixture
def receiver() -> Generator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def scene(store: Store, tmp_path: Path, receiver: Receiver) -> AsyncGenerator[Scene]:
    tmp_path.joinpath("vault").mkdir()
    clock, seal = Watch(), Seal.at(tmp_path / "vault")
    notifier = Notifier(
        store=store,
        clock=clock,
        seal=seal,
        receiver=receiver.url,
        here="https://gateway.example/",
        members_of=partial(listed, {}),
    )
    async with httpx2.AsyncClient() as client:
        yield Scene(store, receiver, notifier, client, clock, seal)


def listed(groups: Mapping[str, Sequence[str]], wanted: frozenset[str]) -> list[str]:
    return [name for group in sorted(wanted) for name in groups.get(group, ())]


def opened(seal: Seal, url: str) -> Link:
    """What a link is good for."""
    parts = urlsplit(url)
    path = parts.path.split("/")
    assert (parts.scheme, parts.netloc) == ("https", "gateway.example")
    assert path[:4] == ["", "wharfkeep", "v1", "approvals"]
    assert path[5:] == ["link"]
    (token,) = parse_qs(parts.query)["token"]
    return read(seal, path[4], token)


async def test_a_notice_says_what_is_asked(scene: Scene):
    row = await scene.ask()
    await scene.sweep()
    notice = await scene.receiver.next()
    assert notice["type"] == "approval_requested"
    assert (notice["id"], notice["session_id"]) == (row.id, "sesn_1")
    assert (notice["tool"], notice["arguments"]) == ("pay.refund", {"amount": 120})
    assert (notice["acting_for"], notice["policies"]) == ("user_1", ["refunds-need-two"])
    await scene.sweep_later()
    assert scene.receiver.empty, "it was told already"


async def test_a_call_that_anybody_may_approve_has_links_for_whoever_holds_them(scene: Scene):
    row = await scene.ask(second_person=False)
    await scene.sweep()
    (links,) = (await scene.receiver.next())["links"]
    assert links["approver"] == LINK
    assert row.expires_at is not None
    for decision in ("approve", "deny"):
        assert opened(scene.seal, links[decision]) == Link(
            approval=row.id, decision=decision, approver=LINK, expires_at=row.expires_at
        )


@pytest.mark.parametrize("wanted", [{"second_person": True}, {"approvers": ["finance"]}])
async def test_where_only_known_people_may_approve_a_link_for_nobody_can_only_deny(
    scene: Scene, wanted: dict[str, Any]
):
    await scene.ask(**{"second_person": False, **wanted})
    await scene.sweep()
    (links,) = (await scene.receiver.next())["links"]
    assert set(links) == {"approver", "deny"}


async def test_each_known_approver_has_links_of_their_own(scene: Scene):
    for name in ("user_1", "user_2", "user_3", "user_4"):
        person = rows.principal(name, email=f"{name}@example.com")
        await scene.store.people.create(row=person)
    await scene.store.people.archive(kind="user", id="user_4", now=5)
    members = ["user_1", "USER_2@example.com", "user_2", "user_3", "user_4", "x@example.com"]
    groups = {"finance": members, "other": ["user_3"]}
    await scene.ask(approvers=["finance"])
    await scene.sweep(members_of=partial(listed, groups))
    links = (await scene.receiver.next())["links"]
    assert [entry["approver"] for entry in links] == ["user_2", "user_3"]
    for entry in links:
        for decision in ("approve", "deny"):
            link = opened(scene.seal, entry[decision])
            assert (link.approver, link.decision) == (entry["approver"], decision)


@pytest.mark.parametrize("answer", [500, 404, 302])
async def test_a_notice_that_was_not_taken_is_told_again_later(scene: Scene, answer: int):
    scene.receiver.statuses = [answer]
    await scene.ask()
    await scene.sweep()
    first = await scene.receiver.next()
    await scene.sweep()
    assert scene.receiver.empty, "not at once"
    await scene.sweep_later(AGAIN_SECONDS + 1)
    assert (await scene.receiver.next())["id"] == first["id"]
    await scene.sweep_later()
    assert scene.receiver.empty


async def test_a_receiver_that_is_not_there_is_asked_again_by_the_next_gateway(scene: Scene):
    with receiving() as gone:
        absent = gone.url
    await scene.ask()
    await scene.sweep(receiver=absent)
    await scene.sweep_later(AGAIN_SECONDS + 1)
    assert (await scene.receiver.next())["id"] == "appr_1"


async def test_what_was_answered_meanwhile_is_not_told(scene: Scene):
    scene.receiver.statuses = [500]
    await scene.ask()
    await scene.sweep()
    await scene.receiver.next()
    await scene.store.approvals.withdraw(id="appr_1", now=scene.clock.now())
    await scene.sweep_later()
    assert scene.receiver.empty


async def test_while_it_runs_it_tells_by_itself_and_a_silent_receiver_holds_nothing_up(
    scene: Scene,
):
    scene.receiver.statuses = [None]
    with anyio.fail_after(SECONDS):
        async with scene.notifier.running():
            await scene.ask()
            assert (await scene.receiver.next())["id"] == "appr_1"
            await scene.store.approvals.withdraw(id="appr_1", now=scene.clock.now())


@pytest.mark.parametrize("url", ["", "ftp://x", "gateway.example"])
async def test_an_address_that_is_none_is_refused_at_the_start(scene: Scene, url: str):
    with pytest.raises(ConfigError, match=r"policy\.approval_url"):
        replace(scene.notifier, receiver=url)
    with pytest.raises(ConfigError, match=r"policy\.public_url"):
        replace(scene.notifier, here=url)
