"""Reads a session back: its last snapshot, then the log after it."""

import json

from gateway.loop import fold
from gateway.loop.state import State, fresh, load
from gateway.store.records import Claim


def replay(claim: Claim) -> State:
    """The state of a session as its log has it."""
    state = load(claim.snapshot) if claim.snapshot is not None else None
    if state is None:
        state = fresh(claim.session.primary_thread, claim.session.created_at)
    for event in claim.tail:
        fold.apply(
            state,
            json.loads(event.wire),
            json.loads(event.private) if event.private is not None else None,
            thread=event.thread,
            at=event.processed_at,
        )
    return state
