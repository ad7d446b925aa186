"""API keys as the organization's admin sees them, and when they open nothing any more."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.people import make_key, status
from tests.gateway import Running, Tenant
from tests.ledger.requirement import requirement


@requirement("organization:keys:create", "organization:keys:shape")
def test_a_key_is_shown_once_and_reads_back_without_itself(admin: Anthropic, tenant: Tenant):
    made = make_key(admin, workspace_id=tenant.workspace, scopes=["agents:read"])
    assert made["key"].startswith("wk-")
    assert made["scopes"] == ["agents:read"]
    read = admin.beta.organization.api_keys.retrieve(made["id"])
    assert (read.id, read.type, read.name, read.status) == (made["id"], "api_key", "ci", "active")
    assert read.scope.type == "workspace"
    assert read.scope.workspace_id == tenant.workspace
    assert read.partial_key_hint == f"wk-...{made['key'][-4:]}"
    assert (read.principal, read.created_by, read.expires_at) == (None, None, None)
    assert made["key"] not in read.to_json()
    assert status(tenant, made["key"]) == 200
    assert admin.organization.api_keys.retrieve(made["id"]).name == "ci"


def test_a_key_for_a_principal_names_it_and_whoever_made_it(
    admin: Anthropic, gateway: Running, tenant: Tenant
):
    robot = admin.beta.organization.service_accounts.create(
        name=f"r-{tenant.workspace[-8:].lower()}"
    )
    made = make_key(admin, principal_id=robot.id, organization=True, scopes=["organization:*"])
    key = admin.beta.organization.api_keys.retrieve(made["id"])
    assert key.scope.type == "organization"
    assert key.principal is not None
    assert key.principal.type == "service_account_actor"
    assert key.principal.service_account_id == robot.id
    with Tenant(gateway.url, "", made["key"]).client() as client:
        second = make_key(client, workspace_id=tenant.workspace)
    read = admin.beta.organization.api_keys.retrieve(second["id"])
    assert read.created_by is not None
    assert (read.created_by.id, read.created_by.type) == (robot.id, "service_account")
    listed = admin.beta.organization.api_keys.list(created_by_user_id=robot.id)
    assert [key.id for key in listed] == [second["id"]]


@requirement("organization:keys:status")
def test_a_key_is_switched_off_and_on_and_archived_for_ever(admin: Anthropic, tenant: Tenant):
    made = make_key(admin, workspace_id=tenant.workspace)
    keys = admin.beta.organization.api_keys
    assert keys.update(made["id"], status="inactive", name="resting").name == "resting"
    assert status(tenant, made["key"]) == 401
    assert keys.update(made["id"], status="active").status == "active"
    assert status(tenant, made["key"]) == 200
    other = make_key(admin, workspace_id=tenant.workspace)
    assert keys.update(other["id"], status="archived").status == "archived"
    assert status(tenant, other["key"]) == 401
    with pytest.raises(anthropic.BadRequestError, match="which is for ever"):
        keys.update(other["id"], status="active")
    with pytest.raises(anthropic.BadRequestError, match="status: "):
        keys.update(other["id"], status="expired")  # pyright: ignore[reportArgumentType] - that is the point


@requirement("organization:keys:status")
def test_an_expired_key_opens_nothing_and_says_so(admin: Anthropic, gateway: Running):
    now = gateway.gateway.clock.now()
    tenant = gateway.key(gateway.tenant().workspace, expires_at=now)
    with tenant.raw() as http:
        answer = http.get("/v1/agents")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]
    listed = admin.beta.organization.api_keys.list(workspace_id=tenant.workspace)
    assert {key.status for key in listed} == {"active", "expired"}


@requirement("organization:keys:list")
def test_keys_are_paged_both_ways_and_filtered(admin: Anthropic, tenant: Tenant):
    made = [make_key(admin, workspace_id=tenant.workspace, name=f"{n}")["id"] for n in range(5)]
    keys = admin.beta.organization.api_keys
    every = [key.id for key in keys.list(workspace_id=tenant.workspace, limit=2)]
    assert every[:5] == made[::-1]
    assert len(every) == 6
    page = keys.list(workspace_id=tenant.workspace, before_id=made[1], limit=2)
    assert [key.id for key in page.data] == [made[3], made[2]]
    assert page.has_more
    assert [key.id for key in page] == [made[3], made[2], made[4]]
    keys.update(made[0], status="inactive")
    found = keys.list(workspace_id=tenant.workspace, status="inactive")
    assert [key.id for key in found] == [made[0]]
    with pytest.raises(anthropic.BadRequestError, match="after_id: 'apikey_none' is not in"):
        keys.list(after_id="apikey_none")
    with pytest.raises(anthropic.BadRequestError, match="cannot be combined"):
        keys.list(after_id=made[0], before_id=made[1])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"scopes": ["sessions:fly"]}, "scopes: 'sessions:fly' is not one of"),
        ({"scopes": []}, "scopes: "),
        ({"scopes": ["*:read"]}, "scopes: "),
        ({"name": ""}, "name: "),
        ({"name": "a\x1b[2J"}, "name: must not hold control characters"),
        ({"expires_in_seconds": 0}, "expires_in_seconds: "),
        ({"organization": True, "workspace_id": "wrkspc_1"}, "workspace_id: cannot be combined"),
        ({"colour": "red"}, "colour: "),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_refused_with_the_field(
    admin: Anthropic, fields: dict[str, Any], said: str
):
    with pytest.raises(anthropic.BadRequestError) as refusal:
        make_key(admin, **fields)
    assert said in refusal.value.message


def test_a_key_needs_a_workspace_and_a_principal_that_are_there(admin: Anthropic):
    for fields in ({"workspace_id": "wrkspc_none"}, {"principal_id": "user_none"}):
        with pytest.raises(anthropic.NotFoundError, match="_none not found"):
            make_key(admin, **fields)
    with pytest.raises(anthropic.NotFoundError, match="apikey_none not found"):
        admin.beta.organization.api_keys.retrieve("apikey_none")
