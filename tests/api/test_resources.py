"""What can be mounted into a session: in this version nothing that exists."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

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


def test_repositories_are_refused_in_plain_words(client: Anthropic):
    with pytest.raises(anthropic.BadRequestError, match="does not support repositories yet"):
        make_session(client, resources=[REPOSITORY])


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
