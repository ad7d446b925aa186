"""Keys and what they may do, workspaces, users, service accounts."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "organization:me:probe",
        "resources 7.4",
        "Every good key can ask for the organization: {id, type, name}.",
    ),
    Requirement(
        "organization:access:admin",
        "resources O-1",
        "Organization endpoints take a key of the organization or one with the scope; else 403.",
    ),
    Requirement(
        "organization:access:headers",
        "resources O-4",
        "Answers of organization endpoints have no anthropic-workspace-id header.",
    ),
    Requirement(
        "organization:access:any-workspace",
        "resources E-9",
        "A key of the organization works in the workspace that anthropic-workspace-id names.",
    ),
    Requirement(
        "organization:access:unbuilt",
        "resources O-3",
        "Groups of endpoints that are not here are answered 404 in the API's envelope.",
    ),
    Requirement(
        "organization:scopes:forbidden",
        "resources E-3",
        "A key without the scope that an endpoint needs is answered 403, naming the scope.",
    ),
    Requirement(
        "organization:keys:shape",
        "resources 7.4",
        "An API key reads back with scope, principal, creator, status and a hint, never itself.",
    ),
    Requirement(
        "organization:keys:create",
        "resources 7.4",
        "A key is made with POST /wharfkeep/v1/api_keys, whose answer alone shows it.",
        divergence="the API has no such call; the console there makes keys",
    ),
    Requirement(
        "organization:keys:status",
        "resources 7.4",
        "An inactive, archived or expired key is answered 401; archived is for ever.",
    ),
    Requirement(
        "organization:keys:list",
        "resources O-2",
        "Keys are paged by after_id and before_id and filtered by status, workspace and creator.",
    ),
    Requirement(
        "organization:workspaces:create",
        "resources 7.4",
        "A name is enough; color, tags and data residency have defaults.",
        divergence="data residency is kept and shown; this gateway runs where it runs",
    ),
    Requirement(
        "organization:workspaces:name",
        "resources 7.4",
        "A name that another workspace has, archived or not, is answered 409.",
    ),
    Requirement(
        "organization:workspaces:tags",
        "resources 7.4",
        "Tags merge, null deletes one, and keys that begin with anthropic are answered 400.",
    ),
    Requirement(
        "organization:workspaces:absent",
        "resources 7.4",
        "external_key_id and user_profile_id are answered 400.",
        divergence="there are no external keys and no user profiles",
    ),
    Requirement(
        "organization:workspaces:archive",
        "resources 7.4",
        "Archiving archives all keys of the workspace, is for ever, and may be repeated.",
    ),
    Requirement(
        "organization:workspaces:default",
        "resources 7.4",
        "The default workspace cannot be renamed or archived and is listed on request only.",
    ),
    Requirement(
        "organization:workspaces:list",
        "resources 7.4",
        "Workspaces are paged by ids and filtered by ids; archived ones come on request.",
    ),
    Requirement(
        "organization:members:lifecycle",
        "resources 7.4",
        "Members are added once, given another role, and removed.",
    ),
    Requirement(
        "organization:members:billing",
        "resources 7.4",
        "The role workspace_billing cannot be assigned.",
    ),
    Requirement(
        "organization:members:keys",
        "resources 7.4",
        "A key that acts for somebody opens a workspace only while they are a member of it.",
    ),
    Requirement(
        "organization:members:archived",
        "resources 7.4",
        "Members of an archived workspace cannot be changed.",
    ),
    Requirement(
        "organization:users:lifecycle",
        "resources 7.4",
        "Users are listed by e-mail and role, given another role, and removed with their keys.",
    ),
    Requirement(
        "organization:users:create",
        "resources 7.4",
        "A user is made with POST /wharfkeep/v1/users; an address that is taken is answered 409.",
        divergence="the API has invites; here there is no mail and no login",
    ),
    Requirement(
        "organization:users:roles",
        "resources 7.4",
        "admin and managed cannot be assigned to a user who is there.",
    ),
    Requirement(
        "organization:accounts:lifecycle",
        "resources 7.4",
        "Service accounts have a unique slug, change description and role, and are archived.",
    ),
    Requirement(
        "organization:accounts:workspaces",
        "resources 7.4",
        "Memberships of service accounts are added from both sides; adding again changes the role.",
    ),
    Requirement(
        "organization:accounts:implicit",
        "resources 7.4",
        "Every service account is a member of the default workspace, implicitly.",
    ),
)
