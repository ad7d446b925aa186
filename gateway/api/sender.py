"""Who sends a request, as the loop wants to know it."""

from gateway.api import scopes
from gateway.api.context import ApiCall, Gateway
from gateway.errors import Forbidden
from gateway.loop.approval import Sender


def sender_of(gateway: Gateway, call: ApiCall) -> Sender:
    """Whoever the request's key acts for, from where the request came."""
    return Sender(
        actor=call.actor,
        groups=groups_of(gateway, call.actor, call.email),
        ip=call.ip,
        may_approve=_may_approve(call),
    )


def groups_of(gateway: Gateway, actor: str, email: str | None) -> frozenset[str]:
    """The groups of an actor, who may be listed by id or by e-mail address."""
    by_email = gateway.groups_of(email) if email is not None else frozenset[str]()
    return gateway.groups_of(actor) | by_email


def _may_approve(call: ApiCall) -> bool:
    try:
        scopes.check(call.scopes, "approvals:answer", organization=call.everywhere)
    except Forbidden:
        return False
    return True
