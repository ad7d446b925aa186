"""Builds of environments' packages: how far they are, and another try. Ours, not the SDK's."""

from typing import Any

from pydantic_core import to_json

from gateway.api.context import ApiCall, Gateway, Reply
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest
from gateway.store.records import BuildLine, BuildRow, EnvironmentRow
from gateway.wire import queries


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /wharfkeep/v1/environments/{environment_id}/build``: on the host that answers.

    ``status`` is queued, running, ready or failed; ``lines`` are those with a number above
    ``after``. An environment without packages is always ready.
    """
    query = queries.BUILD.parse(call.query)
    environment = await _environment(gateway, call)
    build, lines = await gateway.builder.state(
        _packages(environment), after=query["after"], limit=query["limit"]
    )
    return Reply(_render(environment, build, lines))


async def start(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /wharfkeep/v1/environments/{environment_id}/build``: build again what failed.

    Nothing happens if it is ready, or being built.
    """
    environment = await _environment(gateway, call)
    if environment.archived_at is not None:
        raise InvalidRequest(
            f"environment {environment.id} is archived", code="environment_archived"
        )
    packages = _packages(environment)
    gateway.builder.check(packages)
    await gateway.builder.restart(packages)
    build, lines = await gateway.builder.state(packages, after=0, limit=0)
    return Reply(_render(environment, build, lines))


async def _environment(gateway: Gateway, call: ApiCall) -> EnvironmentRow:
    return await gateway.store.environments.get(
        workspace=call.workspace, id=call.path["environment_id"]
    )


def _packages(environment: EnvironmentRow) -> dict[str, Any]:
    return environment.body["config"].get("packages") or {}


def _render(environment: EnvironmentRow, build: BuildRow | None, lines: list[BuildLine]) -> bytes:
    return to_json(
        {
            "type": "environment_build",
            "environment_id": environment.id,
            "status": build.status if build else "ready",
            "reason": build.reason if build else None,
            "queued_at": _instant(build.queued_at if build else None),
            "started_at": _instant(build.started_at if build else None),
            "ended_at": _instant(build.ended_at if build else None),
            "lines": [
                {"seq": line.seq, "at": rfc3339(line.at), "text": line.text} for line in lines
            ],
        }
    )


def _instant(at: int | None) -> str | None:
    return rfc3339(at) if at else None
