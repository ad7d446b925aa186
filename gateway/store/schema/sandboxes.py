"""Sandboxes, their archives and packages, and the gateways that keep them."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from gateway.store.schema.metadata import metadata

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
