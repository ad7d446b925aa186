"""Environments: where a session's tools run. Not versioned; running sessions keep what they had."""

from typing import Any, TypeAlias

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.api.definition import patched
from gateway.api.pages import place, token
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.store.records import EnvironmentRow
from gateway.wire import queries, requests, responses, rules

Json: TypeAlias = dict[str, Any]

_MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")
_DEFAULT_SCOPE = "organization"


async def create(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/environments``; a name is enough (spec/core 3.3)."""
    params = await parsed(gateway, call, requests.ENVIRONMENT_CREATE)
    config = _config(params.get("config") or {"type": "cloud"}, {})
    gateway.builder.check(config.get("packages") or {})
    now = gateway.clock.now()
    row = EnvironmentRow(
        id=gateway.clock.new_id("env"),
        workspace=call.workspace,
        name=params["name"],
        body={
            "name": params["name"],
            "description": params.get("description"),
            "config": config,
            "metadata": params.get("metadata") or {},
            "scope": params.get("scope") or _DEFAULT_SCOPE,
        },
        created_at=now,
        updated_at=now,
        archived_at=None,
    )
    await gateway.store.environments.create(row=row)
    gateway.builder.start(config.get("packages") or {})
    return Reply(_render(row))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/environments/{environment_id}``."""
    row = await gateway.store.environments.get(
        workspace=call.workspace, id=call.path["environment_id"]
    )
    return Reply(_render(row))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/environments/{environment_id}``: omitted keeps, also inside the config."""
    patch = await parsed(gateway, call, requests.ENVIRONMENT_UPDATE)

    def change(row: EnvironmentRow) -> Json | None:
        body = _revise(row, patch)
        if body["config"] != row.body["config"]:
            gateway.builder.check(body["config"].get("packages") or {})
        return None if body == row.body else body

    row = await gateway.store.environments.update(
        workspace=call.workspace,
        id=call.path["environment_id"],
        now=gateway.clock.now(),
        change=change,
    )
    gateway.builder.start(row.body["config"].get("packages") or {})
    return Reply(_render(row))


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/environments``, newest first."""
    query = queries.ENVIRONMENT_LIST.parse(call.query)
    page = await gateway.store.environments.list(
        workspace=call.workspace,
        limit=query["limit"],
        include_archived=query["include_archived"],
        cursor=place(query["page"]),
    )
    return Reply(responses.page(map(_render, page.rows), token(page.next)))


async def archive(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/environments/{environment_id}/archive``."""
    row = await gateway.store.environments.archive(
        workspace=call.workspace, id=call.path["environment_id"], now=gateway.clock.now()
    )
    return Reply(_render(row))


async def delete(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/environments/{environment_id}``: not while a live session uses it."""
    environment = call.path["environment_id"]
    await gateway.store.environments.delete(workspace=call.workspace, id=environment)
    return Reply(
        responses.DELETED_ENVIRONMENT.render({"id": environment, "type": "environment_deleted"})
    )


def _revise(row: EnvironmentRow, patch: Json) -> Json:
    if row.archived_at is not None:
        raise InvalidRequest(
            f"environment {row.id} is archived and cannot be changed", code="environment_archived"
        )
    body = dict(row.body)
    for key in ("name", "scope"):
        body[key] = patch.get(key) or body[key]
    if "description" in patch:
        body["description"] = patch["description"]
    if patch.get("metadata") is not None:
        # Unlike everywhere else, the empty string deletes a key too (spec/core 3.3).
        cleared = {key: value or None for key, value in patch["metadata"].items()}
        body["metadata"] = patched(body["metadata"], cleared)
    if patch.get("config") is not None:
        body["config"] = _config(patch["config"], body["config"])
    rules.check_environment(body)
    return body


def _config(given: Json, stored: Json) -> Json:
    """The whole config that `given` makes of what is stored."""
    if stored and stored["type"] != given["type"]:
        raise InvalidRequest(
            f"config.type: an environment of type {stored['type']} stays one",
            code="invalid_config_type_change",
        )
    if given["type"] == "self_hosted":
        return {"type": "self_hosted"}
    networking = given.get("networking") or stored.get("networking") or {"type": "unrestricted"}
    return {
        "type": "cloud",
        "networking": _networking(networking, stored.get("networking", {})),
        "packages": _packages(given.get("packages") or {}, stored.get("packages", {})),
    }


def _networking(given: Json, stored: Json) -> Json:
    if given["type"] == "unrestricted":
        return {"type": "unrestricted"}
    defaults = {"allowed_hosts": [], "allow_mcp_servers": False, "allow_package_managers": False}
    return {**defaults, **stored, **_set(given)}


def _packages(given: Json, stored: Json) -> Json:
    return {**{manager: [] for manager in _MANAGERS}, **stored, **_set(given), "type": "packages"}


def _set(given: Json) -> Json:
    """Null says as little as absence (spec/core 3.4)."""
    return {key: value for key, value in given.items() if value is not None}


def _render(row: EnvironmentRow) -> bytes:
    return responses.ENVIRONMENT.render(
        {
            **row.body,
            "id": row.id,
            "type": "environment",
            "created_at": rfc3339(row.created_at),
            "updated_at": rfc3339(row.updated_at),
            "archived_at": rfc3339(row.archived_at) if row.archived_at is not None else None,
        }
    )
