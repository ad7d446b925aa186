"""Who may call: keys, headers, workspaces."""

from functools import partial
from pathlib import Path

import anthropic
import anyio
import anyio.to_thread
import pytest
from anthropic import Anthropic, AsyncAnthropic
from httpx2 import Client

from gateway.api.auth import configured_digest
from gateway.config import Config
from gateway.errors import ConfigError
from tests.api.building import make_agent
from tests.gateway import Running, Tenant, serve
from tests.ledger.requirement import requirement

BAD = "wk-unknown"


@requirement("transport:auth:bearer")
def test_a_key_is_taken_as_a_bearer_token(tenant: Tenant):
    with Client(base_url=tenant.url) as http:
        answer = http.get("/v1/agents", headers={"authorization": f"bearer {tenant.key}"})
    assert answer.status_code == 200


@requirement("transport:auth:x-api-key")
def test_a_key_is_taken_as_x_api_key(tenant: Tenant):
    with Client(base_url=tenant.url) as http:
        answer = http.get("/v1/agents", headers={"x-api-key": tenant.key})
    assert answer.status_code == 200


@requirement("transport:auth:both")
@pytest.mark.parametrize(("bearer", "status"), [("good", 200), ("bad", 401)])
def test_when_both_headers_are_sent_authorization_decides(tenant: Tenant, bearer: str, status: int):
    keys = {"good": tenant.key, "bad": BAD}
    other = BAD if bearer == "good" else tenant.key
    headers = {"authorization": f"Bearer {keys[bearer]}", "x-api-key": other}
    with Client(base_url=tenant.url) as http:
        assert http.get("/v1/agents", headers=headers).status_code == status


@requirement("transport:auth:missing", "errors:class:types")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {BAD}"},
        {"authorization": "Basic d2s6eA=="},
        {"x-api-key": BAD},
    ],
    ids=str,
)
def test_without_a_good_key_nothing_is_served(tenant: Tenant, headers: dict[str, str]):
    with Client(base_url=tenant.url) as http:
        answer = http.get("/v1/agents", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


@requirement("transport:auth:401-names-no-workspace")
def test_a_refused_key_learns_of_no_workspace(tenant: Tenant):
    with Client(base_url=tenant.url) as http:
        answer = http.get("/v1/agents", headers={"x-api-key": BAD})
    assert answer.status_code == 401
    assert "anthropic-workspace-id" not in answer.headers
    assert "anthropic-organization-id" not in answer.headers
    assert answer.headers["www-authenticate"] == "Bearer"


@requirement("transport:workspace:mismatch", "errors:class:types")
def test_a_workspace_header_must_name_the_keys_own_workspace(tenant: Tenant, client: Anthropic):
    client.beta.agents.list(workspace_id=tenant.workspace)
    with pytest.raises(anthropic.PermissionDeniedError) as refusal:
        client.beta.agents.list(workspace_id="wrkspc_01other")
    assert refusal.value.type == "permission_error"


@requirement("transport:response:workspace")
def test_answers_and_errors_name_the_workspace_and_the_organization(tenant: Tenant):
    with tenant.raw() as http:
        for path in ("/v1/agents", "/v1/agents/agent_01none"):
            headers = http.get(path).headers
            assert headers["anthropic-workspace-id"] == tenant.workspace
            assert headers["anthropic-organization-id"].startswith("org_01")


@requirement("transport:workspace:foreign-id")
def test_another_workspaces_agent_is_as_good_as_none(client: Anthropic, stranger: Anthropic):
    agent = make_agent(client)
    with pytest.raises(anthropic.NotFoundError) as foreign:
        stranger.beta.agents.retrieve(agent.id)
    with pytest.raises(anthropic.NotFoundError) as unknown:
        stranger.beta.agents.retrieve("agent_01none")
    shown = foreign.value.message.replace(agent.id, "agent_01none")
    assert shown.partition("request_id")[0] == unknown.value.message.partition("request_id")[0]
    assert [a.id for a in stranger.beta.agents.list()] == []


async def test_a_revoked_key_stops_working_within_a_second(gateway: Running):
    tenant = gateway.tenant()
    async with tenant.async_client() as client:
        await client.beta.agents.list()
        await anyio.to_thread.run_sync(gateway.call, _revoke_all, gateway, tenant.workspace)
        with anyio.fail_after(1.0), pytest.raises(anthropic.AuthenticationError):
            await _work_forever(client)


@pytest.mark.parametrize("end", ["remove", "archive", "leave"])
async def test_whoever_is_gone_has_no_key_within_a_second(gateway: Running, end: str):
    """The key was good a moment ago, and is remembered as such."""
    admin, place = gateway.administrator(), gateway.tenant().workspace
    async with admin.async_client() as client:
        organization = client.beta.organization
        accounts, workers = organization.service_accounts, organization.workspaces.service_accounts
        account = (await accounts.create(name=f"a-{place[-10:].lower()}")).id
        await workers.add(place, service_account_id=account, workspace_role="workspace_user")
        key = await anyio.to_thread.run_sync(partial(gateway.key, place, principal=account))
        async with key.async_client() as worker:
            await worker.beta.agents.list()
            match end:
                case "remove":
                    await accounts.archive(account)
                case "archive":
                    await organization.workspaces.archive(place)
                case _:
                    await workers.remove(account, workspace_id=place)
            with anyio.fail_after(1.0), pytest.raises(anthropic.AuthenticationError):
                await _work_forever(worker)


async def _work_forever(client: AsyncAnthropic) -> None:
    while True:
        await client.beta.agents.list()


async def _revoke_all(gateway: Running, workspace: str) -> None:
    keys = gateway.gateway.store.keys
    for row in await keys.list(workspace=workspace):
        await keys.revoke(id=row.id, now=gateway.gateway.clock.now())


@pytest.mark.parametrize("form", ["value", "file"])
def test_the_configured_key_works_from_the_first_start(tmp_path: Path, form: str):
    (tmp_path / "key").write_text("wk-configured\n", encoding="utf-8")
    setting = {"value": {"api_key": "wk-configured"}, "file": {"api_key_file": tmp_path / "key"}}
    with (
        serve(tmp_path / "data", setting[form]) as running,
        Client(base_url=running.url, headers={"x-api-key": "wk-configured"}) as http,
    ):
        answer = http.get("/v1/agents")
    assert answer.status_code == 200
    assert answer.headers["anthropic-workspace-id"].startswith("wrkspc_01")


@pytest.mark.parametrize("content", [None, ""])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: str | None):
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="api_key_file"):
        configured_digest(Config(api_key_file=path))
