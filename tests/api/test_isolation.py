"""One workspace's objects do not exist for another, whichever endpoint is asked (resources C-8)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client, Response

from gateway.api.router import Endpoint
from gateway.api.routes import ENDPOINTS
from gateway.wire.queries import Query
from tests.api.building import make_agent, make_environment, make_session, say
from tests.gateway import SECONDS, Running, Tenant
from tests.ledger.requirement import requirement

BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/sessions/{session_id}/events": {"events": [{"type": "user.interrupt"}]},
    "/v1/sessions/{session_id}/resources": {"type": "file", "file_id": "file_01none"},
    "/v1/sessions/{session_id}/resources/{resource_id}": {"authorization_token": "none"},
}
"""Bodies that get as far as the object; everywhere else nothing to change will do."""

INSIDE = [e for e in ENDPOINTS if e.path.startswith(("/v1/", "/wharfkeep/v1/")) and not e.public]
OF_OBJECTS = [
    endpoint
    for endpoint in INSIDE
    if {"agent_id", "environment_id", "session_id", "file_id"} & set(endpoint.parameters)
]
LISTS = [
    endpoint
    for endpoint in INSIDE
    if endpoint.method == "GET"
    and not endpoint.parameters
    and isinstance(endpoint.reads, Query)
    and endpoint.scope.partition(":")[0] not in ("organization", "models", "policy", "audit")
]


@dataclass(frozen=True)
class Household:
    """A workspace with one of everything."""

    tenant: Tenant
    ids: Mapping[str, str]
    """By the name of the parameter that takes them."""


@pytest.fixture(scope="module")
def household(gateway: Running) -> Household:
    tenant = gateway.tenant()
    with tenant.client() as client:
        file = client.beta.files.upload(file=("a.txt", b"hello", "text/plain"))
        agent, environment = make_agent(client), make_environment(client)
        session = make_session(
            client,
            agent=agent.id,
            environment_id=environment.id,
            resources=[{"type": "file", "file_id": file.id}],
        )
        say(client, session.id, "hello")
        ids = {
            "agent_id": agent.id,
            "environment_id": environment.id,
            "session_id": session.id,
            "file_id": file.id,
            "resource_id": _resource(client, session.id),
            "thread_id": next(iter(client.beta.sessions.threads.list(session.id))).id,
        }
    return Household(tenant, ids)


def _resource(client: Anthropic, session: str) -> str:
    (resource,) = client.beta.sessions.resources.list(session)
    assert resource.type == "file"
    return resource.id


def ask(http: Client, endpoint: Endpoint, ids: Mapping[str, str]) -> Response:
    path = endpoint.path.format_map(ids)
    body = BODIES.get(endpoint.path, {}) if endpoint.method == "POST" else None
    return http.request(endpoint.method, path, json=body, timeout=SECONDS)


@requirement("transport:workspace:foreign-id")
@pytest.mark.parametrize("endpoint", OF_OBJECTS, ids=lambda e: f"{e.method} {e.path}")
def test_what_is_another_workspaces_is_not_there(
    endpoint: Endpoint, household: Household, gateway: Running
):
    nothing = {name: f"{value.partition('_')[0]}_01none" for name, value in household.ids.items()}
    for stranger in (gateway.tenant(), gateway.administrator()):
        with stranger.raw() as http:
            foreign = ask(http, endpoint, household.ids)
            unknown = ask(http, endpoint, nothing)
        assert foreign.status_code == unknown.status_code == 404
        shown = foreign.json()["error"]["message"]
        for name in endpoint.parameters:
            shown = shown.replace(household.ids[name], nothing[name])
        assert shown == unknown.json()["error"]["message"]
    with household.tenant.raw() as http:
        assert http.get(f"/v1/sessions/{household.ids['session_id']}").status_code == 200


@requirement("transport:workspace:foreign-id")
@pytest.mark.parametrize("endpoint", LISTS, ids=lambda e: e.path)
def test_lists_show_nothing_of_another_workspace(
    endpoint: Endpoint, household: Household, gateway: Running
):
    with household.tenant.raw() as http:
        mine = ask(http, endpoint, {}).text
    with gateway.tenant().raw() as http:
        answer = ask(http, endpoint, {})
    assert answer.status_code == 200
    assert answer.json()["data"] == []
    kept = [value for value in household.ids.values() if value in mine]
    assert kept or "approvals" in endpoint.path


@requirement("transport:workspace:foreign-id")
def test_a_session_takes_nothing_from_another_workspace(household: Household, gateway: Running):
    ids = household.ids
    with gateway.tenant().client() as client:
        own = make_session(client)
        agent, environment = own.agent.id, own.environment_id
        for of, where in ((ids["agent_id"], environment), (agent, ids["environment_id"])):
            with pytest.raises(anthropic.APIStatusError, match="not found"):
                client.beta.sessions.create(agent=of, environment_id=where)
        with pytest.raises(anthropic.APIStatusError, match="not found"):
            client.beta.sessions.resources.add(own.id, type="file", file_id=ids["file_id"])


def test_every_id_of_a_path_is_tried():
    tried = {name for endpoint in OF_OBJECTS for name in endpoint.parameters}
    others = {"model_id", "approval_id"}
    organization = {e.path for e in INSIDE if e.scope.startswith("organization")}
    for endpoint in INSIDE:
        left = set(endpoint.parameters) - tried - others
        assert not left or endpoint.path in organization, endpoint
