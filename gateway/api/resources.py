"""What is mounted into a session: files, repositories, memory stores (spec/core 5.8).

This version has no vaults and no memory stores, so every id of those is unknown. A session gets a
copy of each file, with an id of its own, which lives and dies with the session. Repositories stay
as long as it does; the token of one is sealed here and never shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateway.api.context import ApiCall, Gateway, Reply, parsed
from gateway.clock import parse_rfc3339, rfc3339
from gateway.errors import InvalidRequest, NotFound
from gateway.policy import repository
from gateway.store.attachments import Copy
from gateway.store.records import SessionRow
from gateway.store.repositories import RepositoryRow
from gateway.tools.repository import row_of
from gateway.wire import mounts, queries, requests, responses, rules
from gateway.wire.cursor import PageCursor, encode

Json: TypeAlias = dict[str, Any]

_TOKENLESS = "only a repository has an authorization_token to update"


@dataclass(frozen=True, slots=True)
class Attached:
    """What a session is created with."""

    entries: list[Json] = field(default_factory=list[Json])
    """Its resources, as the session shows them."""
    copies: list[Copy] = field(default_factory=list[Copy])
    checkouts: list[RepositoryRow] = field(default_factory=list[RepositoryRow])


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/resources``, in the order they were attached."""
    row = await _session(gateway, call)
    query = queries.RESOURCE_LIST.parse(call.query)
    entries: list[Json] = row.body["resources"]
    start = _start(entries, query["page"])
    end = start + (query["limit"] or len(entries))
    shown = [responses.SESSION_RESOURCE.render(entry) for entry in entries[start:end]]
    token = encode(_place(entries[end - 1])) if end < len(entries) else None
    return Reply(responses.page(shown, token))


async def add(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/resources``: files only, also while the session runs."""
    params = await parsed(gateway, call, requests.RESOURCE_ADD)
    row = await _session(gateway, call)
    _check_live(row)
    _check_kind("", "file", row.body["environment_type"])
    await _check_files(gateway, call, {"file_id": params["file_id"]})
    copy = Copy(of=params["file_id"], id=gateway.clock.new_id("file"))
    entry = _file(gateway, copy, params.get("mount_path"))

    def place(locked: SessionRow) -> Json:
        _check_live(locked)
        resources: list[Json] = locked.body["resources"]
        rules.check_resources([*resources, entry])
        mounts.check_distinct(entry["mount_path"], _paths(resources))
        return entry

    await gateway.store.attachments.add(
        session=row.id,
        workspace=call.workspace,
        copy=copy,
        now=gateway.clock.now(),
        place=place,
    )
    await gateway.mounts.sync(row.id)
    return Reply(responses.SESSION_RESOURCE.render(entry))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/sessions/{session_id}/resources/{resource_id}``."""
    found = _find(await _session(gateway, call), call)
    return Reply(responses.SESSION_RESOURCE.render(found))


async def update(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/sessions/{session_id}/resources/{resource_id}``: a repository's new token."""
    params = await parsed(gateway, call, requests.RESOURCE_UPDATE)
    resource, now = call.path["resource_id"], gateway.clock.now()

    def change(row: SessionRow, entry: Json) -> Json:
        if entry["type"] != "github_repository":
            raise InvalidRequest(_TOKENLESS)
        _check_live(row)
        return {**entry, "updated_at": rfc3339(now)}

    changed = await gateway.store.repositories.rotate(
        session=call.path["session_id"],
        workspace=call.workspace,
        resource=resource,
        token=gateway.seal.close(params["authorization_token"], row=row_of(resource)),
        now=now,
        change=change,
    )
    return Reply(responses.SESSION_RESOURCE.render(changed))


async def delete(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/sessions/{session_id}/resources/{resource_id}``: inside it is gone too."""
    session = call.path["session_id"]
    found = await gateway.store.attachments.remove(
        session=session,
        workspace=call.workspace,
        resource=call.path["resource_id"],
        now=gateway.clock.now(),
        check=_check_removable,
    )
    await gateway.mounts.sync(session)
    await gateway.shelf.clear()
    body = {"id": found["id"], "type": "session_resource_deleted"}
    return Reply(responses.DELETED_RESOURCE.render(body))


async def attached(gateway: Gateway, call: ApiCall, params: Json, environment: str) -> Attached:
    """Check what a session is to be created with, and say what it will have.

    Args:
        gateway: Where files are.
        call: Whose they must be.
        params: The body of the request.
        environment: ``cloud`` or ``self_hosted``.

    Raises:
        NotFound: It names a vault, file or memory store that does not exist, or an expired file.
        InvalidRequest: The environment, or this version, does not take that kind of resource, or
            two files would be in the same place.
    """
    given: Sequence[Json] = params.get("resources") or ()
    for index, resource in enumerate(given):
        kind = resource["type"]
        _check_kind(f"resources.{index}: ", kind, environment)
        if kind == "memory_store":
            raise _unknown(f"resources.{index}.memory_store_id", resource["memory_store_id"])
    for index, vault in enumerate(params.get("vault_ids") or ()):
        raise _unknown(f"vault_ids.{index}", vault)
    ids = {
        f"resources.{index}.file_id": each["file_id"]
        for index, each in enumerate(given)
        if each["type"] == "file"
    }
    await _check_files(gateway, call, ids)
    made = Attached()
    for index, resource in enumerate(given):
        try:
            if resource["type"] == "file":
                _attach_file(gateway, made, resource)
            else:
                _attach_repository(gateway, made, resource)
        except InvalidRequest as error:
            raise InvalidRequest(f"resources.{index}.{error.message}") from None
    return made


def _attach_file(gateway: Gateway, made: Attached, resource: Json) -> None:
    copy = Copy(of=resource["file_id"], id=gateway.clock.new_id("file"))
    entry = _file(gateway, copy, resource.get("mount_path"))
    mounts.check_distinct(entry["mount_path"], _paths(made.entries))
    made.entries.append(entry)
    made.copies.append(copy)


def _attach_repository(gateway: Gateway, made: Attached, resource: Json) -> None:
    entry = _repository(gateway, resource)
    mounts.check_distinct(entry["mount_path"], _paths(made.entries))
    if len(made.checkouts) >= repository.MAX_REPOSITORIES:
        most = repository.MAX_REPOSITORIES
        raise InvalidRequest(f"type: at most {most} github_repository resources are allowed")
    token = resource.get("authorization_token")
    sealed = gateway.seal.close(token, row=row_of(entry["id"])) if token is not None else None
    made.entries.append(entry)
    made.checkouts.append(RepositoryRow(resource=entry["id"], token=sealed))


def _repository(gateway: Gateway, resource: Json) -> Json:
    """The resource of a repository, without anything secret (spec/resources D-27)."""
    now, id_ = rfc3339(gateway.clock.now()), gateway.clock.new_id("sesrsc")
    try:
        name = repository.parse(id_, resource["url"]).name
    except ValueError as error:
        raise InvalidRequest(f"url: {error}") from error
    return {
        "id": id_,
        "type": "github_repository",
        "url": resource["url"],
        "mount_path": mounts.checkout_path(resource.get("mount_path"), name),
        "checkout": resource.get("checkout"),
        "created_at": now,
        "updated_at": now,
    }


def _file(gateway: Gateway, copy: Copy, mount_path: str | None) -> Json:
    """The resource of a copy; without a path it is called as the client knows it (F-22)."""
    now = rfc3339(gateway.clock.now())
    return {
        "id": gateway.clock.new_id("sesrsc"),
        "type": "file",
        "file_id": copy.id,
        "mount_path": mounts.mount_path(mount_path, copy.of),
        "created_at": now,
        "updated_at": now,
    }


async def _check_files(gateway: Gateway, call: ApiCall, ids: dict[str, str]) -> None:
    """Check that files are there and can be read; `ids` maps the field that names one to its id."""
    found = await gateway.store.files.some(workspace=call.workspace, ids=set(ids.values()))
    known = {row.id: row for row in found}
    now = gateway.clock.now()
    for name, file in ids.items():
        row = known.get(file)
        if row is None:
            raise _unknown(name, file)
        if not row.readable(now):
            raise NotFound(f"{name}: file {file} has expired", code="file_expired")


def _check_kind(prefix: str, kind: str, environment: str) -> None:
    if environment == "self_hosted" and kind != "memory_store":
        raise InvalidRequest(
            f"{prefix}{kind} resources are not supported in self_hosted environments"
        )


def _check_live(row: SessionRow) -> None:
    if row.head.status == "terminated":
        raise InvalidRequest(f"session {row.id} has ended and takes no more resources")


def _check_removable(entry: Json) -> None:
    if entry["type"] != "file":
        raise InvalidRequest(f"a {entry['type']} stays as long as its session")


def _paths(entries: Sequence[Json]) -> list[str]:
    return [entry["mount_path"] for entry in entries if "mount_path" in entry]


def _place(entry: Json) -> PageCursor:
    """Where an entry stands in its list; a memory store has neither an id nor a time."""
    made = parse_rfc3339(entry["created_at"]) if "created_at" in entry else 0
    return PageCursor("asc", made, entry.get("id", "-"))


def _start(entries: Sequence[Json], page: PageCursor | None) -> int:
    """Where a page begins: after the last one shown, even if that one is gone."""
    if page is None:
        return 0
    for index, entry in enumerate(entries):
        place = _place(entry)
        if place.id == page.id:
            return index + 1
        if place.at > page.at:
            return index
    return len(entries)


def _find(row: SessionRow, call: ApiCall) -> Json:
    for entry in row.body["resources"]:
        if entry.get("id") == call.path["resource_id"]:
            return entry
    raise NotFound(f"resource {call.path['resource_id']} not found")


def _unknown(name: str, given: str) -> NotFound:
    return NotFound(f"{name}: {given} not found")


async def _session(gateway: Gateway, call: ApiCall) -> SessionRow:
    return await gateway.store.sessions.get(workspace=call.workspace, id=call.path["session_id"])
