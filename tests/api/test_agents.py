"""Agents: made, changed version by version, listed, archived."""

from typing import Any

import anthropic
import anyio
import pytest
from anthropic import Anthropic
from httpx2 import Client

from tests.api.building import MCP_TOOLSET, SERVER, TOOLSET, make_agent, make_session
from tests.gateway import MODEL
from tests.ledger.requirement import requirement


@requirement("agents:create:minimal", "agents:identity:default", "transport:ids:prefix")
def test_a_name_and_a_model_make_an_agent(client: Anthropic):
    agent = make_agent(client)
    assert agent.id.startswith("agent_01")
    assert (agent.type, agent.version, agent.name) == ("agent", 1, "Ada")
    assert (agent.tools, agent.mcp_servers, agent.skills, agent.metadata) == ([], [], [], {})
    assert (agent.description, agent.system, agent.multiagent, agent.archived_at) == (None,) * 4
    assert agent.execution_identity.type == "service_account"
    assert agent.created_at == agent.updated_at
    assert client.beta.agents.retrieve(agent.id) == agent


@requirement("agents:create:required")
@pytest.mark.parametrize("missing", ["name", "model"])
def test_name_and_model_are_required(raw: Client, missing: str):
    body = {"name": "Ada", "model": MODEL}
    del body[missing]
    answer = raw.post("/v1/agents", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{missing}: ")


@requirement("agents:create:lengths", "agents:create:metadata")
@pytest.mark.parametrize(
    ("field", "fits", "too_much"),
    [
        ("name", "n" * 256, "n" * 257),
        ("name", "n", ""),
        ("description", "d" * 2048, "d" * 2049),
        ("system", "s" * 100_000, "s" * 100_001),
        ("metadata", {"k" * 64: "v" * 512}, {"k" * 65: "v"}),
        ("metadata", {}, {"k": "v" * 513}),
        ("metadata", {str(n): "" for n in range(16)}, {str(n): "" for n in range(17)}),
    ],
)
def test_texts_and_metadata_have_their_limits(
    client: Anthropic, field: str, fits: object, too_much: object
):
    assert getattr(make_agent(client, **{field: fits}), field) == fits
    with pytest.raises(anthropic.BadRequestError, match=field):
        make_agent(client, **{field: too_much})


@requirement("agents:update:partial", "agents:update:version-bump")
def test_an_update_changes_only_what_it_names(client: Anthropic):
    agent = make_agent(
        client, system="Be brief.", description="A test.", tools=[TOOLSET], metadata={"a": "1"}
    )
    changed = client.beta.agents.update(agent.id, name="Bea", description=None)
    assert (changed.version, changed.name, changed.description) == (2, "Bea", None)
    assert (changed.system, changed.tools, changed.metadata) == (
        "Be brief.",
        agent.tools,
        {"a": "1"},
    )
    assert changed.created_at == agent.created_at
    assert changed.updated_at > agent.updated_at
    cleared = client.beta.agents.update(agent.id, system="", tools=None)
    assert (cleared.version, cleared.system, cleared.tools) == (3, None, [])


@requirement("agents:update:metadata-patch")
def test_metadata_is_patched_key_by_key(client: Anthropic):
    agent = make_agent(client, metadata={"keep": "1", "change": "2", "drop": "3"})
    patched = client.beta.agents.update(
        agent.id, metadata={"change": "4", "drop": None, "new": "", "never": None}
    )
    assert patched.metadata == {"keep": "1", "change": "4", "new": ""}
    with pytest.raises(anthropic.BadRequestError, match="metadata: at most 16 pairs"):
        client.beta.agents.update(agent.id, metadata={f"more {n}": "" for n in range(14)})


@requirement("agents:update:not-clearable")
@pytest.mark.parametrize("field", ["name", "model"])
@pytest.mark.parametrize("value", [None, ""])
def test_name_and_model_cannot_be_cleared(
    raw: Client, client: Anthropic, field: str, value: object
):
    agent = make_agent(client)
    answer = raw.post(f"/v1/agents/{agent.id}", json={field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(f"{field}: ")


@requirement("agents:update:no-op", "agents:toolset:round-trip")
def test_sending_back_what_was_read_makes_no_version(client: Anthropic):
    agent = make_agent(
        client,
        system="Be brief.",
        tools=[
            {**TOOLSET, "configs": [{"name": "web_fetch", "url_sources": {"user_input": "all"}}]},
            MCP_TOOLSET,
        ],
        mcp_servers=[SERVER],
        skills=[{"type": "anthropic", "skill_id": "pdf"}],
        metadata={"a": "1"},
    )
    read = agent.model_dump(mode="json")
    settable = ("name", "system", "description", "model", "tools", "mcp_servers", "skills")
    more = ("metadata", "execution_identity", "multiagent", "version")
    again = client.beta.agents.update(agent.id, **{key: read[key] for key in (*settable, *more)})
    assert again == agent


@requirement("agents:update:stale-version", "errors:retry:conflict", "errors:class:types")
def test_a_version_that_is_not_the_current_one_is_a_conflict(raw: Client, client: Anthropic):
    agent = make_agent(client)
    client.beta.agents.update(agent.id, version=1, name="Bea")
    for change in ({"name": "Cleo"}, {"name": "Bea"}, {}):
        answer = raw.post(f"/v1/agents/{agent.id}", json={"version": 1, **change})
        assert answer.status_code == 409
        assert answer.headers["x-should-retry"] == "false"
        assert answer.json()["error"]["type"] == "conflict_error"
    assert client.beta.agents.retrieve(agent.id).version == 2


@requirement("agents:update:stale-version")
async def test_of_two_updates_at_once_both_count_and_with_a_version_one_does(
    async_client: anthropic.AsyncAnthropic,
):
    agent = await async_client.beta.agents.create(name="Ada", model=MODEL)
    refused: list[str] = []

    async def change(key: str, **fields: Any) -> None:
        try:
            await async_client.beta.agents.update(agent.id, metadata={key: "x"}, **fields)
        except anthropic.ConflictError:
            refused.append(key)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(change, f"free {number}")
    now = await async_client.beta.agents.retrieve(agent.id)
    assert (now.version, len(now.metadata)) == (6, 5)
    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(lambda n=number: change(f"tied {n}", version=6))
    assert (await async_client.beta.agents.retrieve(agent.id)).version == 7
    assert len(refused) == 4


@requirement("agents:update:archived", "agents:archive:irreversible")
def test_an_archived_agent_stays_as_it_is(client: Anthropic):
    agent = make_agent(client)
    archived = client.beta.agents.archive(agent.id)
    assert archived.archived_at is not None
    assert client.beta.agents.archive(agent.id) == archived
    with pytest.raises(anthropic.BadRequestError, match="archived"):
        client.beta.agents.update(agent.id, name="Bea")


@requirement("agents:archive:no-new-sessions", "sessions:create:archived")
def test_no_session_begins_with_an_archived_agent(client: Anthropic):
    agent = client.beta.agents.archive(make_agent(client).id)
    with pytest.raises(anthropic.BadRequestError, match=r"agent: .* is archived"):
        make_session(client, agent=agent.id)


@requirement("agents:retrieve:version", "agents:versions:list", "pagination:order:newest-first")
def test_every_version_stays_readable(client: Anthropic):
    first = make_agent(client)
    second = client.beta.agents.update(first.id, name="Bea")
    third = client.beta.agents.update(first.id, name="Cleo")
    assert client.beta.agents.retrieve(first.id, version=1) == first
    assert client.beta.agents.retrieve(first.id) == third
    assert list(client.beta.agents.versions.list(first.id)) == [third, second, first]
    assert list(client.beta.agents.versions.list(first.id, limit=1)) == [third, second, first]
    with pytest.raises(anthropic.NotFoundError):
        client.beta.agents.retrieve(first.id, version=4)
    with pytest.raises(anthropic.BadRequestError, match="version"):
        client.beta.agents.retrieve(first.id, version=0)
    with pytest.raises(anthropic.NotFoundError):
        client.beta.agents.versions.list("agent_01none")


@requirement("agents:list:filters")
def test_the_list_is_filtered_by_creation_and_archive(client: Anthropic):
    one, two, three = (make_agent(client, name=name) for name in ("One", "Two", "Three"))
    client.beta.agents.archive(two.id)

    def names(**filters: object) -> list[str]:
        return [agent.name for agent in client.beta.agents.list(**filters)]  # pyright: ignore[reportArgumentType] - any of the filters

    assert names() == ["Three", "One"]
    assert names(include_archived=True) == ["Three", "Two", "One"]
    assert names(created_at_gte=two.created_at) == ["Three"]
    assert names(created_at_lte=two.created_at, include_archived=True) == ["Two", "One"]
    assert names(created_at_gte=one.created_at, created_at_lte=one.created_at) == ["One"]
    assert three.created_at > two.created_at > one.created_at


@requirement("agents:mcp:resulting", "agents:mcp:unreferenced", "agents:mcp:dangling")
def test_servers_and_toolsets_are_checked_on_what_an_update_makes(client: Anthropic):
    agent = make_agent(client, tools=[MCP_TOOLSET], mcp_servers=[SERVER])
    with pytest.raises(anthropic.BadRequestError, match=r"tools\.0\.mcp_server_name"):
        client.beta.agents.update(agent.id, mcp_servers=[])
    with pytest.raises(anthropic.BadRequestError, match=r"mcp_servers\.0\.name"):
        client.beta.agents.update(agent.id, tools=[])
    cleared = client.beta.agents.update(agent.id, tools=None, mcp_servers=None)
    assert (cleared.tools, cleared.mcp_servers) == ([], [])
