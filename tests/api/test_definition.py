"""What an agent is once its defaults are spelled out: model, effort, skills."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.building import TOOLSET, make_agent
from tests.ledger.requirement import requirement


@requirement("agents:model:forms", "agents:model:effort")
@pytest.mark.parametrize(
    ("given", "effort"),
    [
        ("claude-opus-5-5", "medium"),
        ("claude-sonnet-5-5", "high"),
        ("some-model-of-ours", "high"),
        ({"id": "claude-opus-5-5"}, "medium"),
        ({"id": "claude-opus-5-5", "effort": "low"}, "low"),
        ({"id": "claude-opus-5-5", "effort": {"type": "max"}}, "max"),
        ({"id": "claude-opus-5-5", "effort": None}, "medium"),
    ],
    ids=str,
)
def test_a_model_reads_back_as_an_object_with_its_effort(
    client: Anthropic, given: Any, effort: str
):
    model = make_agent(client, model=given).model
    assert model.id == (given if isinstance(given, str) else given["id"])
    assert model.effort is not None
    assert (model.effort.type, model.speed, model.inference_geo) == (effort, "standard", None)


@requirement("agents:update:effort-kept")
def test_effort_is_kept_for_the_same_model_and_new_for_another(client: Anthropic):
    agent = make_agent(
        client, model={"id": "claude-opus-5-5", "effort": "low", "inference_geo": "us"}
    )

    def updated(model: Any) -> tuple[str, str | None]:
        found = client.beta.agents.update(agent.id, model=model).model
        assert found.effort is not None
        return found.effort.type, found.inference_geo

    assert updated("claude-opus-5-5") == ("low", None)
    assert updated({"id": "claude-opus-5-5", "inference_geo": "global"}) == ("low", "global")
    assert updated({"id": "claude-sonnet-5-5"}) == ("high", None)


@requirement("agents:model:effort")
def test_levels_and_speeds_that_a_model_lacks_are_refused(client: Anthropic):
    fast = make_agent(client, model={"id": "claude-opus-5-5", "speed": "fast"})
    assert fast.model.speed == "fast"
    for model, field in (
        ({"id": "claude-sonnet-5-5", "speed": "fast"}, "model.speed"),
        ({"id": "claude-opus-4-6", "effort": "xhigh"}, "model.effort"),
        ({"id": "claude-haiku-4-5", "effort": "low"}, "model.effort"),
    ):
        with pytest.raises(anthropic.BadRequestError, match=field):
            make_agent(client, model=model)


@requirement("agents:model:geo")
def test_a_region_is_us_or_global(client: Anthropic):
    for region in ("us", "global", None):
        model = make_agent(client, model={"id": "claude-opus-5-5", "inference_geo": region}).model
        assert model.inference_geo == region
    with pytest.raises(anthropic.BadRequestError, match="inference_geo"):
        make_agent(client, model={"id": "claude-opus-5-5", "inference_geo": "eu"})


@requirement("agents:skills:version")
def test_a_skill_is_its_latest_version_unless_said_otherwise(client: Anthropic):
    skills = [
        {"type": "anthropic", "skill_id": "pdf"},
        {"type": "custom", "skill_id": "skill_01", "version": "skver_01"},
    ]
    agent = make_agent(client, tools=[TOOLSET], skills=skills)
    assert [(s.type, s.skill_id, s.version) for s in agent.skills] == [
        ("anthropic", "pdf", "latest"),
        ("custom", "skill_01", "skver_01"),
    ]


@requirement("agents:skills:need-read")
def test_skills_need_the_read_tool_also_after_an_update(client: Anthropic):
    agent = make_agent(client, tools=[TOOLSET], skills=[{"type": "anthropic", "skill_id": "pdf"}])
    without: Any = {**TOOLSET, "configs": [{"name": "read", "enabled": False}]}
    with pytest.raises(anthropic.BadRequestError, match=r"skills: .*read"):
        client.beta.agents.update(agent.id, tools=[without])


@requirement("agents:identity:default")
def test_an_execution_identity_is_echoed_and_never_null(client: Anthropic):
    role = {"type": "aws_role", "role_arn": "arn:aws:iam::1:role/agent"}
    agent = make_agent(client, execution_identity=role)
    assert agent.execution_identity.to_dict() == role
    cleared = client.beta.agents.update(agent.id, execution_identity=None)
    assert cleared.execution_identity.to_dict() == {"type": "service_account"}
