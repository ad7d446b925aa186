"""Repositories among a session's resources: what is taken, shown, changed, and never shown."""

import sqlite3
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from gateway.policy.repository import MAX_REPOSITORIES
from gateway.store.store import DATABASE
from tests.api.building import make_agent, make_environment, make_session, message, turn
from tests.gateway import Running
from tests.ledger.requirement import requirement

TOKEN = "tok-0c4d5e6f7a8b"
URL = "https://git.example/owner/thing"


def repository(**fields: Any) -> dict[str, Any]:
    return {"type": "github_repository", "url": URL, **fields}


def only(client: Anthropic, **fields: Any) -> Any:
    """The resource of a session that was made with one repository."""
    session = make_session(client, resources=[repository(**fields)])
    (resource,) = session.resources
    return session, resource


@requirement("resources:create:paths")
def test_a_repository_has_its_place_and_shows_what_was_asked_for(client: Anthropic):
    session, plain = only(client)
    assert plain.to_dict() == {
        "id": plain.id,
        "type": "github_repository",
        "url": URL,
        "mount_path": "/workspace/thing",
        "checkout": None,
        "created_at": plain.to_dict()["created_at"],
        "updated_at": plain.to_dict()["updated_at"],
    }
    assert client.beta.sessions.resources.retrieve(plain.id, session_id=session.id) == plain
    assert list(client.beta.sessions.resources.list(session.id)) == [plain]
    for checkout in ({"type": "branch", "name": "a/b"}, {"type": "commit", "sha": "0a" * 20}):
        _, resource = only(client, checkout=checkout, mount_path="/workspace/a//b")
        assert resource.checkout.to_dict() == checkout
        assert resource.mount_path == "/workspace/a/b"


@requirement("resources:token:write-only")
def test_a_token_is_stored_sealed_and_never_shown(client: Anthropic, gateway: Running):
    session, resource = only(client, authorization_token=TOKEN)
    shown = [session, client.beta.sessions.retrieve(session.id), resource]
    for word in (TOKEN, "authorization_token"):
        assert all(word not in each.to_json() for each in shown)
    with sqlite3.connect(gateway.data_dir / DATABASE) as database:
        query = "SELECT token FROM repositories WHERE resource = ?"
        (sealed,) = database.execute(query, [resource.id]).fetchone()
    database.close()
    assert TOKEN.encode() not in sealed
    files = gateway.data_dir.glob(f"{DATABASE}*")
    assert all(TOKEN.encode() not in file.read_bytes() for file in files)
    assert gateway.gateway.seal.open(sealed, row=f"repositories/{resource.id}") == TOKEN


@requirement("resources:update:token")
def test_only_the_token_of_a_repository_can_be_changed(
    client: Anthropic, stranger: Anthropic, gateway: Running
):
    session, resource = only(client)
    api = client.beta.sessions.resources
    new: Any = api.update(resource.id, session_id=session.id, authorization_token=TOKEN)
    assert new.to_dict().keys() == resource.to_dict().keys()
    assert new.updated_at > resource.updated_at
    assert api.retrieve(resource.id, session_id=session.id) == new
    sealed = gateway.call(_sealed, gateway, resource.id)
    assert gateway.gateway.seal.open(sealed, row=f"repositories/{resource.id}") == TOKEN
    url: Any = {"url": URL}
    with pytest.raises(anthropic.BadRequestError, match="url"):
        api.update(resource.id, session_id=session.id, authorization_token=TOKEN, extra_body=url)
    with pytest.raises(anthropic.NotFoundError):
        api.update("sesrsc_01none", session_id=session.id, authorization_token=TOKEN)
    with pytest.raises(anthropic.NotFoundError):
        stranger.beta.sessions.resources.update(
            resource.id, session_id=session.id, authorization_token="mine"
        )
    client.beta.sessions.archive(session.id)
    with pytest.raises(anthropic.BadRequestError, match="has ended"):
        api.update(resource.id, session_id=session.id, authorization_token=TOKEN)


async def _sealed(gateway: Running, resource: str) -> bytes | None:
    return await gateway.gateway.store.repositories.token(resource=resource)


@requirement("resources:repository:stays")
def test_a_repository_stays_as_long_as_its_session(client: Anthropic, gateway: Running):
    session, resource = only(client, authorization_token=TOKEN)
    with pytest.raises(anthropic.BadRequestError, match="stays as long"):
        client.beta.sessions.resources.delete(resource.id, session_id=session.id)
    client.beta.sessions.delete(session.id)
    assert gateway.call(_sealed, gateway, resource.id) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url": "https://git.example/a/../b"}, "resources.0.url: .*segments"),
        ({"url": "https://git.example:80/a/b"}, "resources.0.url: .*port 80"),
        ({"mount_path": "/workspace/" + "x" * 256}, "resources.0.mount_path: .*255 bytes"),
    ],
)
def test_what_cannot_be_cloned_is_refused_and_named(
    client: Anthropic, fields: dict[str, Any], message: str
):
    with pytest.raises(anthropic.BadRequestError, match=message):
        make_session(client, resources=[repository(**fields)])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, "/workspace/thing is taken"),
        ({"mount_path": "/workspace/thing/inner"}, "one inside the other"),
    ],
)
def test_repositories_have_places_of_their_own(
    client: Anthropic, other: dict[str, Any], message: str
):
    with pytest.raises(anthropic.BadRequestError, match=f"resources.1.mount_path: .*{message}"):
        make_session(client, resources=[repository(), repository(**other)])
    both = [repository(), repository(mount_path="/workspace/again")]
    assert len(make_session(client, resources=both).resources) == 2


def test_a_session_has_a_bounded_number_of_them(client: Anthropic):
    many = [repository(mount_path=f"/workspace/{n}") for n in range(MAX_REPOSITORIES + 1)]
    assert len(make_session(client, resources=many[:-1]).resources) == MAX_REPOSITORIES
    with pytest.raises(anthropic.BadRequestError, match=f"at most {MAX_REPOSITORIES}"):
        make_session(client, resources=many)


def test_without_a_sandbox_each_is_told_once_and_the_session_goes_on(client: Anthropic):
    agent = make_agent(client, tools=[{"type": "agent_toolset_20260401"}])
    session = make_session(
        client,
        agent=agent.id,
        resources=[repository(), repository(mount_path="/workspace/again")],
    )
    shown = turn(client, session.id, message("hello"))
    told = [event.error for event in shown if event.type == "session.error"]
    assert [(error.type, error.retry_status.type) for error in told] == [
        ("repository_clone_error", "retrying")
    ]
    assert getattr(told[0], "repository_url", None) == URL
    assert any(event.type == "agent.message" for event in shown)


@requirement("resources:create:self-hosted")
def test_a_self_hosted_environment_takes_none(client: Anthropic):
    environment = make_environment(client, config={"type": "self_hosted"})
    with pytest.raises(anthropic.BadRequestError, match="not supported in self_hosted"):
        make_session(client, environment_id=environment.id, resources=[repository()])
