"""What is mounted into a session: files, and what is not there is told."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, NotFoundError

from tests.api.building import make_environment, make_session
from tests.ledger.requirement import requirement

FILE = {"type": "file", "file_id": "file_01none"}
STORE = {"type": "memory_store", "memory_store_id": "memstore_01none"}
REPOSITORY = {"type": "github_repository", "url": "https://github.com/o/r"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"resources": [FILE]}, "resources.0.file_id"),
        ({"resources": [STORE]}, "resources.0.memory_store_id"),
        ({"vault_ids": ["vlt_01none"]}, "vault_ids.0"),
    ],
)
def test_unknown_things_are_named_by_their_field(client: Anthropic, fields: Any, named: str):
    with pytest.raises(anthropic.NotFoundError, match=f"'{named}: "):
        make_session(client, **fields)
    assert list(client.beta.sessions.list()) == []


@requirement("resources:create:self-hosted")
@pytest.mark.parametrize("resource", [FILE, REPOSITORY], ids=lambda r: r["type"])
def test_a_self_hosted_environment_mounts_nothing_of_ours(client: Anthropic, resource: Any):
    environment = make_environment(client, config={"type": "self_hosted"})
    with pytest.raises(anthropic.BadRequestError, match="self_hosted"):
        make_session(client, environment_id=environment.id, resources=[resource])
    session = make_session(client, environment_id=environment.id)
    with pytest.raises(anthropic.BadRequestError, match="self_hosted"):
        client.beta.sessions.resources.add(session.id, type="file", file_id="file_01none")


@requirement("resources:list:all")
def test_a_session_without_resources_lists_none(client: Anthropic, stranger: Anthropic):
    session = make_session(client)
    page = client.beta.sessions.resources.list(session.id)
    assert (page.data, page.next_page) == ([], None)
    with pytest.raises(anthropic.BadRequestError, match="limit"):
        client.beta.sessions.resources.list(session.id, limit=1001)
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.sessions.resources.list(session.id)


@requirement("resources:add:file-only")
def test_only_files_can_be_added(client: Anthropic):
    session = make_session(client)
    with pytest.raises(anthropic.NotFoundError, match="file_id"):
        client.beta.sessions.resources.add(session.id, type="file", file_id="file_01none")
    with pytest.raises(anthropic.BadRequestError, match="type"):
        client.beta.sessions.resources.add(session.id, type="memory_store", file_id="file_01none")  # pyright: ignore[reportArgumentType] - what is tested
    client.beta.sessions.archive(session.id)
    with pytest.raises(anthropic.BadRequestError, match="ended"):
        client.beta.sessions.resources.add(session.id, type="file", file_id="file_01none")


@requirement("resources:update:token")
def test_an_unknown_resource_is_not_found(client: Anthropic):
    session = make_session(client)
    resources = client.beta.sessions.resources
    for call in (resources.retrieve, resources.delete):
        with pytest.raises(anthropic.NotFoundError):
            call("sesrsc_01none", session_id=session.id)
    with pytest.raises(anthropic.NotFoundError):
        resources.update("sesrsc_01none", session_id=session.id, authorization_token="t")
    with pytest.raises(anthropic.BadRequestError, match="authorization_token"):
        resources.update("sesrsc_01none", session_id=session.id, authorization_token="")


def upload(client: Anthropic, name: str = "data.csv") -> str:
    return client.files.upload(file=(name, b"a,b")).id


@requirement("files:session:copy")
def test_a_session_has_copies_of_its_own(client: Anthropic):
    original = client.files.upload(file=("data.csv", b"a,b"), expires_in_seconds=3600)
    session = make_session(client, resources=[{"type": "file", "file_id": original.id}] * 1)
    (resource,) = session.resources
    assert resource.type == "file"
    assert resource.id.startswith("sesrsc_")
    assert resource.file_id not in ("", original.id)
    copy = client.beta.files.retrieve_metadata(resource.file_id)
    assert copy.scope is not None
    assert (copy.scope.type, copy.scope.id) == ("session", session.id)
    same = ("filename", "mime_type", "size_bytes", "downloadable", "expires_at")
    assert [getattr(copy, key) for key in same] == [getattr(original, key) for key in same]
    client.files.delete(original.id)
    assert client.beta.sessions.retrieve(session.id).resources == [resource]
    assert client.beta.files.retrieve_metadata(resource.file_id) == copy


@requirement("files:list:scope")
def test_files_are_listed_by_their_session(client: Anthropic):
    file = upload(client)
    session = make_session(client, resources=[{"type": "file", "file_id": file}])
    other = make_session(client)
    (resource,) = session.resources
    assert [found.id for found in client.beta.files.list(scope_id=session.id)] == [
        getattr(resource, "file_id", None)
    ]
    assert list(client.beta.files.list(scope_id=other.id)) == []
    assert list(client.beta.files.list(scope_id=session.id, ids=[file])) == []


@requirement("files:session:mount-path", "resources:create:paths")
@pytest.mark.parametrize(
    ("given", "mounted"),
    [
        ("/data.csv", "data.csv"),
        ("data.csv", "data.csv"),
        ("deep/er//data.csv", "deep/er/data.csv"),
        ("/mnt/session/uploads/data.csv", "data.csv"),
        ("mnt/session/uploads/x/y", "x/y"),
        ("/mnt/other", "mnt/other"),
    ],
)
def test_files_are_mounted_below_the_uploads(client: Anthropic, given: str, mounted: str):
    session = make_session(client)
    added = client.beta.sessions.resources.add(
        session.id, type="file", file_id=upload(client), mount_path=given
    )
    assert added.mount_path == f"/mnt/session/uploads/{mounted}"


@requirement("files:session:mount-path")
def test_without_a_path_a_file_is_called_by_the_id_it_was_given_with(client: Anthropic):
    file = upload(client)
    session = make_session(client, resources=[{"type": "file", "file_id": file}])
    (resource,) = session.resources
    assert getattr(resource, "mount_path", None) == f"/mnt/session/uploads/{file}"


@requirement("files:session:mount-path", "resources:create:paths")
@pytest.mark.parametrize(
    "wrong",
    [
        "../x",
        "/a/../../x",
        "/mnt/session/uploads",
        "/",
        "a/",
        "a\0b",
        "x" * 256,
        "taken",
        "taken/in",
    ],
)
def test_a_place_that_cannot_be_is_refused(client: Anthropic, wrong: str):
    file: Any = {"type": "file", "file_id": upload(client)}
    taken = {**file, "mount_path": "/taken"}
    session = make_session(client, resources=[taken])
    with pytest.raises(anthropic.BadRequestError, match="mount_path"):
        client.beta.sessions.resources.add(session.id, **file, mount_path=wrong)
    with pytest.raises(anthropic.BadRequestError, match=r"resources\.1.*mount_path"):
        make_session(client, resources=[taken, {**file, "mount_path": wrong}])
    assert len(list(client.beta.files.list(scope_id=session.id))) == 1


def test_a_file_of_another_workspace_cannot_be_attached(client: Anthropic, stranger: Anthropic):
    foreign: Any = {"type": "file", "file_id": upload(stranger)}
    with pytest.raises(anthropic.NotFoundError, match=r"resources\.0\.file_id"):
        make_session(client, resources=[foreign])
    with pytest.raises(anthropic.NotFoundError, match="file_id"):
        client.beta.sessions.resources.add(make_session(client).id, **foreign)


@requirement("resources:list:all", "resources:delete:answer")
def test_resources_are_listed_in_pages_retrieved_and_deleted(client: Anthropic):
    file = upload(client)
    resources: Any = [{"type": "file", "file_id": file, "mount_path": f"/{n}"} for n in range(5)]
    session = make_session(client, resources=resources)
    api = client.beta.sessions.resources
    ids = [getattr(entry, "id", None) for entry in session.resources]
    assert [getattr(entry, "id", None) for entry in api.list(session.id)] == ids
    first = api.list(session.id, limit=2)
    assert [getattr(entry, "id", None) for entry in first.data] == ids[:2]
    gone = str(ids[1])
    assert api.retrieve(gone, session_id=session.id) == session.resources[1]
    deleted = api.delete(gone, session_id=session.id)
    assert deleted.to_dict() == {"id": gone, "type": "session_resource_deleted"}
    with pytest.raises(anthropic.NotFoundError):
        api.retrieve(gone, session_id=session.id)
    assert first.next_page is not None
    rest = [getattr(entry, "id", None) for entry in api.list(session.id, page=first.next_page)]
    assert rest == ids[2:], "a page begins where the last one ended, whatever went meanwhile"
    assert len(list(client.beta.files.list(scope_id=session.id))) == 4
    with pytest.raises(anthropic.BadRequestError, match="repository"):
        api.update(str(ids[0]), session_id=session.id, authorization_token="token")


@requirement("resources:create:caps")
def test_a_session_has_at_most_500_files(client: Anthropic):
    file = upload(client)
    resources: Any = [{"type": "file", "file_id": file, "mount_path": f"/{n}"} for n in range(500)]
    session = make_session(client, resources=resources)
    with pytest.raises(anthropic.BadRequestError, match="at most 500"):
        client.beta.sessions.resources.add(session.id, type="file", file_id=file)
    with pytest.raises(anthropic.BadRequestError, match="at most 500"):
        make_session(client, resources=[*resources, resources[0]])


@requirement("files:session:deleted")
def test_a_deleted_session_takes_its_copies_along(client: Anthropic):
    file = upload(client)
    session = make_session(client, resources=[{"type": "file", "file_id": file}])
    [copy] = client.beta.files.list(scope_id=session.id)
    client.beta.sessions.delete(session.id)
    assert list(client.beta.files.list(scope_id=session.id)) == []
    assert [found.id for found in client.files.list()] == [file]
    with pytest.raises(NotFoundError):
        client.beta.files.retrieve_metadata(copy.id)
