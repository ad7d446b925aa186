"""Files as rows, and the bytes that one row or several hold."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from gateway.errors import InvalidRequest, NotFound, Overloaded
from gateway.store.attachments import Copy
from gateway.store.outputs import Seen
from gateway.store.records import FileRow, SessionRow
from gateway.store.store import Store
from tests.store.rows import WORKSPACE, add_session, session, thread

QUOTA = 1000
NOW = 1_000


def file(identity: str = "file_1", **changes: Any) -> FileRow:
    row = FileRow(
        id=identity,
        workspace=WORKSPACE,
        filename="a.txt",
        mime_type="text/plain",
        size=10,
        sha256="00",
        blob=f"files/of_{identity}",
        downloadable=False,
        counted=True,
        scope=None,
        created_at=NOW,
        expires_at=None,
    )
    return replace(row, **changes)


async def add(store: Store, row: FileRow, *, now: int = NOW) -> FileRow:
    assert row.blob is not None
    await store.files.begin(blob=row.blob, now=now)
    await store.files.add(row=row, now=now, quota=QUOTA)
    return row


async def attach(store: Store, original: str, copy: str, of: str = "sesn_1") -> None:
    def place(_row: SessionRow) -> dict[str, Any]:
        return {"id": f"sesrsc_{copy}", "type": "file", "file_id": copy, "mount_path": f"/{copy}"}

    await store.attachments.add(
        session=of,
        workspace=WORKSPACE,
        copy=Copy(of=original, id=copy),
        now=NOW,
        place=place,
    )


async def doomed(store: Store) -> set[str]:
    return set(await store.files.doomed(before=0))


async def ids(store: Store, **filters: Any) -> list[str]:
    page = await store.files.list(workspace=WORKSPACE, limit=100, **filters)
    return [row.id for row in page.rows]


async def test_a_file_comes_back_to_its_own_workspace_only(store: Store):
    row = await add(store, file(expires_at=5_000, downloadable=True))
    assert await store.files.get(workspace=WORKSPACE, id=row.id) == row
    assert await store.files.named(ids=[row.id, "file_2"]) == [row]
    with pytest.raises(NotFound):
        await store.files.get(workspace="wrkspc_2", id=row.id)
    with pytest.raises(NotFound):
        await store.files.delete(workspace="wrkspc_2", id=row.id, now=NOW)


async def test_files_are_listed_newest_first_and_by_session(store: Store):
    await add_session(store)
    rows = [await add(store, file(f"file_{n}", created_at=n)) for n in range(5)]
    await attach(store, "file_0", "file_copy")
    page = await store.files.list(workspace=WORKSPACE, limit=3)
    assert [row.id for row in page.rows] == ["file_copy", "file_4", "file_3"]
    rest = await store.files.list(workspace=WORKSPACE, limit=3, cursor=page.next)
    assert (rest.rows, rest.next) == (rows[2::-1], None)
    assert await ids(store, scope="sesn_1") == ["file_copy"]


async def test_bytes_are_known_from_before_they_are_written_until_they_are_gone(store: Store):
    await store.files.begin(blob="files/b", now=NOW)
    assert set(await store.files.doomed(before=NOW)) == set()
    assert set(await store.files.doomed(before=NOW + 1)) == {"files/b"}
    await store.files.gone(blobs=["files/b"])
    assert await doomed(store) == set()


async def test_an_upload_that_was_given_up_is_not_added_any_more(store: Store):
    await store.files.begin(blob="files/of_file_1", now=NOW)
    await store.files.drop(blob="files/of_file_1")
    with pytest.raises(Overloaded):
        await store.files.add(row=file(), now=NOW, quota=QUOTA)
    assert await doomed(store) == {"files/of_file_1"}


async def test_dropping_what_a_file_holds_changes_nothing(store: Store):
    row = await add(store, file())
    assert row.blob is not None
    await store.files.drop(blob=row.blob)
    assert await doomed(store) == set()


async def test_the_quota_counts_what_is_neither_expired_nor_a_copy(store: Store):
    await add_session(store)
    await add(store, file("file_1", size=600, expires_at=NOW + 1))
    await attach(store, "file_1", "file_copy")
    assert await store.files.used(now=NOW) == 600
    with pytest.raises(InvalidRequest) as caught:
        await add(store, file("file_2", size=401))
    assert caught.value.code == "storage_quota_exceeded"
    assert await store.files.used(now=NOW + 1) == 0
    await add(store, file("file_3", size=1000), now=NOW + 1)


async def test_bytes_are_doomed_with_the_last_file_that_shares_them(store: Store):
    await add_session(store)
    row = await add(store, file())
    await attach(store, row.id, "file_copy")
    await attach(store, "file_copy", "file_second")
    await store.files.delete(workspace=WORKSPACE, id=row.id, now=NOW)
    await store.files.delete(workspace=WORKSPACE, id="file_copy", now=NOW)
    assert await doomed(store) == set()
    await store.files.delete(workspace=WORKSPACE, id="file_second", now=NOW)
    assert await doomed(store) == {row.blob}


async def test_the_last_two_of_many_deleted_at_once_leave_no_bytes(store: Store):
    await add_session(store)
    row = await add(store, file())
    copies = [f"file_copy{n}" for n in range(8)]
    for copy in copies:
        await attach(store, row.id, copy)

    async def delete(name: str) -> None:
        await store.files.delete(workspace=WORKSPACE, id=name, now=NOW)

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for name in (row.id, *copies):
                tasks.start_soon(delete, name)
    assert await doomed(store) == {row.blob}


async def test_a_copy_has_its_own_id_and_all_else_of_the_original(store: Store):
    await add_session(store)
    row = await add(store, file(expires_at=NOW + 50))
    await attach(store, row.id, "file_copy")
    (attached,) = await store.attachments.list(session="sesn_1")
    assert attached.file == replace(row, id="file_copy", scope="sesn_1", counted=False)
    assert (attached.mount_path, attached.file_id) == ("/file_copy", "file_copy")
    await store.files.delete(workspace=WORKSPACE, id="file_copy", now=NOW)
    (attached,) = await store.attachments.list(session="sesn_1")
    assert attached.file is None
    assert await store.attachments.list(session="sesn_none") == []


@pytest.mark.parametrize("original", ["file_foreign", "file_expired", "file_none"])
async def test_what_cannot_be_read_is_not_copied_and_nothing_changes(store: Store, original: str):
    await add_session(store)
    await add(store, file("file_foreign", workspace="wrkspc_2"))
    await add(store, file("file_expired", expires_at=NOW))
    with pytest.raises(NotFound, match=original):
        await attach(store, original, "file_copy")
    row = session("sesn_2", created_at=NOW)
    copies = [Copy(of=original, id="file_copy")]
    with pytest.raises(NotFound, match=original):
        await store.sessions.create(row=row, thread=thread(row), copies=copies)
    with pytest.raises(NotFound):
        await store.sessions.get(workspace=WORKSPACE, id="sesn_2")
    assert await store.attachments.list(session="sesn_1") == []
    assert await ids(store, scope="sesn_1") == []


async def test_a_resource_is_removed_with_its_copy(store: Store):
    await add_session(store)
    row = await add(store, file())
    await attach(store, row.id, "file_copy")
    seen: list[dict[str, Any]] = []

    async def remove(resource: str, workspace: str = WORKSPACE) -> dict[str, Any]:
        return await store.attachments.remove(
            session="sesn_1",
            workspace=workspace,
            resource=resource,
            now=NOW,
            check=seen.append,
        )

    for wrong in (("sesrsc_none", WORKSPACE), ("sesrsc_file_copy", "wrkspc_2")):
        with pytest.raises(NotFound):
            await remove(*wrong)
    taken = await remove("sesrsc_file_copy")
    assert [taken] == seen
    assert await store.attachments.list(session="sesn_1") == []
    assert await ids(store) == [row.id]


async def test_deleting_a_session_forgets_its_copies_and_outputs(store: Store):
    await add_session(store)
    await add_session(store, "sesn_2")
    row = await add(store, file())
    await attach(store, row.id, "file_copy")
    await attach(store, row.id, "file_other", of="sesn_2")
    await output(store, file("file_out", scope="sesn_1"), b"a.txt")
    await store.sessions.delete(workspace=WORKSPACE, id="sesn_1", now=NOW, check=lambda _row: None)
    assert set(await ids(store)) == {"file_1", "file_other"}
    assert await doomed(store) == {"files/of_file_out"}
    assert await store.outputs.seen(session="sesn_1") == {}


async def test_expired_files_lose_their_bytes_and_later_their_row(store: Store):
    row = await add(store, file(expires_at=NOW + 10))
    await add(store, file("file_2"))
    assert await store.files.expire(now=NOW + 9, keep=0) is False
    assert await doomed(store) == set()
    await store.files.expire(now=NOW + 10, keep=NOW + 9)
    assert await doomed(store) == {row.blob}
    assert await store.files.get(workspace=WORKSPACE, id=row.id) == replace(row, blob=None)
    await store.files.expire(now=NOW + 20, keep=NOW + 10)
    assert await ids(store) == ["file_2"]


async def output(store: Store, row: FileRow, path: bytes, mark: str = "1") -> None:
    assert row.blob is not None
    await store.files.begin(blob=row.blob, now=NOW)
    await store.outputs.take(row=row, path=path, mark=mark, now=NOW, quota=QUOTA)


async def test_an_output_takes_the_place_of_the_one_before(store: Store):
    await add_session(store)
    path = b"folder/odd \xff name"
    await output(store, file("file_1", scope="sesn_1"), path)
    await output(store, file("file_2", scope="sesn_1", sha256="11"), path, "2")
    await output(store, file("file_3", scope="sesn_1"), b"other")
    seen = await store.outputs.seen(session="sesn_1")
    assert seen[path] == Seen(path=path, mark="2", sha256="11", file="file_2")
    assert set(await ids(store)) == {"file_2", "file_3"}
    assert await doomed(store) == {"files/of_file_1"}
    await store.outputs.remark(session="sesn_1", path=path, mark="3")
    assert (await store.outputs.seen(session="sesn_1"))[path].mark == "3"


async def test_an_output_of_a_deleted_session_is_not_kept(store: Store):
    with pytest.raises(NotFound):
        await output(store, file(scope="sesn_none"), b"a")
    assert await ids(store) == []
