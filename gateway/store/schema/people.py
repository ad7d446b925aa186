"""Workspaces, who works in them, and the keys that open them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from gateway.store.schema.metadata import metadata

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("body", Text),
    Column("archived_at", BigInteger),
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
    # A key without a principal acts for itself; one without scopes may do everything.
    Column("principal", Text),
    Column("scopes", Text),
    Column("status", Text),
    Column("organization", Integer),
    Column("created_by", Text),
    Column("expires_at", BigInteger),
    Index(None, "principal"),
)

# People and service accounts: whoever a key can act for.
principals = Table(
    "principals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("email", Text),
    Column("role", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("archived_at", BigInteger),
    Index(None, "kind", "created_at", "id"),
)

Index(
    "principals_live_email_key",
    principals.c.email,
    unique=True,
    sqlite_where=principals.c.archived_at.is_(None),
    postgresql_where=principals.c.archived_at.is_(None),
)

members = Table(
    "members",
    metadata,
    Column("workspace", Text, ForeignKey("workspaces.id"), primary_key=True),
    Column("principal", Text, ForeignKey("principals.id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Index(None, "principal"),
)
