"""Who an agent may work with."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.building import make_agent, make_session
from tests.gateway import MODEL
from tests.ledger.requirement import requirement

NEW = "multiagent_20261001"
ENABLED = {"type": "enabled", "inline_agents": {"type": "enabled"}, "predefined_agents": []}
DISABLED = {"type": "disabled"}


def _lead(client: Anthropic, **block: Any) -> Any:
    return make_agent(client, name="Lead", multiagent=block)


def _block(agent: Any) -> Any:
    return agent.multiagent.to_dict()


def _reference(agent: Any) -> dict[str, Any]:
    return {"type": "agent", "id": agent.id, "version": agent.version}


@requirement("agents:multiagent:coordinator", "agents:multiagent:pinned")
def test_a_coordinators_entries_are_pinned_and_the_advisor_comes_last(client: Anthropic):
    ada = make_agent(client)
    bea = client.beta.agents.update(make_agent(client, name="Bea").id, system="Be brief.")
    lead = _lead(
        client,
        type="coordinator",
        agents=[
            {"type": "advisor", "model": MODEL},
            ada.id,
            {"type": "self"},
            {"type": "agent", "id": bea.id, "version": 1},
        ],
    )
    client.beta.agents.update(ada.id, system="New.")
    assert _block(client.beta.agents.retrieve(lead.id)) == {
        "type": "coordinator",
        "agents": [
            _reference(ada),
            _reference(lead),
            {"type": "agent", "id": bea.id, "version": 1},
            {"type": "advisor", "model": MODEL},
        ],
    }


@requirement("agents:multiagent:pinned", "agents:update:no-op")
def test_self_follows_its_agent_and_a_round_trip_changes_nothing(client: Anthropic):
    lead = _lead(client, type="coordinator", agents=[{"type": "self"}])
    renamed = client.beta.agents.update(lead.id, name="Boss")
    assert _block(renamed)["agents"] == [_reference(renamed)]
    again = client.beta.agents.update(lead.id, multiagent=_block(renamed))
    assert again.version == renamed.version == 2


@requirement("agents:multiagent:references")
@pytest.mark.parametrize("kind", ["coordinator", "subagents", "workflows"])
def test_listed_agents_exist_are_live_and_stand_alone(
    client: Anthropic, stranger: Anthropic, kind: str
):
    archived = client.beta.agents.archive(make_agent(client).id)
    leader = _lead(client, type="coordinator", agents=[{"type": "self"}])
    foreign = make_agent(stranger)
    alive = make_agent(client)
    for entry, problem in (
        ("agent_01none", "not found"),
        (foreign.id, "not found"),
        ({"type": "agent", "id": alive.id, "version": 2}, "version 2 of"),
        (archived.id, "archived"),
        (leader.id, "multiagent block of its own"),
    ):
        with pytest.raises(
            anthropic.BadRequestError, match=rf"multiagent\.\S*agents\.0: .*{problem}"
        ):
            _lead(client, **_listing(kind, [entry]))


def _listing(kind: str, entries: list[Any]) -> dict[str, Any]:
    if kind == "coordinator":
        return {"type": kind, "agents": entries}
    return {"type": NEW, kind: {"type": "enabled", "predefined_agents": entries}}


@requirement("agents:multiagent:coordinator")
def test_nobody_is_listed_twice_under_two_forms(client: Anthropic):
    ada = make_agent(client)
    with pytest.raises(anthropic.BadRequestError, match=r"multiagent\.agents\.1: .*twice"):
        _lead(client, type="coordinator", agents=[ada.id, _reference(ada)])
    lead = _lead(client, type="coordinator", agents=[{"type": "self"}])
    block: Any = {"type": "coordinator", "agents": [{"type": "self"}, lead.id]}
    with pytest.raises(anthropic.BadRequestError, match=r"multiagent\.agents\.1: .*twice"):
        client.beta.agents.update(lead.id, multiagent=block)


@requirement("agents:multiagent:coordinator")
def test_the_advisors_name_is_reserved(client: Anthropic):
    impostor = make_agent(client, name="anthropic.advisor")
    advisor = {"type": "advisor", "model": MODEL}
    with pytest.raises(anthropic.BadRequestError, match="reserved"):
        _lead(client, type="coordinator", agents=[impostor.id, advisor])
    listing = {"type": "enabled", "predefined_agents": [impostor.id]}
    with pytest.raises(anthropic.BadRequestError, match="reserved"):
        _lead(client, type=NEW, subagents=listing, advisor={"type": "enabled", "model": MODEL})
    assert _lead(client, type=NEW, subagents=listing).version == 1


@requirement("agents:multiagent:references")
def test_everybody_is_pinned_to_the_same_region(client: Anthropic):
    american = make_agent(client, model={"id": MODEL, "inference_geo": "us"})
    with pytest.raises(anthropic.BadRequestError, match="inference_geo must be the same"):
        _lead(client, type="coordinator", agents=[american.id])
    model: Any = {"id": MODEL, "inference_geo": "us"}
    block: Any = {"type": "coordinator", "agents": [american.id]}
    lead = make_agent(client, model=model, multiagent=block)
    with pytest.raises(anthropic.BadRequestError, match="inference_geo must be the same"):
        client.beta.agents.update(lead.id, model=MODEL)
    override: Any = {"type": "agent_with_overrides", "id": lead.id, "model": MODEL}
    with pytest.raises(anthropic.BadRequestError, match="inference_geo must be the same"):
        make_session(client, agent=override)


@requirement("agents:multiagent:defaults")
@pytest.mark.parametrize("given", [{}, {"subagents": None, "workflows": None, "advisor": None}])
def test_the_new_form_enables_all_but_the_advisor(client: Anthropic, given: dict[str, Any]):
    assert _block(_lead(client, type=NEW, **given)) == {
        "type": NEW,
        "subagents": ENABLED,
        "workflows": ENABLED,
        "advisor": DISABLED,
    }


@requirement("agents:multiagent:inline-disabled")
def test_without_inline_agents_somebody_must_be_listed(client: Anthropic):
    member = {"type": "enabled", "inline_agents": DISABLED}
    with pytest.raises(anthropic.BadRequestError, match="name at least one agent"):
        _lead(client, type=NEW, workflows=member)
    ada = make_agent(client)
    lead = _lead(client, type=NEW, workflows={**member, "predefined_agents": [ada.id]})
    patch: Any = {"type": NEW, "workflows": {"type": "enabled", "predefined_agents": []}}
    with pytest.raises(anthropic.BadRequestError, match="name at least one agent"):
        client.beta.agents.update(lead.id, multiagent=patch)


@requirement("agents:multiagent:merge")
def test_the_new_form_is_merged_key_by_key(client: Anthropic):
    ada = make_agent(client)
    lead = _lead(
        client,
        type=NEW,
        subagents={"type": "enabled", "inline_agents": DISABLED, "predefined_agents": [ada.id]},
        workflows=DISABLED,
        advisor={"type": "enabled", "model": MODEL},
    )

    def merged(**patch: Any) -> Any:
        block: Any = {"type": NEW, **patch}
        return _block(client.beta.agents.update(lead.id, multiagent=block))

    listed = {"type": "enabled", "inline_agents": DISABLED, "predefined_agents": [_reference(ada)]}
    assert merged(advisor=DISABLED) == {
        "type": NEW,
        "subagents": listed,
        "workflows": DISABLED,
        "advisor": DISABLED,
    }
    assert merged(subagents={"type": "enabled", "inline_agents": None})["subagents"] == {
        **listed,
        "inline_agents": {"type": "enabled"},
    }
    assert merged(subagents={"type": "enabled", "predefined_agents": None})["subagents"] == ENABLED
    assert merged(workflows=None)["workflows"] == ENABLED
    assert merged(subagents=DISABLED)["subagents"] == DISABLED
    assert merged(subagents={"type": "enabled"})["subagents"] == ENABLED


@requirement("agents:multiagent:merge")
def test_another_type_replaces_and_null_clears(client: Anthropic):
    ada = make_agent(client)
    lead = _lead(client, type=NEW, subagents=DISABLED)
    block: Any = {"type": "coordinator", "agents": [ada.id]}
    replaced = client.beta.agents.update(lead.id, multiagent=block)
    assert _block(replaced) == {"type": "coordinator", "agents": [_reference(ada)]}
    back: Any = {"type": NEW}
    assert _block(client.beta.agents.update(lead.id, multiagent=back))["subagents"] == ENABLED
    assert client.beta.agents.update(lead.id, multiagent=None).multiagent is None


@requirement("sessions:create:snapshot")
def test_a_session_shows_everybody_in_full(client: Anthropic):
    ada = make_agent(client, system="Be brief.")
    lead = _lead(
        client,
        type="coordinator",
        agents=[ada.id, {"type": "self"}, {"type": "advisor", "model": MODEL}],
    )
    override: Any = {"type": "agent_with_overrides", "id": lead.id, "system": "Lead well."}
    block: Any = make_session(client, agent=override).agent.multiagent
    first, own, advisor = block.agents
    assert (first.id, first.version, first.system) == (ada.id, 1, "Be brief.")
    assert (own.id, own.system) == (lead.id, "Lead well.")
    assert advisor.to_dict() == {"type": "advisor", "model": MODEL}
