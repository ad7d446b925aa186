"""Users and service accounts, through the official client."""

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.people import make_key, make_user, status
from tests.gateway import Running, Tenant
from tests.ledger.requirement import requirement


@pytest.fixture
def word(tenant: Tenant) -> str:
    """A word that no other test has."""
    return tenant.workspace[-12:].lower()


@requirement("organization:users:create", "organization:users:lifecycle")
def test_a_user_is_made_found_changed_and_removed(admin: Anthropic, word: str, tenant: Tenant):
    users = admin.beta.organization.users
    made = make_user(admin, f"Ada.{word}@Example.com", name="Ada")
    read = users.retrieve(made["id"])
    assert read.id.startswith("user_01")
    assert (read.type, read.name, read.role) == ("user", "Ada", "developer")
    assert read.email == f"ada.{word}@example.com"
    assert [u.id for u in users.list(email=f"ADA.{word}@example.com")] == [read.id]
    assert users.update(read.id, role="billing").role == "billing"
    assert read.id in [u.id for u in users.list(roles=["billing", "admin"], limit=1000)]
    assert read.id not in [u.id for u in users.list(roles=["admin"], limit=1000)]
    key = make_key(admin, principal_id=read.id)
    assert status(tenant, key["key"]) == 200
    removed = users.remove(read.id)
    assert (removed.id, removed.type) == (read.id, "user_deleted")
    assert status(tenant, make_key(admin)["key"]) == 200
    assert admin.beta.organization.api_keys.retrieve(key["id"]).status == "archived"
    with pytest.raises(anthropic.NotFoundError):
        users.retrieve(read.id)
    with pytest.raises(anthropic.NotFoundError):
        users.remove(read.id)


@requirement("organization:users:create")
def test_an_address_is_one_users_and_looks_like_one(admin: Anthropic, word: str):
    first = make_user(admin, f"{word}@example.com", role="admin")
    assert (first["name"], first["role"]) == (f"{word}@example.com", "admin")
    with pytest.raises(anthropic.ConflictError, match="email: "):
        make_user(admin, f"{word.upper()}@example.com")
    admin.beta.organization.users.remove(first["id"])
    make_user(admin, f"{word}@example.com")
    for bad in ("", "nobody", "a@", "@b.c", "a b@c.d", "a@b@c", "a@b\n.c", f"{'a' * 250}@b.cd"):
        with pytest.raises(anthropic.BadRequestError, match="email: "):
            make_user(admin, bad)
    with pytest.raises(anthropic.BadRequestError, match="role: "):
        make_user(admin, f"x{word}@example.com", role="owner")


@requirement("organization:users:roles")
@pytest.mark.parametrize("role", ["admin", "managed", "owner"])
def test_some_roles_are_not_given_to_users_who_are_there(admin: Anthropic, word: str, role: str):
    user = make_user(admin, f"{word}@example.com")["id"]
    with pytest.raises(anthropic.BadRequestError, match="role: "):
        admin.beta.organization.users.update(user, role=role)  # pyright: ignore[reportArgumentType] - that is the point


def test_a_removed_users_key_stops_within_a_second(
    admin: Anthropic, gateway: Running, word: str, tenant: Tenant
):
    user = make_user(admin, f"{word}@example.com")["id"]
    key = make_key(admin, principal_id=user)["key"]
    admin.beta.organization.users.remove(user)
    assert status(tenant, key) == 401


@requirement("organization:accounts:lifecycle")
def test_an_account_is_made_changed_and_archived(admin: Anthropic, word: str, tenant: Tenant):
    accounts = admin.beta.organization.service_accounts
    made = accounts.create(name=word)
    assert made.id.startswith("svac_01")
    assert (made.type, made.name, made.organization_role) == ("service_account", word, "developer")
    assert (made.description, made.archived_at, made.created_by_actor_id) == (None, None, None)
    with pytest.raises(anthropic.ConflictError, match="name: "):
        accounts.create(name=word)
    changed = accounts.update(made.id, description="Deploys.", organization_role="admin")
    assert (changed.description, changed.organization_role) == ("Deploys.", "admin")
    cleared = accounts.update(made.id, description=None, organization_role=None)
    assert (cleared.description, cleared.organization_role) == ("", "admin")
    assert accounts.retrieve(made.id) == cleared
    key = make_key(admin, principal_id=made.id)["key"]
    assert status(tenant, key) == 200
    archived = accounts.archive(made.id)
    assert archived.archived_at is not None
    assert accounts.archive(made.id) == archived
    assert made.id not in [a.id for a in accounts.list(limit=1)]
    assert made.id in [a.id for a in accounts.list(include_archived=True)]
    with pytest.raises(anthropic.BadRequestError, match="is archived"):
        accounts.update(made.id, description="x")
    with pytest.raises(anthropic.NotFoundError):
        accounts.retrieve("svac_none")


@requirement("organization:accounts:lifecycle")
@pytest.mark.parametrize("name", ["Deploy", "a b", "-a", "a-", "", "ä", "a" * 65])
def test_the_name_of_an_account_is_a_slug(admin: Anthropic, name: str):
    with pytest.raises(anthropic.BadRequestError, match="name: "):
        admin.beta.organization.service_accounts.create(name=name)


@requirement("organization:accounts:workspaces")
def test_an_account_is_added_from_both_sides(admin: Anthropic, word: str, tenant: Tenant):
    organization, place = admin.beta.organization, tenant.workspace
    account = organization.service_accounts.create(name=word).id
    added = organization.service_accounts.workspaces.add(
        account, workspace_id=place, workspace_role="workspace_user"
    )
    assert (added.type, added.implicit) == ("service_account_workspace_member", False)
    workers = organization.workspaces.service_accounts
    again = workers.add(place, service_account_id=account, workspace_role="workspace_developer")
    assert again.workspace_role == "workspace_developer"
    changed = workers.update(account, workspace_id=place, workspace_role="workspace_admin")
    assert workers.retrieve(account, workspace_id=place) == changed
    assert list(workers.list(place)) == [changed]
    shown = list(organization.service_accounts.workspaces.list(account, limit=1))
    assert [(m.workspace_id, m.implicit) for m in shown][1:] == [(place, False)]
    removed = workers.remove(account, workspace_id=place)
    assert removed.type == "service_account_workspace_member_deleted"
    organization.service_accounts.workspaces.remove(place, service_account_id=account)
    with pytest.raises(anthropic.NotFoundError):
        workers.update(account, workspace_id=place, workspace_role="workspace_user")
    with pytest.raises(anthropic.NotFoundError):
        workers.retrieve(account, workspace_id=place)


@requirement("organization:accounts:implicit")
def test_every_account_is_a_member_of_the_default_workspace(
    admin: Anthropic, gateway: Running, word: str
):
    organization, default = admin.beta.organization, gateway.administrator().workspace
    account = organization.service_accounts.create(name=word).id
    workers = organization.workspaces.service_accounts
    implicit = workers.retrieve(account, workspace_id=default)
    assert (implicit.implicit, implicit.workspace_role) == (True, "workspace_user")
    listed = list(organization.service_accounts.workspaces.list(account))
    assert listed == [implicit]
    workers.remove(account, workspace_id=default)
    assert workers.retrieve(account, workspace_id=default) == implicit
    assert account not in [m.service_account_id for m in workers.list(default)]
    workers.add(default, service_account_id=account, workspace_role="workspace_admin")
    explicit = list(organization.service_accounts.workspaces.list(account))
    assert [(m.implicit, m.workspace_role) for m in explicit] == [(False, "workspace_admin")]
    organization.service_accounts.archive(account)
    assert list(organization.service_accounts.workspaces.list(account)) == []
    with pytest.raises(anthropic.NotFoundError):
        workers.retrieve(account, workspace_id=default)


def test_workers_of_an_archived_workspace_are_not_shown(
    admin: Anthropic, word: str, tenant: Tenant
):
    organization, place = admin.beta.organization, tenant.workspace
    account = organization.service_accounts.create(name=word).id
    organization.workspaces.archive(place)
    workers = organization.workspaces.service_accounts
    for ask in (
        lambda: workers.list(place),
        lambda: workers.retrieve(account, workspace_id=place),
        lambda: workers.remove(account, workspace_id=place),
        lambda: workers.add(place, service_account_id=account, workspace_role="workspace_user"),
    ):
        with pytest.raises(anthropic.BadRequestError, match="is archived"):
            ask()
