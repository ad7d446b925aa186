"""Sessions: their rows, their logs, and what is waiting for them."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from gateway.store.schema.metadata import metadata

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
    # For whom its agent acts: a principal, or the key that made the session.
    Column("actor", Text),
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
