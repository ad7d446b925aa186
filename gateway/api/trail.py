"""What a request does to keys, people and workspaces, for the audit trail."""

from gateway.api.context import ApiCall, Gateway
from gateway.store.deeds import Deed, Outcome


def deed(gateway: Gateway, call: ApiCall, outcome: Outcome) -> Deed:
    """What `call` is about to do, to be recorded together with the change."""
    now = gateway.clock.now()
    return Deed(id=gateway.clock.new_id("audit"), at=now, actor=call.actor, outcome=outcome)
