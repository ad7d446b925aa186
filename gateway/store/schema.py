"""The tables. Both dialects share them; the migrations lead to exactly this.

JSON is kept as text: nothing is searched inside it, and both databases hand it back as it was.
Events, inbox and snapshots have no foreign key, because the hot path takes the session's row in
`heads` first and a deleted session has none; deleting a session deletes them by name.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

REVISION = "0002"
"""The last migration; a database that says otherwise is migrated at start-up."""

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, ForeignKey("workspaces.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sha256", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

agents = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index(None, "workspace", "created_at", "id"),
)

agent_versions = Table(
    "agent_versions",
    metadata,
    Column("agent", Text, ForeignKey("agents.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

environments = Table(
    "environments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    # Bytes, because a name may hold any character of JSON and PostgreSQL's text may not.
    Column("name", LargeBinary, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index(None, "workspace", "created_at", "id"),
)

Index(
    "environments_live_name_key",
    environments.c.workspace,
    environments.c.name,
    unique=True,
    sqlite_where=environments.c.archived_at.is_(None),
    postgresql_where=environments.c.archived_at.is_(None),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("agent_version", BigInteger, nullable=False),
    Column("deployment", Text),
    Column("primary_thread", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index(None, "workspace", "created_at", "id"),
    Index(None, "environment"),
)

# What changes with every append, apart from the body so that appending never rewrites that.
heads = Table(
    "heads",
    metadata,
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("arrivals", BigInteger, nullable=False),
    Column("replay_from", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("head", Text, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

_at_work = heads.c.status.in_(["running", "rescheduling"])
Index("heads_at_work", heads.c.session, sqlite_where=_at_work, postgresql_where=_at_work)

session_memory_stores = Table(
    "session_memory_stores",
    metadata,
    Column("memory_store", Text, primary_key=True),
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "session"),
)

events = Table(
    "events",
    metadata,
    Column("session", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("thread", Text, nullable=False),
    Column("on_primary", Integer, nullable=False),
    Column("processed_at", BigInteger, nullable=False),
    Column("wire", LargeBinary, nullable=False),
    Column("private", LargeBinary),
    UniqueConstraint("session", "id"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("session", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
    Column("wire", LargeBinary, nullable=False),
    Column("target", Text),
    Column("private", LargeBinary),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("session", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

threads = Table(
    "threads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("parent", Text),
    Column("status", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index(None, "session", "created_at", "id"),
)

sandboxes = Table(
    "sandboxes",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("driver", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("uid", BigInteger),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", BigInteger),
    Column("idle_at", BigInteger),
    Column("lost", BigInteger),
    Column("archived", BigInteger),
    Index(None, "host", "idle_at"),
)

archives = Table(
    "archives",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("generation", BigInteger, primary_key=True, autoincrement=False),
    Column("host", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("digest", Text),
    Index(None, "host"),
)

uids = Table(
    "uids",
    metadata,
    Column("uid", BigInteger, primary_key=True, autoincrement=False),
    Column("owner", Text, nullable=False, unique=True),
)

# Each host builds for itself: what was built is on its disk.
builds = Table(
    "builds",
    metadata,
    Column("host", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("lines", BigInteger, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
)

build_lines = Table(
    "build_lines",
    metadata,
    Column("host", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Text, primary_key=True),
    Column("lock_key", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("mime_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("blob", Text),
    Column("downloadable", Integer, nullable=False),
    Column("counted", Integer, nullable=False),
    Column("scope", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Index(None, "workspace", "created_at", "id"),
    Index(None, "scope"),
    Index(None, "blob"),
    Index(None, "expires_at"),
)

# Bytes that no file holds: not yet, or not any more. What is written here first cannot be lost.
loose_blobs = Table(
    "loose_blobs",
    metadata,
    Column("blob", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("doomed", Integer, nullable=False),
)

# What was last seen of each file in a session's outputs; `file` is what was made of it.
outputs = Table(
    "outputs",
    metadata,
    Column("session", Text, primary_key=True),
    # Bytes, because a name of Linux is bytes.
    Column("path", LargeBinary, primary_key=True),
    Column("mark", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("file", Text, nullable=False),
)

# What is private of a session's repositories; `layer` is the birth of the sandbox that holds it.
repositories = Table(
    "repositories",
    metadata,
    Column("resource", Text, primary_key=True),
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("token", LargeBinary),
    Column("layer", BigInteger),
    Index(None, "session"),
)
