"""What keys may do: scopes, and the organization's own endpoints."""

import anthropic
import pytest
from anthropic import Anthropic
from httpx2 import Client

from gateway.api import scopes
from gateway.api.routes import ENDPOINTS
from gateway.errors import Forbidden, InvalidRequest
from gateway.store.keys import KeyRow
from gateway.store.records import SessionRow
from tests.api.building import make_agent, make_session
from tests.gateway import Running, Tenant, serve
from tests.ledger.requirement import requirement


def test_every_endpoint_needs_a_scope_that_a_key_can_have():
    free = {"/v1/organizations/me"}
    for endpoint in ENDPOINTS:
        if endpoint.public or endpoint.path in free:
            assert not endpoint.scope, endpoint
        else:
            assert endpoint.scope in scopes.ALL, endpoint


@requirement("organization:scopes:forbidden")
def test_a_key_without_the_scope_is_told_which_one_it_needs(gateway: Running, tenant: Tenant):
    weak = gateway.key(tenant.workspace, scopes=frozenset({"agents:read"}))
    with weak.client() as client:
        assert list(client.beta.agents.list()) == []
        with pytest.raises(anthropic.PermissionDeniedError) as refusal:
            make_agent(client)
        with pytest.raises(anthropic.PermissionDeniedError, match="sessions:read"):
            client.beta.sessions.list()
    assert refusal.value.type == "permission_error"
    assert "agents:write" in refusal.value.message


@pytest.mark.parametrize(
    ("granted", "allowed", "refused"),
    [
        (None, "agents:write", "organization:read"),
        ({"*"}, "sessions:write", "policy:admin"),
        ({"sessions:*"}, "sessions:write", "agents:read"),
        ({"sessions:read"}, "sessions:read", "sessions:write"),
        ({"organization:admin"}, "organization:admin", "organization:read"),
        ({"*", "audit:admin"}, "audit:admin", "organization:admin"),
    ],
    ids=lambda words: " ".join(sorted(words)) if isinstance(words, set) else str(words),
)
def test_scopes_allow_what_they_name(granted: set[str] | None, allowed: str, refused: str):
    given = None if granted is None else frozenset(granted)
    scopes.check(given, allowed, organization=False)
    with pytest.raises(Forbidden, match=refused):
        scopes.check(given, refused, organization=False)


def test_a_key_of_the_organization_without_scopes_may_do_everything():
    for scope in scopes.ALL:
        scopes.check(None, scope, organization=True)
        scopes.check(frozenset({"*"}), scope, organization=True)
    with pytest.raises(Forbidden):
        scopes.check(frozenset({"agents:*"}), "files:read", organization=True)


@pytest.mark.parametrize(
    "texts", [[], ["read"], ["agents"], ["agents:"], [":read"], ["*:*"], ["none:*"], ["a"] * 2]
)
def test_scopes_that_do_not_exist_are_refused(texts: list[str]):
    with pytest.raises(InvalidRequest, match="scopes: "):
        scopes.parse(texts)


@requirement("organization:me:probe")
def test_every_good_key_can_ask_for_the_organization(gateway: Running, tenant: Tenant):
    weak = gateway.key(tenant.workspace, scopes=frozenset({"agents:read"}))
    with weak.client() as client:
        found = client.beta.organization.retrieve()
    assert (found.type, found.name) == ("organization", "Wharfkeep")
    assert found.id.startswith("org_01")


@requirement("organization:access:admin")
def test_the_organizations_endpoints_take_a_key_of_the_organization(
    gateway: Running, tenant: Tenant, admin: Anthropic
):
    admin.beta.organization.workspaces.list()
    with tenant.client() as client:
        for ask in (
            client.beta.organization.workspaces.list,
            client.beta.organization.api_keys.list,
            client.beta.organization.users.list,
            client.beta.organization.service_accounts.list,
        ):
            with pytest.raises(anthropic.PermissionDeniedError, match="organization:read"):
                ask()
    scoped = gateway.key(tenant.workspace, scopes=frozenset({"organization:read"}))
    with scoped.client() as client:
        client.beta.organization.workspaces.list()
        with pytest.raises(anthropic.PermissionDeniedError, match="organization:admin"):
            client.beta.organization.workspaces.create(name="never")


@requirement("organization:access:headers")
def test_answers_about_the_organization_name_no_workspace(gateway: Running, tenant: Tenant):
    for some in (gateway.administrator(), tenant):
        with some.raw() as http:
            for path in ("/v1/organizations/me", "/v1/organizations/workspaces"):
                headers = http.get(path).headers
                assert "anthropic-workspace-id" not in headers
                assert headers["anthropic-organization-id"].startswith("org_01")
    with tenant.raw(**{"anthropic-workspace-id": "wrkspc_other"}) as http:
        refused = http.get("/v1/organizations/me")
    assert refused.status_code == 403
    assert "anthropic-workspace-id" not in refused.headers


@requirement("organization:access:unbuilt")
@pytest.mark.parametrize("path", ["invites", "rate_limits", "analytics/usage", "external_keys"])
def test_groups_that_are_not_here_are_not_found(gateway: Running, path: str):
    with gateway.administrator().raw() as http:
        answer = http.get(f"/v1/organizations/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@requirement("organization:access:any-workspace")
def test_a_key_of_the_organization_works_where_it_says(
    gateway: Running, tenant: Tenant, client: Anthropic, admin: Anthropic
):
    agent = make_agent(client)
    found = admin.beta.agents.retrieve(agent.id, workspace_id=tenant.workspace)
    assert found.id == agent.id
    with pytest.raises(anthropic.NotFoundError):
        admin.beta.agents.retrieve(agent.id)
    with gateway.administrator().raw(**{"anthropic-workspace-id": tenant.workspace}) as http:
        answer = http.get("/v1/agents")
        assert answer.headers["anthropic-workspace-id"] == tenant.workspace
    with pytest.raises(anthropic.PermissionDeniedError, match="no such workspace"):
        admin.beta.agents.list(workspace_id="wrkspc_none")


@requirement("organization:access:any-workspace")
def test_nobody_works_in_an_archived_workspace(tenant: Tenant, admin: Anthropic):
    admin.beta.organization.workspaces.archive(tenant.workspace)
    with pytest.raises(anthropic.PermissionDeniedError, match="no such workspace"):
        admin.beta.agents.list(workspace_id=tenant.workspace)
    with tenant.client() as client, pytest.raises(anthropic.AuthenticationError, match="archived"):
        client.beta.agents.list()


def test_the_configured_key_is_the_organizations_admin(tmp_path_factory: pytest.TempPathFactory):
    with serve(tmp_path_factory.mktemp("configured"), {"api_key": "wk-configured"}) as running:
        tenant = running.tenant()
        with Tenant(running.url, "", "wk-configured").client() as client:
            client.beta.organization.workspaces.create(name="support")
            agent = make_agent(client)
            with pytest.raises(anthropic.NotFoundError):
                client.beta.agents.retrieve(agent.id, workspace_id=tenant.workspace)
        with Client(base_url=running.url, headers={"x-api-key": "wk-configured"}) as http:
            assert http.get("/v1/organizations/api_keys").status_code == 200


def test_a_session_remembers_for_whom_its_agent_acts(gateway: Running, tenant: Tenant):
    with tenant.client() as client:
        session = make_session(client)
        assert "actor" not in client.beta.sessions.retrieve(session.id).to_dict()
    row = gateway.call(_session, gateway, session.id)
    (key,) = gateway.call(_keys, gateway, tenant.workspace)
    assert row.actor == key.id


async def _session(gateway: Running, session: str) -> SessionRow | None:
    return await gateway.gateway.store.sessions.find(id=session)


async def _keys(gateway: Running, workspace: str) -> list[KeyRow]:
    return await gateway.gateway.store.keys.list(workspace=workspace)
