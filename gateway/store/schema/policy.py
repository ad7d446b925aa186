"""Approvals, sets of policies, kill switches, and the audit trail."""

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

# What a person has to agree to, and whether; `body` says to what exactly.
approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("session", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("event", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("approver", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("decided_at", BigInteger),
    # When its approvers are to be told, for the first time or again; null once they were.
    Column("notify_at", BigInteger),
    UniqueConstraint("session", "event"),
    Index(None, "workspace", "created_at", "id"),
    Index(None, "state", "expires_at"),
)

# Every set of policies that was ever in force.
policy_sets = Table(
    "policy_sets",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("loaded_at", BigInteger, nullable=False),
)

switches = Table(
    "switches",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("thrown_by", Text, nullable=False),
    Column("thrown_at", BigInteger, nullable=False),
    Column("until", BigInteger),
)

# Append-only. No foreign key: what was decided in a session outlives it. Every index costs each
# call; so there is none on `id`, which nothing is found by.
audit = Table(
    "audit",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("workspace", Text),
    Column("session", Text),
    Column("event", Text),
    Column("actor", Text),
    Column("tool", Text),
    Column("outcome", Text),
    Column("record", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("sent", Integer, nullable=False),
    Index(None, "at", "id"),
)

_unsent = audit.c.sent == 0
Index("audit_unsent", audit.c.at, sqlite_where=_unsent, postgresql_where=_unsent)

# `signed` is the number that the last checkpoint saw.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("signed", BigInteger, nullable=False),
)

_unsigned = audit_heads.c.n > audit_heads.c.signed
Index(
    "audit_heads_unsigned", audit_heads.c.chain, sqlite_where=_unsigned, postgresql_where=_unsigned
)

# On a database that gateways share, the key of the chains, where no file of the operator holds it.
audit_keys = Table(
    "audit_keys",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("key", LargeBinary, nullable=False),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
