"""The Files API as both namespaces of the SDK use it."""

import hashlib
import io
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from gateway.store.store import DATABASE
from tests.api.building import make_session
from tests.gateway import SECONDS, Running, Tenant, serve
from tests.ledger.requirement import requirement

HOUR = 3600
LEGACY = "files-api-2025-04-14"


@pytest.fixture(params=["files", "beta.files"])
def files(request: pytest.FixtureRequest, client: Anthropic) -> Any:
    return client.files if request.param == "files" else client.beta.files


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    """A gateway with little room, that lets uploads be downloaded."""
    limits = {"max_file": 2000, "quota": 3000, "download_uploads": True}
    with serve(tmp_path_factory.mktemp("small"), {"files": limits}) as running:
        yield running


def expire(gateway: Running, file: str) -> None:
    """Let the file have expired long ago."""
    with sqlite3.connect(gateway.data_dir / DATABASE, timeout=SECONDS) as database:
        database.execute("UPDATE files SET expires_at = created_at + 1 WHERE id = ?", (file,))
    database.close()


def blobs(gateway: Running) -> set[str]:
    """The names of all bytes that are stored."""
    return {path.name for path in (gateway.data_dir / "blobs").rglob("*") if path.is_file()}


@requirement("files:upload:metadata", "files:upload:expiry", "files:retrieve:workspace")
def test_an_upload_answers_its_metadata_and_is_found_again(files: Any, stranger: Anthropic):
    made = files.upload(file=("report.pdf", b"%PDF-1.7 short"), expires_in_seconds=HOUR)
    assert made.id.startswith("file_")
    assert (made.type, made.filename, made.mime_type) == ("file", "report.pdf", "application/pdf")
    assert (made.size_bytes, made.downloadable) == (14, False)
    assert (made.expires_at - made.created_at).total_seconds() == HOUR
    assert made.to_dict()["scope"] is None
    assert files.retrieve_metadata(made.id) == made
    for call in (stranger.files.retrieve_metadata, stranger.files.download, stranger.files.delete):
        with pytest.raises(anthropic.NotFoundError):
            call(made.id)


@requirement("files:upload:expiry")
@pytest.mark.parametrize("seconds", [HOUR - 1, 7_776_001, -1])
def test_an_expiry_outside_its_range_is_refused(client: Anthropic, seconds: int):
    with pytest.raises(anthropic.BadRequestError, match="expires_in_seconds"):
        client.files.upload(file=("a.txt", b"a"), expires_in_seconds=seconds)
    assert client.files.upload(file=("a.txt", b"a")).expires_at is None


@requirement("files:upload:name")
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("deep/in/a/tree.txt", "tree.txt"),
        ("C:\\Documents\\old.doc", "old.doc"),
        ("naïve — 数据.csv", "naïve — 数据.csv"),
        ("", "unnamed.pdf"),
        (None, "unnamed.pdf"),
        ("folder/", "unnamed.pdf"),
    ],
)
def test_the_last_component_of_a_name_is_kept(raw: Client, given: str | None, kept: str):
    name = "" if given is None else f'; filename="{given}"'
    assert send(raw, part("file", b"%PDF-1.7", name=name))["filename"] == kept


@requirement("files:upload:name-rules")
@pytest.mark.parametrize("name", ["a<b", "a:b", "a|b?", "star*", "tab\tname", "..", "x" * 256])
def test_a_name_that_no_file_may_have_is_refused(raw: Client, name: str):
    answer = post(raw, part("file", b"hello", name=f'; filename="{name}"'))
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@requirement("files:upload:type")
@pytest.mark.parametrize(
    ("name", "declared", "content", "kind"),
    [
        ("a.bin", "text/X-Special; charset=utf-8", b"x", "text/x-special"),
        ("a.csv", "application/octet-stream", b"a,b", "text/csv"),
        ("a.md", None, b"# a", "text/markdown"),
        ("picture", None, b"\x89PNG\r\n\x1a\nrest", "image/png"),
        ("photo", "application/octet-stream", b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        ("notes", None, "é".encode() * 300, "text/plain"),
        ("noise", None, b"\x00\x01\x02", "application/octet-stream"),
        ("archive.tar.gz", None, b"\x1f\x8b", "application/gzip"),
        ("odd", "not a type", b"\xff\xfe", "application/octet-stream"),
    ],
)
def test_the_type_is_declared_or_guessed(
    raw: Client, name: str, declared: str | None, content: bytes, kind: str
):
    made = send(raw, part("file", content, name=f'; filename="{name}"', kind=declared))
    assert made["mime_type"] == kind


@requirement("files:upload:form")
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ([b""], "Field required"),
        ([b'--b\r\ncontent-disposition: form-data; name="other"\r\n\r\nx\r\n'], "other"),
        ([b"--b\r\nx-nothing: here\r\n\r\nx\r\n"], "Content-Disposition"),
        ([b"no boundary at all"], "broken"),
        (None, "last boundary"),
    ],
)
def test_a_broken_form_is_refused(raw: Client, body: list[bytes] | None, named: str):
    whole = part("file", b"bytes", name='; filename="a.txt"') if body is None else b"".join(body)
    answer = post(raw, whole, end=b"" if body is None else b"--b--\r\n")
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


@requirement("files:upload:form")
def test_a_form_may_have_only_one_file_and_little_else(raw: Client):
    file = part("file", b"x", name='; filename="a.txt"')
    assert post(raw, file + file).status_code == 400
    seconds = part("expires_in_seconds", b"3600")
    assert post(raw, seconds + seconds + file).status_code == 400
    assert post(raw, part("expires_in_seconds", b"3" * 70_000) + file).status_code == 400
    assert post(raw, part("expires_in_seconds", b"\xff") + file).status_code == 400
    after = post(raw, file + seconds).json()
    assert after["expires_at"] > after["created_at"], "a text may follow the file"
    assert raw.post("/v1/files", json={}).status_code == 400
    packed = raw.post("/v1/files", content=b"", headers=form("b") | {"content-encoding": "gzip"})
    assert packed.json()["error"]["details"]["error_code"] == "request_body_encoding_unsupported"


@requirement("files:upload:form", "files:upload:too-large")
def test_what_was_refused_leaves_nothing_behind(small: Running):
    with small.tenant().raw() as raw:
        before = blobs(small)
        file = part("file", b"x" * 1500, name='; filename="a.txt"')
        assert post(raw, file + part("expires_in_seconds", b"1")).status_code == 400
        assert post(raw, file + part("other", b"1")).status_code == 400
        assert post(raw, file, end=b"").status_code == 400
        large = part("file", b"x" * 2001, name='; filename="a.txt"')
        answer = post(raw, large)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")
        assert blobs(small) == before


@requirement("files:upload:too-large")
def test_a_body_far_above_the_limit_is_refused_before_it_is_read(small: Running):
    with small.tenant().client() as client, pytest.raises(anthropic.ContentTooLargeError):
        client.files.upload(file=("big.bin", io.BytesIO(b"x" * 5_000_000)))


@requirement("files:upload:quota", "files:session:copy", "files:download:bytes")
def test_the_quota_counts_uploads_and_not_their_copies(tmp_path: Path):
    limits = {"quota": 3000, "download_uploads": True}
    with serve(tmp_path, {"files": limits}) as small, small.tenant().client() as client:
        kept = client.files.upload(file=("a.txt", b"x" * 2000))
        make_session(client, resources=[{"type": "file", "file_id": kept.id}])
        with pytest.raises(anthropic.BadRequestError) as caught:
            client.files.upload(file=("b.txt", b"x" * 1001))
        assert caught.value.type == "invalid_request_error"
        assert caught.value.error_code == "storage_quota_exceeded"
        exact = client.files.upload(file=("b.txt", b"x" * 1000))
        with pytest.raises(anthropic.BadRequestError, match="quota"):
            client.files.upload(file=("c.txt", b""))
        assert client.files.download(exact.id).read() == b"x" * 1000
        client.files.delete(kept.id)
        client.files.upload(file=("c.txt", b"x" * 1500))


@requirement("files:download:bytes")
def test_a_download_is_the_bytes_and_nothing_a_browser_would_run(small: Running):
    content = b"<script>alert(1)</script>"
    with small.tenant().client() as client:
        made = client.files.upload(file=("päge.html", content))
        answer = client.files.with_raw_response.download(made.id)
        client.files.delete(made.id)
    assert answer.read() == content
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == str(len(content))
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''p%C3%A4ge.html"
    assert answer.headers["x-content-type-options"] == "nosniff"


@requirement("files:download:uploads")
def test_uploads_are_not_downloadable(files: Any):
    made = files.upload(file=("a.txt", b"a"))
    with pytest.raises(anthropic.BadRequestError) as caught:
        files.download(made.id)
    assert caught.value.error_code == "file_not_downloadable"


@requirement("files:list:pages")
def test_files_are_listed_newest_first_in_pages(files: Any, client: Anthropic):
    made = [files.upload(file=(f"{n}.txt", b"x")).id for n in range(5)]
    page = files.list(limit=2)
    assert [file.id for file in page.data] == [made[4], made[3]]
    assert page.next_page.startswith("page_")
    assert [file.id for file in files.list(limit=2)] == made[::-1]
    assert files.list(limit=1000).next_page is None
    for wrong in ({"limit": 0}, {"limit": 1001}, {"page": page.next_page[5:]}, {"page": "page_x"}):
        with pytest.raises(anthropic.BadRequestError, match=next(iter(wrong))):
            files.list(**wrong)


@requirement("files:list:pages")
def test_twenty_files_are_listed_unless_a_limit_is_given(client: Anthropic):
    for number in range(21):
        client.files.upload(file=(f"{number}.txt", b"x"))
    assert len(client.files.list().data) == 20


@requirement("files:list:ids")
def test_files_are_listed_by_their_ids(files: Any, stranger: Anthropic):
    made = [files.upload(file=(f"{n}.txt", b"x")).id for n in range(3)]
    foreign = stranger.files.upload(file=("a.txt", b"x")).id
    page = files.list(ids=[made[0], made[2], made[0], foreign, "file_01none"])
    assert ([file.id for file in page.data], page.next_page) == ([made[2], made[0]], None)
    for wrong in ({"limit": 5}, {"page": files.list(limit=1).next_page}):
        with pytest.raises(anthropic.BadRequestError, match="ids"):
            files.list(ids=made, **wrong)
    with pytest.raises(anthropic.BadRequestError, match="at most 100"):
        files.list(ids=[f"file_{n}" for n in range(101)])
    assert files.list(ids=["file_01none"] * 101).data == []


@requirement("files:list:legacy")
def test_the_first_beta_gets_the_shapes_it_knew(raw: Client):
    ids = [send(raw, part("file", b"x", name='; filename="a"'))["id"] for _ in range(3)]
    raw.headers["anthropic-beta"] = LEGACY
    first = raw.get("/v1/files?limit=2").json()
    assert [file["id"] for file in first["data"]] == [ids[2], ids[1]]
    assert (first["has_more"], first["first_id"], first["last_id"]) == (True, ids[2], ids[1])
    assert "next_page" not in first
    assert "expires_at" not in first["data"][0]
    rest = raw.get(f"/v1/files?after_id={ids[1]}").json()
    assert ([file["id"] for file in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    before = raw.get(f"/v1/files?before_id={ids[0]}&limit=1").json()
    assert ([file["id"] for file in before["data"]], before["has_more"]) == ([ids[1]], True)
    assert "expires_at" not in raw.get(f"/v1/files/{ids[0]}").json()
    assert raw.get("/v1/files?after_id=a&before_id=b").status_code == 400


@requirement("files:delete:answer")
def test_a_deleted_file_is_gone_with_its_bytes(files: Any, gateway: Running):
    before = blobs(gateway)
    made = files.upload(file=("a.txt", b"unlike any other"))
    new = blobs(gateway) - before
    assert len(new) == 1
    assert files.delete(made.id).to_dict() == {"id": made.id, "type": "file_deleted"}
    assert not new & blobs(gateway)
    for call in (files.retrieve_metadata, files.download, files.delete):
        with pytest.raises(anthropic.NotFoundError):
            call(made.id)


@requirement("files:expiry:content", "files:expiry:use")
def test_an_expired_file_is_listed_and_cannot_be_used(
    client: Anthropic, gateway: Running, tenant: Tenant
):
    made = client.files.upload(file=("a.txt", b"a"), expires_in_seconds=HOUR)
    expire(gateway, made.id)
    before = blobs(gateway)
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.files.download(made.id)
    assert caught.value.error_code == "file_expired"
    gateway.call(gateway.gateway.shelf.sweep)
    assert len(before - blobs(gateway)) == 1, "its bytes are gone"
    assert client.files.retrieve_metadata(made.id).filename == "a.txt"
    assert [file.id for file in client.files.list()] == [made.id]
    attach: Any = {"type": "file", "file_id": made.id}
    with pytest.raises(anthropic.NotFoundError, match=r"resources\.0\.file_id.*expired"):
        make_session(client, resources=[attach])
    session = make_session(client)
    with pytest.raises(anthropic.NotFoundError, match="expired"):
        client.beta.sessions.resources.add(session.id, **attach)
    client.files.delete(made.id)
    assert list(client.files.list()) == []


@requirement("files:limit:calls")
def test_calls_above_the_limit_are_told_to_wait(tmp_path: Path):
    with serve(tmp_path, {"files": {"calls_per_minute": 2}}) as slow:
        with slow.tenant().client() as client:
            client.files.list()
            client.files.upload(file=("a.txt", b"a"))
            with pytest.raises(anthropic.RateLimitError):
                client.files.list()
            client.beta.agents.list()
        with slow.tenant().client() as other:
            other.files.list()


@requirement("files:upload:stream")
def test_an_upload_passes_through_in_pieces(client: Anthropic, gateway: Running):
    """Larger than every buffer on its way; the end-to-end suite measures memory."""
    made = client.files.upload(file=("big.bin", io.BytesIO(b"".join(numbers(40_000)))))
    whole = hashlib.sha256(b"".join(numbers(40_000))).hexdigest()
    stored = [hashlib.sha256(path.read_bytes()).hexdigest() for path in recent(gateway)]
    assert (made.size_bytes, whole in stored) == (40_000 * 100, True)


def numbers(count: int) -> Iterator[bytes]:
    return (str(number).encode().ljust(100) for number in range(count))


def recent(gateway: Running) -> Iterator[Path]:
    return (path for path in (gateway.data_dir / "blobs/files").iterdir())


def form(boundary: str) -> dict[str, str]:
    return {"content-type": f"multipart/form-data; boundary={boundary}"}


def part(field: str, content: bytes, *, name: str = "", kind: str | None = None) -> bytes:
    declared = f"content-type: {kind}\r\n" if kind else ""
    head = f'--b\r\ncontent-disposition: form-data; name="{field}"{name}\r\n{declared}\r\n'
    return head.encode() + content + b"\r\n"


def post(raw: Client, body: bytes, *, end: bytes = b"--b--\r\n") -> Any:
    return raw.post("/v1/files", content=body + end, headers=form("b"))


def send(raw: Client, body: bytes) -> dict[str, Any]:
    answer = post(raw, body)
    assert answer.status_code == 200, answer.text
    return answer.json()
