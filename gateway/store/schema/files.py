"""Files, where their bytes are, and the repositories of sessions."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from gateway.store.schema.metadata import metadata

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
