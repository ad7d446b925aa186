"""The configurations of web_fetch and web_search, through the API as users write them."""

from typing import Any

import pytest
from anthropic import Anthropic, BadRequestError

from tests.api.building import TOOLSET, make_agent, make_session
from tests.ledger.requirement import requirement
from tests.wire.bodies import CUSTOM

FETCH, SEARCH = {"name": "web_fetch"}, {"name": "web_search"}


def _with(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**TOOLSET, "configs": [{"name": "bash"}, config]}, CUSTOM]


def _only(*names: str, kind: str = "only") -> dict[str, Any]:
    return {"type": kind, "tools": [{"type": "tool_reference", "name": name} for name in names]}


def _domains(
    config: dict[str, Any], *domains: str, name: str = "allowed_domains"
) -> dict[str, Any]:
    return {**config, name: list(domains)}


def _sources(**sources: Any) -> dict[str, Any]:
    return {**FETCH, "url_sources": sources}


def _near(**location: str) -> dict[str, Any]:
    return {**SEARCH, "user_location": {"type": "approximate", **location}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    (_domains(FETCH), ".allowed_domains: List should have at least 1 item"),
    (_domains(FETCH, name="blocked_domains"), ".blocked_domains: List should have at least 1 item"),
    (_domains(FETCH, *(f"d{n}.org" for n in range(65))), ".allowed_domains: List should have at most 64"),
    ({**_domains(FETCH, "a.org"), "blocked_domains": ["b.org"]}, ": allowed_domains and blocked_domains cannot"),
    ({**_domains(SEARCH, "a.org"), "blocked_domains": ["b.org"]}, ": allowed_domains and blocked_domains cannot"),
    (_domains(FETCH, "a.org", ""), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "a." * 127 + "org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "https://b.org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "b.org:443"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "u@b.org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "*.b.org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", " b.org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "b.org/docs"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "10.0.0.1"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "0x7f000001"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "::1"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "org"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "co.uk"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "intranet"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "x.localhost"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "db.internal"), ".allowed_domains.1: "),
    (_domains(FETCH, "a.org", "bücher.example"), ".allowed_domains.1: "),
    (_domains(FETCH, "b.org", "a.org", "B.org"), ".allowed_domains: entry 2 repeats entry 0"),
    (_domains(SEARCH, "a.org", "b.org/a b", name="blocked_domains"), ".blocked_domains.1: "),
    (_domains(SEARCH, "a.org", "b.org/a?b", name="blocked_domains"), ".blocked_domains.1: "),
    ({**FETCH, "max_content_tokens": 0}, ".max_content_tokens: "),
    ({**FETCH, "max_content_tokens": "9"}, ".max_content_tokens: "),
    ({**SEARCH, "max_content_tokens": 9}, ".max_content_tokens"),
    ({**SEARCH, "url_sources": {}}, ".url_sources"),
    ({**FETCH, "user_location": {"type": "approximate"}}, ".user_location"),
    (_sources(user_input="some"), ".url_sources.user_input"),
    (_sources(user_input=_only("lookup")), ".url_sources.user_input"),
    (_sources(user_input="none", client_tool_results="none", server_tool_results="none"), ".url_sources: at least one"),
    (_sources(client_tool_results=_only()), ".url_sources.client_tool_results.tools: "),
    (_sources(client_tool_results=_only("bash")), ".url_sources.client_tool_results.tools.0.name: 'bash' is not"),
    (_sources(client_tool_results=_only("lookup", "Lookup")), ".url_sources.client_tool_results.tools.1.name: "),
    (_sources(client_tool_results=_only("lookup", "lookup")), ".url_sources.client_tool_results.tools.1: 'lookup' is listed"),
    (_sources(server_tool_results=_only("lookup", kind="except")), ".url_sources.server_tool_results.tools.0.name: "),
    (_sources(server_tool_results=_only(*["web_search"] * 129)), ".url_sources.server_tool_results.tools: "),
    (_near(country="fr"), ".user_location.country: "),
    (_near(country="FRA"), ".user_location.country: "),
    (_near(timezone="not a zone"), ".user_location.timezone: "),
    (_near(city=""), ".user_location.city: "),
    ({**SEARCH, "user_location": {"type": "exact"}}, ".user_location"),
]  # fmt: skip


@requirement(
    "agents:web:exclusive",
    "agents:web:domains",
    "agents:web:url-sources",
    "agents:web:location",
)
@pytest.mark.parametrize(("config", "told"), REFUSED)
def test_a_web_tool_that_cannot_be_is_refused_by_its_path(
    client: Anthropic, config: dict[str, Any], told: str
):
    with pytest.raises(BadRequestError) as refusal:
        make_agent(client, tools=_with(config))
    assert f"tools.0.configs.1{told}" in str(refusal.value)


@pytest.mark.parametrize(
    "config",
    [
        _domains(FETCH, "docs.example.com", "xn--bcher-kva.example"),
        _domains(SEARCH, "example.com/docs", "example.com/blog", name="blocked_domains"),
        {**FETCH, "max_content_tokens": 1},
        _near(city="Paris", region="Île-de-France", country="FR", timezone="Europe/Paris"),
    ],
)
def test_a_web_tool_reads_back_as_it_was_written(client: Anthropic, config: dict[str, Any]):
    agent = make_agent(client, tools=_with(config)).to_dict(mode="json")
    shown = agent["tools"][0]["configs"][1]  # pyright: ignore - plain JSON
    assert {key: shown[key] for key in config} == config


@requirement("agents:web:domains")
def test_an_update_and_a_sessions_own_tools_are_checked_as_well(client: Anthropic):
    agent = make_agent(client)
    wrong: Any = _with(_domains(FETCH, "a.org", "localhost"))
    with pytest.raises(BadRequestError, match=r"configs\.1\.allowed_domains\.1: "):
        client.beta.agents.update(agent.id, version=agent.version, tools=wrong)
    overrides: Any = {"type": "agent_with_overrides", "id": agent.id, "tools": wrong}
    with pytest.raises(BadRequestError, match=r"configs\.1\.allowed_domains\.1: "):
        make_session(client, agent=overrides)
