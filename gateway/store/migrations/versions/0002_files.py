"""Files, archives of sandboxes, builds of environments, and repositories of sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Each kind of thing has a function of its own below."""
    _files()
    _archives()
    _builds()
    _repositories()


def _files() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("blob", sa.Text()),
        sa.Column("downloadable", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.Column("scope", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("files_pkey")),
    )
    for columns in (["workspace", "created_at", "id"], ["scope"], ["blob"], ["expires_at"]):
        op.create_index(op.f(f"files_by_{'_'.join(columns)}"), "files", columns)
    op.create_table(
        "loose_blobs",
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("doomed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("blob", name=op.f("loose_blobs_pkey")),
    )
    op.create_table(
        "outputs",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session", "path", name=op.f("outputs_pkey")),
    )


def _builds() -> None:
    op.create_table(
        "builds",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("queued_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("host", "digest", name=op.f("builds_pkey")),
    )
    op.create_table(
        "build_lines",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("host", "digest", "seq", name=op.f("build_lines_pkey")),
    )


def _archives() -> None:
    for name in ("created_at", "idle_at", "lost", "archived"):
        op.add_column("sandboxes", sa.Column(name, sa.BigInteger()))
    op.create_index(op.f("sandboxes_by_host_idle_at"), "sandboxes", ["host", "idle_at"])
    op.create_table(
        "archives",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text()),
        sa.PrimaryKeyConstraint("owner", "generation", name=op.f("archives_pkey")),
    )
    op.create_index(op.f("archives_by_host"), "archives", ["host"])


def _repositories() -> None:
    op.create_table(
        "repositories",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary()),
        sa.Column("layer", sa.BigInteger()),
        sa.PrimaryKeyConstraint("resource", name=op.f("repositories_pkey")),
        sa.ForeignKeyConstraint(
            ["session"],
            ["sessions.id"],
            name=op.f("repositories_session_fkey"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("repositories_by_session"), "repositories", ["session"])
