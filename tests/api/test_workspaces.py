"""Workspaces and their members, through the official client."""

from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.api.people import make_key, make_user, status
from tests.gateway import Running, Tenant
from tests.ledger.requirement import requirement


@pytest.fixture
def name(tenant: Tenant) -> str:
    """A name that no other test has."""
    return f"team {tenant.workspace[-12:]}"


@pytest.fixture
def user(admin: Anthropic, tenant: Tenant) -> str:
    return make_user(admin, f"{tenant.workspace[-12:]}@example.com")["id"]


@requirement("organization:workspaces:create")
def test_a_name_is_enough_for_a_workspace(admin: Anthropic, name: str):
    made = admin.beta.organization.workspaces.create(name=name)
    assert made.id.startswith("wrkspc_01")
    assert (made.type, made.name, made.tags, made.archived_at) == ("workspace", name, {}, None)
    assert (made.external_key_id, made.user_profile_id) == (None, None)
    assert made.compartment_id
    assert made.display_color.startswith("#")
    assert made.data_residency.to_dict() == {
        "allowed_inference_geos": "unrestricted",
        "default_inference_geo": "global",
        "workspace_geo": "us",
    }
    assert admin.organization.workspaces.retrieve(made.id).name == name


@requirement("organization:workspaces:tags")
def test_what_is_changed_changes_and_the_rest_stays(admin: Anthropic, name: str):
    workspaces = admin.beta.organization.workspaces
    made = workspaces.create(
        name=name,
        display_color="#000000",
        tags={"team": "söze", "old": "x"},
        data_residency={"allowed_inference_geos": ["us"], "default_inference_geo": "us"},
    )
    changed = workspaces.update(made.id, name=name + "!", tags={"old": None, "new": "y"})
    assert (changed.name, changed.display_color) == (name + "!", "#000000")
    assert changed.tags == {"team": "söze", "new": "y"}
    assert changed.data_residency.allowed_inference_geos == ["us"]
    with pytest.raises(anthropic.BadRequestError, match="default_inference_geo: must be one of"):
        workspaces.update(made.id, data_residency={"default_inference_geo": "global"})
    for n in range(64):
        tags: dict[str, str | None] = {f"t{n}": ""}
        if n < 62:
            workspaces.update(made.id, tags=tags)
    with pytest.raises(anthropic.BadRequestError, match="tags: at most 64"):
        workspaces.update(made.id, tags={"one": "", "more": ""})


@requirement("organization:workspaces:tags", "organization:workspaces:absent")
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"tags": {"anthropic_x": "y"}}, "tags.anthropic_x: tags that begin with 'anthropic'"),
        ({"external_key_id": "ekey_1"}, "external_key_id: "),
        ({"user_profile_id": "uprof_1"}, "user_profile_id: "),
        ({"display_color": "blue"}, "display_color: must be a hex color"),
        ({"data_residency": {"allowed_inference_geos": ["us"]}}, "default_inference_geo: "),
        ({"data_residency": {"allowed_inference_geos": []}}, "default_inference_geo: "),
        ({"data_residency": {"allowed_inference_geos": 5}}, "allowed_inference_geos: "),
        ({"data_residency": {"workspace_geo": "eu"}}, "workspace_geo: "),
        ({"name": "x" * 257}, "name: "),
    ],
    ids=str,
)
def test_a_workspace_that_cannot_be_is_refused_with_the_field(
    admin: Anthropic, name: str, fields: dict[str, Any], said: str
):
    with pytest.raises(anthropic.BadRequestError) as refusal:
        admin.post(
            "/v1/organizations/workspaces", body={"name": name, **fields}, cast_to=dict[str, Any]
        )
    assert said in refusal.value.message


@requirement("organization:workspaces:name")
def test_two_workspaces_do_not_share_a_name(admin: Anthropic, name: str):
    workspaces = admin.beta.organization.workspaces
    first, second = workspaces.create(name=name), workspaces.create(name=name + "2")
    workspaces.archive(first.id)
    with pytest.raises(anthropic.ConflictError, match="name: "):
        workspaces.create(name=name)
    with pytest.raises(anthropic.ConflictError, match="name: "):
        workspaces.update(second.id, name=name)


@requirement("organization:workspaces:archive")
def test_archiving_a_workspace_archives_its_keys(admin: Anthropic, name: str, tenant: Tenant):
    workspaces = admin.beta.organization.workspaces
    made = workspaces.create(name=name)
    key = make_key(admin, workspace_id=made.id)
    assert status(tenant, key["key"]) == 200
    archived = workspaces.archive(made.id)
    assert archived.archived_at is not None
    assert workspaces.archive(made.id).archived_at == archived.archived_at
    assert workspaces.retrieve(made.id).archived_at == archived.archived_at
    assert admin.beta.organization.api_keys.retrieve(key["id"]).status == "archived"
    with pytest.raises(anthropic.BadRequestError, match="is archived"):
        workspaces.update(made.id, name="other")
    with pytest.raises(anthropic.BadRequestError, match="is archived"):
        make_key(admin, workspace_id=made.id)


@requirement("organization:workspaces:default")
def test_the_default_workspace_stays_as_it_is(admin: Anthropic, gateway: Running):
    workspaces = admin.beta.organization.workspaces
    default = gateway.administrator().workspace
    assert default not in [workspace.id for workspace in workspaces.list()]
    assert default in [workspace.id for workspace in workspaces.list(include_default=True)]
    with pytest.raises(anthropic.BadRequestError, match="name: "):
        workspaces.update(default, name="main")
    with pytest.raises(anthropic.BadRequestError, match="cannot be archived"):
        workspaces.archive(default)
    assert workspaces.update(default, tags={"kept": "yes"}).name == "default"


@requirement("organization:workspaces:list")
def test_workspaces_are_paged_and_filtered(admin: Anthropic, name: str):
    workspaces = admin.beta.organization.workspaces
    made = [workspaces.create(name=f"{name} {n}").id for n in range(3)]
    workspaces.archive(made[2])
    assert [w.id for w in workspaces.list(ids=made, limit=1)] == [made[1], made[0]]
    assert [w.id for w in workspaces.list(ids=made, include_archived=True)] == made[::-1]
    before = workspaces.list(ids=made, before_id=made[0])
    assert [w.id for w in before.data] == [made[1]]
    assert (before.first_id, before.last_id, before.has_more) == (made[1], made[1], False)
    with pytest.raises(anthropic.BadRequestError, match="ids: at most 100"):
        workspaces.list(ids=[f"w{n}" for n in range(101)])


@requirement("organization:members:lifecycle", "organization:members:billing")
def test_a_member_is_added_changed_and_removed(admin: Anthropic, tenant: Tenant, user: str):
    members, place = admin.beta.organization.workspaces.members, tenant.workspace
    added = members.add(place, user_id=user, workspace_role="workspace_developer")
    assert added.to_dict() == {
        "type": "workspace_member",
        "user_id": user,
        "workspace_id": place,
        "workspace_role": "workspace_developer",
    }
    with pytest.raises(anthropic.ConflictError, match="already"):
        members.add(place, user_id=user, workspace_role="workspace_user")
    changed = members.update(user, workspace_id=place, workspace_role="workspace_admin")
    assert changed.workspace_role == "workspace_admin"
    for role in ("workspace_billing", "owner"):
        with pytest.raises(anthropic.BadRequestError, match="workspace_role: "):
            members.update(user, workspace_id=place, workspace_role=role)  # pyright: ignore[reportArgumentType] - that is the point
    assert members.retrieve(user, workspace_id=place) == changed
    assert list(members.list(place)) == [changed]
    removed = members.remove(user, workspace_id=place)
    assert (removed.type, removed.user_id) == ("workspace_member_deleted", user)
    for gone in (members.retrieve, members.remove):
        with pytest.raises(anthropic.NotFoundError, match="is not a member"):
            gone(user, workspace_id=place)


def test_members_are_paged_both_ways(admin: Anthropic, tenant: Tenant):
    members, place = admin.beta.organization.workspaces.members, tenant.workspace
    users = [make_user(admin, f"{place[-9:]}-{n}@example.com")["id"] for n in range(4)]
    for user in users:
        members.add(place, user_id=user, workspace_role="workspace_user")
    assert [m.user_id for m in members.list(place, limit=3)] == users[::-1]
    before = members.list(place, before_id=users[0], limit=2)
    assert [m.user_id for m in before.data] == [users[2], users[1]]
    assert (before.first_id, before.has_more) == (users[2], True)
    with pytest.raises(anthropic.BadRequestError, match="after_id: "):
        members.list(place, after_id="user_none")


@requirement("organization:members:keys")
def test_a_key_works_while_its_user_is_a_member(
    gateway: Running, admin: Anthropic, tenant: Tenant, user: str
):
    members, place = admin.beta.organization.workspaces.members, tenant.workspace
    with pytest.raises(anthropic.BadRequestError, match="is not a member"):
        make_key(admin, workspace_id=place, principal_id=user)
    members.add(place, user_id=user, workspace_role="workspace_user")
    key = make_key(admin, workspace_id=place, principal_id=user)["key"]
    members.remove(user, workspace_id=place)
    assert status(tenant, key) == 401
    members.add(place, user_id=user, workspace_role="workspace_user")
    other = make_key(admin, workspace_id=place, principal_id=user)["key"]
    assert status(tenant, other) == 200


@requirement("organization:members:archived")
def test_members_of_an_archived_workspace_stay_as_they_are(
    admin: Anthropic, tenant: Tenant, user: str
):
    members, place = admin.beta.organization.workspaces.members, tenant.workspace
    members.add(place, user_id=user, workspace_role="workspace_user")
    admin.beta.organization.workspaces.archive(place)
    with pytest.raises(anthropic.BadRequestError, match="is archived"):
        members.update(user, workspace_id=place, workspace_role="workspace_admin")
    with pytest.raises(anthropic.BadRequestError, match="is archived"):
        members.remove(user, workspace_id=place)
    assert [m.user_id for m in members.list(place)] == [user]


def test_what_is_not_there_is_not_found(admin: Anthropic, tenant: Tenant, user: str):
    workspaces, place = admin.beta.organization.workspaces, tenant.workspace
    with pytest.raises(anthropic.NotFoundError, match="wrkspc_none not found"):
        workspaces.retrieve("wrkspc_none")
    with pytest.raises(anthropic.NotFoundError, match="wrkspc_none not found"):
        workspaces.members.list("wrkspc_none")
    with pytest.raises(anthropic.NotFoundError, match="user_none not found"):
        workspaces.members.add(place, user_id="user_none", workspace_role="workspace_user")
    with pytest.raises(anthropic.NotFoundError):
        workspaces.members.retrieve(user, workspace_id=place)
