"""Environments: made with defaults, merged on update, deleted when nobody uses them."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import make_agent, make_environment, make_session
from tests.ledger.requirement import requirement

MANAGERS = ("apt", "cargo", "gem", "go", "npm", "pip")


def _config(environment: Any) -> Any:
    return environment.config.to_dict()


@requirement("environments:create:default", "environments:cloud:packages")
def test_a_name_is_enough(client: Anthropic):
    environment = make_environment(client)
    assert environment.id.startswith("env_01")
    assert (environment.type, environment.scope) == ("environment", "organization")
    assert (environment.description, environment.metadata) == (None, {})
    assert _config(environment) == {
        "type": "cloud",
        "networking": {"type": "unrestricted"},
        "packages": {"type": "packages", **{manager: [] for manager in MANAGERS}},
    }
    assert client.beta.environments.retrieve(environment.id) == environment


@requirement("environments:create:unique", "errors:retry:conflict")
def test_a_live_name_is_taken_only_once(raw: Client, client: Anthropic):
    make_environment(client)
    other = make_environment(client, name="Other")
    for path in ("/v1/environments", f"/v1/environments/{other.id}"):
        answer = raw.post(path, json={"name": "Plain"})
        assert answer.status_code == 409
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["error"]["message"].startswith("name: ")


@requirement("environments:create:unique")
def test_a_name_in_another_workspace_is_no_hindrance(client: Anthropic, stranger: Anthropic):
    assert make_environment(client).id != make_environment(stranger).id


@requirement("environments:create:archived-name")
def test_the_name_of_an_archived_environment_is_free(client: Anthropic):
    first = make_environment(client)
    client.beta.environments.archive(first.id)
    assert make_environment(client).id != first.id


@requirement("environments:create:scope")
def test_only_the_organizations_scope_is_supported(client: Anthropic):
    assert make_environment(client, scope="organization").scope == "organization"
    with pytest.raises(anthropic.BadRequestError, match="scope"):
        make_environment(client, name="Mine", scope="account")


@requirement("environments:create:metadata")
def test_bad_metadata_has_a_code(client: Anthropic):
    environment = make_environment(client)
    many: Any = {str(n): "x" for n in range(17)}
    with pytest.raises(anthropic.BadRequestError) as refusal:
        client.beta.environments.update(environment.id, metadata=many)
    assert refusal.value.error_code == "invalid_metadata"


@requirement("environments:cloud:limited")
def test_limited_networking_reads_back_whole(client: Anthropic):
    config: Any = {"type": "cloud", "networking": {"type": "limited"}}
    assert _config(make_environment(client, config=config))["networking"] == {
        "type": "limited",
        "allowed_hosts": [],
        "allow_mcp_servers": False,
        "allow_package_managers": False,
    }


@requirement("environments:self-hosted:bare")
def test_a_self_hosted_environment_has_nothing_else(client: Anthropic):
    assert _config(make_environment(client, config={"type": "self_hosted"})) == {
        "type": "self_hosted"
    }


@requirement("environments:update:merge")
def test_an_update_keeps_what_it_does_not_name(client: Anthropic):
    networking: Any = {"type": "limited", "allowed_hosts": ["a.example.com"]}
    packages: Any = {"pip": ["numpy"], "npm": ["left-pad"]}
    environment = make_environment(
        client,
        description="A test.",
        config={
            "type": "cloud",
            "networking": {**networking, "allow_package_managers": True},
            "packages": packages,
        },
    )
    patch: Any = {
        "type": "cloud",
        "networking": {"type": "limited", "allow_mcp_servers": True, "allowed_hosts": None},
        "packages": {"pip": [], "npm": None},
    }
    changed = client.beta.environments.update(environment.id, config=patch)
    assert changed.description == "A test."
    assert _config(changed)["networking"] == {
        **networking,
        "allow_mcp_servers": True,
        "allow_package_managers": True,
    }
    assert _config(changed)["packages"]["npm"] == ["left-pad"]
    assert _config(changed)["packages"]["pip"] == []
    opened: Any = {"type": "cloud", "networking": {"type": "unrestricted"}}
    changed = client.beta.environments.update(environment.id, config=opened)
    assert _config(changed)["networking"] == {"type": "unrestricted"}
    assert _config(changed)["packages"]["npm"] == ["left-pad"]


@requirement("environments:cloud:packages-limited")
def test_packages_and_network_are_checked_together_after_an_update(client: Anthropic):
    config: Any = {"type": "cloud", "packages": {"pip": ["numpy"]}}
    environment = make_environment(client, config=config)
    closed: Any = {"type": "cloud", "networking": {"type": "limited"}}
    with pytest.raises(anthropic.BadRequestError, match="allow_package_managers"):
        client.beta.environments.update(environment.id, config=closed)


@requirement("environments:update:type")
def test_the_type_of_an_environment_never_changes(client: Anthropic):
    environment = make_environment(client)
    with pytest.raises(anthropic.BadRequestError) as refusal:
        client.beta.environments.update(environment.id, config={"type": "self_hosted"})
    assert refusal.value.error_code == "invalid_config_type_change"


@requirement("environments:update:metadata")
def test_null_and_the_empty_string_delete_a_key(client: Anthropic):
    environment = make_environment(client, metadata={"a": "1", "b": "2", "c": "3", "d": ""})
    patch: Any = {"a": None, "b": "", "e": "5"}
    changed = client.beta.environments.update(environment.id, metadata=patch)
    assert changed.metadata == {"c": "3", "d": "", "e": "5"}


@requirement("environments:update:description")
def test_a_description_can_be_empty_or_cleared(client: Anthropic):
    environment = make_environment(client, description="A test.")
    update = client.beta.environments.update
    assert update(environment.id, description="").description == ""
    assert update(environment.id, name="New").description == ""
    assert update(environment.id, description=None).description is None


def test_an_update_that_changes_nothing_leaves_the_time_alone(client: Anthropic):
    environment = make_environment(client, metadata={"a": "1"})
    same = client.beta.environments.update(environment.id, name="Plain", metadata={"a": "1"})
    assert same == environment


@requirement("environments:update:archived", "environments:archive:once")
def test_an_archived_environment_stays_as_it_is(client: Anthropic):
    environment = make_environment(client)
    archived = client.beta.environments.archive(environment.id)
    assert archived.archived_at is not None
    assert client.beta.environments.archive(environment.id) == archived
    with pytest.raises(anthropic.BadRequestError) as refusal:
        client.beta.environments.update(environment.id, name="New")
    assert refusal.value.error_code == "environment_archived"


@requirement("environments:archive:no-new-sessions", "sessions:create:archived")
def test_no_session_begins_in_an_archived_environment(client: Anthropic):
    environment = client.beta.environments.archive(make_environment(client).id)
    with pytest.raises(anthropic.BadRequestError, match=r"environment_id: .* is archived"):
        make_session(client, environment_id=environment.id)


@requirement("environments:delete:answer")
def test_a_deleted_environment_is_gone(client: Anthropic):
    environment = make_environment(client)
    client.beta.environments.archive(environment.id)
    deleted = client.beta.environments.delete(environment.id)
    assert deleted.to_dict() == {"id": environment.id, "type": "environment_deleted"}
    for call in (client.beta.environments.retrieve, client.beta.environments.delete):
        with pytest.raises(anthropic.NotFoundError):
            call(environment.id)


@requirement("environments:delete:in-use")
def test_an_environment_outlives_the_sessions_that_use_it(client: Anthropic):
    environment = make_environment(client)
    session = make_session(client, agent=make_agent(client).id, environment_id=environment.id)
    with pytest.raises(anthropic.ConflictError, match="session"):
        client.beta.environments.delete(environment.id)
    client.beta.sessions.archive(session.id)
    assert client.beta.environments.delete(environment.id).id == environment.id


@requirement("environments:list:archived", "pagination:order:newest-first")
def test_archived_environments_are_listed_on_request(client: Anthropic):
    first = make_environment(client, name="First")
    make_environment(client, name="Second")
    client.beta.environments.archive(first.id)
    names = [e.name for e in client.beta.environments.list()]
    every = [e.name for e in client.beta.environments.list(include_archived=True)]
    assert (names, every) == (["Second"], ["Second", "First"])
