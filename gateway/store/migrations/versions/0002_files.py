"""Files, archives of sandboxes, and builds of environments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Each kind of thing has a function of its own below."""
    _files()


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
