"""Sends events to a session: the one way in, whoever sends them and by whatever means."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.clock import Clock
from gateway.loop.accept import Acceptance
from gateway.loop.approval import Sender
from gateway.loop.frame import Frame, of_input
from gateway.store.approvals import ApprovalRow
from gateway.store.bus import Bus
from gateway.store.records import Input
from gateway.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Takes events for sessions."""

    store: Store
    bus: Bus[Frame]
    clock: Clock
    wake: Callable[[str], None]
    system_turns: Callable[[str], bool]
    """Whether a model, by its id, takes system turns."""

    async def take(
        self,
        *,
        session: str,
        workspace: str,
        events: list[dict[str, Any]],
        sender: Sender,
        approval: str | None = None,
    ) -> list[Input]:
        """Queue validated events, all or none, and return what the sender is answered.

        Streams see them at once, and the session goes on. With `approval` they answer that one
        and no other.

        Raises:
            NotFound: No such session in this workspace.
            InvalidRequest, Forbidden, RateLimited: One of them is not acceptable now.
        """
        acceptance = Acceptance(events, self.clock, self.system_turns, sender, approval)
        kept = await self.store.log.accept(
            session=session,
            workspace=workspace,
            now=self.clock.now(),
            decide=acceptance.decide,
            live=self.bus.live(session),
        )
        for item in kept:
            self.bus.publish(session, of_input(item, acceptance.thread))
        if kept:
            self.wake(session)
        return acceptance.echoes

    async def answer(
        self, approval: ApprovalRow, *, allow: bool, reason: str | None, sender: Sender
    ) -> None:
        """Answer a call that waits for a person, as sending a ``user.tool_confirmation`` does.

        `reason` of a denial is for the model.

        Raises:
            NotFound: The session was deleted.
            InvalidRequest: It is settled, its time is over, or the call was asked about again.
            Forbidden, RateLimited: As `take`.
        """
        confirmation: dict[str, Any] = {
            "type": "user.tool_confirmation",
            "tool_use_id": approval.event,
            "result": "allow" if allow else "deny",
        }
        if reason is not None:
            confirmation["deny_message"] = reason
        await self.take(
            session=approval.session,
            workspace=approval.workspace,
            events=[confirmation],
            sender=sender,
            approval=approval.id,
        )
