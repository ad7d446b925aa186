"""The OpenAPI document is complete, and what it promises holds for made-up requests."""

import json
from typing import Any

import pytest
import schemathesis
from httpx2 import Client
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from gateway.api.router import Endpoint
from gateway.api.routes import ENDPOINTS
from gateway.wire.requests import Request
from tests.api.building import make_agent, make_session
from tests.api.people import make_key, make_user
from tests.gateway import SECONDS, Running, Tenant

ASKED = [
    pytest.param(endpoint, mode, id=f"{mode.value} {endpoint.method} {endpoint.path}")
    for endpoint in ENDPOINTS
    # A stream does not end, so it cannot be asked for over and over.
    if not endpoint.path.endswith("/stream")
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or endpoint.parameters or endpoint.reads
]

CHANGES = [
    endpoint
    for endpoint in ENDPOINTS
    if isinstance(endpoint.reads, Request)
    and len(endpoint.parameters) == 1
    and endpoint.parameters != ["approval_id"]  # nobody asks in these tests
]

NOT_PROMISED = [
    # Rules that tie fields together, and what texts may hold, are only in prose.
    positive_data_acceptance,
    # It adds another key beside the good one, which then rightly wins.
    ignored_auth,
]

MADE_UP = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
"""How many requests are made up for each endpoint and mode; the same ones each time."""


@pytest.fixture(scope="module")
def document(gateway: Running) -> Any:
    with Client(base_url=gateway.url, timeout=30) as nobody:
        return nobody.get("/wharfkeep/v1/openapi.json").json()


def test_every_url_is_described(document: Any):
    described = {
        (method.upper(), path) for path, verbs in document["paths"].items() for method in verbs
    }
    assert described == {(e.method, e.path) for e in ENDPOINTS}
    names = [o["operationId"] for verbs in document["paths"].values() for o in verbs.values()]
    assert len(set(names)) == len(names)
    assert all(o["summary"] for verbs in document["paths"].values() for o in verbs.values())


def test_every_reference_leads_somewhere(document: Any):
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for name in set(_references(document)):
        assert name in schemas
    assert "$defs" not in text


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [name for inner in value.values() for name in _references(inner)]
        reference = value.get("$ref")
        if isinstance(reference, str):
            found.append(reference.removeprefix("#/components/schemas/"))
        return found
    return [n for inner in value for n in _references(inner)] if isinstance(value, list) else []


@pytest.fixture(scope="module")
def outsider(gateway: Running) -> Tenant:
    """A workspace in which made-up requests may do what they like."""
    return gateway.tenant()


@pytest.fixture(scope="module")
def administrator(gateway: Running) -> Tenant:
    """And a key for those about the organization."""
    return gateway.administrator()


@pytest.fixture(scope="module")
def there(gateway: Running, outsider: Tenant, administrator: Tenant) -> dict[str, str]:
    """Objects that may be changed, by the name of the parameter that takes their id."""
    with outsider.client() as client:
        agent = make_agent(client)
        session = make_session(client, agent=agent.id)
    with administrator.client() as admin:
        organization = admin.beta.organization
        return {
            "agent_id": agent.id,
            "environment_id": session.environment_id,
            "session_id": session.id,
            "api_key_id": make_key(admin, workspace_id=gateway.tenant().workspace)["id"],
            "user_id": make_user(admin, "made@example.com")["id"],
            "workspace_id": organization.workspaces.create(name="made up").id,
            "service_account_id": organization.service_accounts.create(name="made-up").id,
        }


def key_for(endpoint: Endpoint, outsider: Tenant, administrator: Tenant) -> str:
    return (administrator if endpoint.scope.startswith("organization:") else outsider).key


@pytest.fixture(scope="module")
def described(gateway: Running) -> Any:
    return schemathesis.openapi.from_url(f"{gateway.url}/wharfkeep/v1/openapi.json")


@pytest.mark.parametrize(("endpoint", "mode"), ASKED)
def test_no_made_up_request_breaks_the_gateway(
    endpoint: Endpoint,
    mode: GenerationMode,
    described: Any,
    outsider: Tenant,
    administrator: Tenant,
):
    key = key_for(endpoint, outsider, administrator)
    operation = described[endpoint.path][endpoint.method]

    @MADE_UP
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(
            headers={"x-api-key": key}, timeout=SECONDS, excluded_checks=NOT_PROMISED
        )

    ask()


@pytest.mark.parametrize("endpoint", CHANGES, ids=lambda e: e.path)
def test_no_made_up_change_breaks_what_is_there(
    endpoint: Endpoint,
    described: Any,
    outsider: Tenant,
    administrator: Tenant,
    there: dict[str, str],
):
    key = key_for(endpoint, outsider, administrator)
    operation = described[endpoint.path][endpoint.method]

    @MADE_UP
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def ask(case: Any) -> None:
        case.path_parameters = {name: there[name] for name in endpoint.parameters}
        case.call_and_validate(
            headers={"x-api-key": key}, timeout=SECONDS, excluded_checks=NOT_PROMISED
        )

    ask()
    with outsider.client() as client:
        client.beta.agents.retrieve(there["agent_id"])
        client.beta.environments.retrieve(there["environment_id"])
        client.beta.sessions.retrieve(there["session_id"])
    with administrator.client() as admin:
        organization = admin.beta.organization
        organization.api_keys.retrieve(there["api_key_id"])
        organization.users.retrieve(there["user_id"])
        organization.workspaces.retrieve(there["workspace_id"])
        organization.service_accounts.retrieve(there["service_account_id"])
