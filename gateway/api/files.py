"""The Files API: uploads, and what sessions made (spec/resources 3.1, 3.2).

Both namespaces of the SDK send the same requests, so there is one shape, with everything in it; a
request that asks for the first beta gets the list as it was then (F-1, F-2).
"""

from typing import Any, TypeAlias

from pydantic_core import to_json

from gateway.api.context import Answer, ApiCall, Download, Gateway, Reply
from gateway.api.pages import place
from gateway.api.upload import MAX_TEXT, Upload
from gateway.clock import rfc3339
from gateway.errors import InvalidRequest, NotFound
from gateway.store.blobs import Stored
from gateway.store.files import over_quota
from gateway.store.records import Cursor, FileRow, Page
from gateway.wire import cursor, forms, queries, responses
from gateway.wire.filenames import filename, media_type

Json: TypeAlias = dict[str, Any]

LEGACY = "files-api-2025-04-14"
_FRAME = 64 * 1024
"""Bytes that boundaries and headers of a form may take."""
_LISTED = 20


async def upload(gateway: Gateway, call: ApiCall) -> Reply:
    """``POST /v1/files``: a form with the file, and when it expires."""
    settings = gateway.config.files
    body = call.pieces(settings.max_file + MAX_TEXT + _FRAME, settings.upload_seconds)
    strict = gateway.config.server.strict_bodies
    form = Upload(forms.FILE_UPLOAD, call.content_type, body, strict=strict)
    await form.begin()
    form.fields()  # what came before the file is refused before the file is stored
    if await gateway.store.files.used(now=gateway.clock.now()) >= settings.quota:
        raise over_quota(settings.quota)

    def describe(blob: str, stored: Stored) -> FileRow:
        now = gateway.clock.now()
        seconds = form.fields()["expires_in_seconds"]
        kind = media_type(form.content_type, form.filename, form.head)
        return FileRow(
            id=gateway.clock.new_id("file"),
            workspace=call.workspace,
            filename=filename(form.filename, kind),
            mime_type=kind,
            size=stored.size,
            sha256=stored.sha256,
            blob=blob,
            downloadable=settings.download_uploads,
            counted=True,
            scope=None,
            created_at=now,
            expires_at=now + seconds * 1_000_000 if seconds is not None else None,
        )

    filename(form.filename, "")  # a name that cannot be kept, as early as it is known
    return _reply(call, await gateway.shelf.add(form.pieces(), describe))


async def list_(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/files``, newest first: some by their ids, or all, or those of one session."""
    query = queries.FILE_LIST.parse(call.query)
    if query["ids"] is not None:
        return await _some(gateway, call, query)
    if LEGACY in call.betas:
        return await _legacy(gateway, call, query)
    page = await _page(gateway, call, query, place(query["page"]))
    following = cursor.encode_file(cursor.PageCursor(*page.next)) if page.next else None
    return Reply(responses.page((responses.FILE.render(show(r)) for r in page.rows), following))


async def retrieve(gateway: Gateway, call: ApiCall) -> Reply:
    """``GET /v1/files/{file_id}``."""
    return _reply(call, await find(gateway, call))


async def download(gateway: Gateway, call: ApiCall) -> Answer:
    """``GET /v1/files/{file_id}/content``: the bytes (F-11, F-14)."""
    row = await find(gateway, call)
    if not row.readable(gateway.clock.now()):
        raise NotFound(f"file {row.id} has expired", code="file_expired")
    if not row.downloadable:
        raise InvalidRequest(
            f"file {row.id} was uploaded; only files made by tools and sessions can be downloaded",
            code="file_not_downloadable",
        )
    return Download(
        chunks=gateway.shelf.open(row),
        size=row.size,
        mime_type=row.mime_type,
        filename=row.filename,
    )


async def delete(gateway: Gateway, call: ApiCall) -> Reply:
    """``DELETE /v1/files/{file_id}``; copies that sessions have stay."""
    file = call.path["file_id"]
    await gateway.shelf.delete(workspace=call.workspace, id=file)
    return Reply(responses.DELETED_FILE.render({"id": file, "type": "file_deleted"}))


async def find(gateway: Gateway, call: ApiCall) -> FileRow:
    """The file that the path names.

    Raises:
        NotFound: There is none, or it is another workspace's.
    """
    return await gateway.store.files.get(workspace=call.workspace, id=call.path["file_id"])


def show(row: FileRow) -> Json:
    """The file as clients see it (F-10)."""
    return {
        "id": row.id,
        "type": "file",
        "filename": row.filename,
        "mime_type": row.mime_type,
        "size_bytes": row.size,
        "created_at": rfc3339(row.created_at),
        "downloadable": row.downloadable,
        "expires_at": rfc3339(row.expires_at) if row.expires_at is not None else None,
        "scope": {"type": "session", "id": row.scope} if row.scope is not None else None,
    }


def _show_legacy(row: FileRow) -> Json:
    return {key: value for key, value in show(row).items() if key != "expires_at"}


def _reply(call: ApiCall, row: FileRow) -> Reply:
    if LEGACY in call.betas:
        return Reply(to_json(_show_legacy(row)))
    return Reply(responses.FILE.render(show(row)))


async def _some(gateway: Gateway, call: ApiCall, query: Json) -> Reply:
    for name in ("limit", "page", "after_id", "before_id"):
        if query[name] is not None:
            raise InvalidRequest(f"ids: cannot be combined with {name}")
    rows = await gateway.store.files.some(workspace=call.workspace, ids=query["ids"])
    scope = query["scope_id"]
    rows = [row for row in rows if scope is None or row.scope == scope]
    return Reply(responses.page((responses.FILE.render(show(row)) for row in rows), None))


async def _page(gateway: Gateway, call: ApiCall, query: Json, at: Cursor | None) -> Page[FileRow]:
    return await gateway.store.files.list(
        workspace=call.workspace,
        limit=query["limit"] or _LISTED,
        cursor=at,
        scope=query["scope_id"],
    )


async def _legacy(gateway: Gateway, call: ApiCall, query: Json) -> Reply:
    after, before = query["after_id"], query["before_id"]
    if after is not None and before is not None:
        raise InvalidRequest("after_id and before_id cannot be combined")
    at = None
    if (edge := after or before) is not None:
        row = await gateway.store.files.get(workspace=call.workspace, id=edge)
        at = Cursor("desc", row.created_at, row.id, backwards=before is not None)
    page = await _page(gateway, call, query, at)
    more = page.prev if before is not None else page.next
    shown = [_show_legacy(row) for row in page.rows]
    return Reply(responses.id_page(shown, has_more=more is not None))
