"""What is mounted into a session: files, repositories, memory stores (spec/core 5.8).

This version has no files, vaults or memory stores and does not mount repositories, so nothing can
be attached: every id that is named is unknown, and a session's list is empty.
"""

from typing import Any, TypeAlias

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.errors import InvalidRequest, NotFound
from gateway.store.records import SessionRow
from gateway.wire import queries, requests, responses

Json: TypeAlias = dict[str, Any]

_ID_OF = {"file": "file_id", "memory_store": "memory_store_id"}


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/resources``: all of them."""
    row = await _session(gateway, call)
    queries.RESOURCE_LIST.parse(call.query)
    shown = [responses.SESSION_RESOURCE.render(entry) for entry in row.body["resources"]]
    return Reply(responses.page(shown, None))


async def add(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/resources``: files only, also while the session runs."""
    params = await parsed(gateway, call, requests.RESOURCE_ADD)
    row = await _session(gateway, call)
    _check_live(row)
    _check_kind("", "file", row.body["environment_type"])
    raise _unknown("file_id", params["file_id"])


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/resources/{resource_id}``."""
    found = _find(await _session(gateway, call), call)
    return Reply(responses.SESSION_RESOURCE.render(found))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/resources/{resource_id}``: a repository's new token."""
    await parsed(gateway, call, requests.RESOURCE_UPDATE)
    return await retrieve(gateway, call)


async def delete(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/sessions/{session_id}/resources/{resource_id}``."""
    found = _find(await _session(gateway, call), call)
    body = {"id": found["id"], "type": "session_resource_deleted"}
    return Reply(responses.DELETED_RESOURCE.render(body))


def check_attached(params: Json, environment: str) -> None:
    """Check what a session is to be created with.

    Args:
        params: The body of the request.
        environment: ``cloud`` or ``self_hosted``.

    Raises:
        NotFound: It names a vault, file or memory store; none exists.
        InvalidRequest: The environment, or this version, does not take that kind of resource.
    """
    for index, resource in enumerate(params.get("resources") or ()):
        kind = resource["type"]
        _check_kind(f"resources.{index}: ", kind, environment)
        raise _unknown(f"resources.{index}.{_ID_OF[kind]}", resource[_ID_OF[kind]])
    for index, vault in enumerate(params.get("vault_ids") or ()):
        raise _unknown(f"vault_ids.{index}", vault)


def _check_kind(prefix: str, kind: str, environment: str) -> None:
    if environment == "self_hosted" and kind != "memory_store":
        raise InvalidRequest(
            f"{prefix}{kind} resources are not supported in self_hosted environments"
        )
    if kind == "github_repository":
        raise InvalidRequest(f"{prefix}this version of Wharfkeep does not support repositories yet")


def _check_live(row: SessionRow) -> None:
    if row.head.status == "terminated":
        raise InvalidRequest(f"session {row.id} has ended and takes no more resources")


def _find(row: SessionRow, call: ApiCall) -> Json:
    for entry in row.body["resources"]:
        if entry.get("id") == call.path["resource_id"]:
            return entry
    raise NotFound(f"resource {call.path['resource_id']} not found")


def _unknown(field: str, given: str) -> NotFound:
    return NotFound(f"{field}: {given} not found")


async def _session(gateway: Gateway, call: ApiCall) -> SessionRow:
    return await gateway.store.sessions.get(workspace=call.workspace, id=call.path["session_id"])
