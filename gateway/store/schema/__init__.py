"""The tables. Both dialects share them; the migrations lead to exactly this.

JSON is kept as text: nothing is searched inside it, and both databases hand it back as it was.
Events, inbox and snapshots have no foreign key, because the hot path takes the session's row in
`heads` first and a deleted session has none; deleting a session deletes them by name.
"""

from gateway.store.schema.agents import agent_versions, agents, environments
from gateway.store.schema.files import files, loose_blobs, outputs, repositories
from gateway.store.schema.metadata import metadata
from gateway.store.schema.people import api_keys, members, principals, workspaces
from gateway.store.schema.policy import (
    approvals,
    audit,
    audit_checkpoints,
    audit_heads,
    audit_keys,
    policy_sets,
    switches,
)
from gateway.store.schema.sandboxes import archives, build_lines, builds, gateways, sandboxes, uids
from gateway.store.schema.sessions import (
    events,
    heads,
    inbox,
    session_memory_stores,
    sessions,
    snapshots,
    threads,
)

REVISION = "0003"
"""The last migration; a database that says otherwise is migrated at start-up."""

__all__ = [
    "REVISION",
    "agent_versions",
    "agents",
    "api_keys",
    "approvals",
    "archives",
    "audit",
    "audit_checkpoints",
    "audit_heads",
    "audit_keys",
    "build_lines",
    "builds",
    "environments",
    "events",
    "files",
    "gateways",
    "heads",
    "inbox",
    "loose_blobs",
    "members",
    "metadata",
    "outputs",
    "policy_sets",
    "principals",
    "repositories",
    "sandboxes",
    "session_memory_stores",
    "sessions",
    "snapshots",
    "switches",
    "threads",
    "uids",
    "workspaces",
]
