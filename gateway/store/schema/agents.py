"""Agents and environments, with their versions."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, Table, Text

from gateway.store.schema.metadata import metadata

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
