"""Answers about the gateway itself."""

from gateway.api.context import ApiCall, Gateway, Reply
from gateway.wire import responses


async def check(gateway: Gateway, call: ApiCall) -> Reply:  # noqa: ARG001 - the signature of all
    """``GET /healthz``: this process answers, and so does its database."""
    await gateway.store.keys.default_workspace()
    return Reply(b'{"status":"ok"}')


async def organization(gateway: Gateway, call: ApiCall) -> Reply:  # noqa: ARG001 - the same
    """``GET /v1/organizations/me``: the easiest way to see whether a key is good."""
    body = {"id": call.organization, "type": "organization", "name": "Wharfkeep"}
    return Reply(responses.ORGANIZATION.render(body))
