"""Who is acting, what policies were asked, who approved, and the audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Each kind of thing has a function of its own below."""
    _people()
    _keys()
    _sessions()
    _approvals()
    _policy()
    _audit()


def _people() -> None:
    op.add_column("workspaces", sa.Column("body", sa.Text()))
    op.add_column("workspaces", sa.Column("archived_at", sa.BigInteger()))
    op.create_table(
        "principals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text()),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("principals_pkey")),
    )
    op.create_index(
        op.f("principals_by_kind_created_at_id"), "principals", ["kind", "created_at", "id"]
    )
    op.create_index(
        "principals_live_email_key",
        "principals",
        ["email"],
        unique=True,
        sqlite_where=sa.text("archived_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "members",
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", "principal", name=op.f("members_pkey")),
        sa.ForeignKeyConstraint(
            ["workspace"], ["workspaces.id"], name=op.f("members_workspace_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["principal"], ["principals.id"], name=op.f("members_principal_fkey")
        ),
    )
    op.create_index(op.f("members_by_principal"), "members", ["principal"])


def _keys() -> None:
    # A key without a principal acts for itself; one without scopes may do everything.
    op.add_column("api_keys", sa.Column("principal", sa.Text()))
    op.add_column("api_keys", sa.Column("scopes", sa.Text()))
    op.add_column("api_keys", sa.Column("status", sa.Text()))
    op.add_column("api_keys", sa.Column("organization", sa.Integer()))
    op.add_column("api_keys", sa.Column("created_by", sa.Text()))
    op.add_column("api_keys", sa.Column("expires_at", sa.BigInteger()))
    op.create_index(op.f("api_keys_by_principal"), "api_keys", ["principal"])


def _sessions() -> None:
    op.add_column("sessions", sa.Column("actor", sa.Text()))


def _approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("decided_at", sa.BigInteger()),
        sa.Column("notify_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name=op.f("approvals_pkey")),
        sa.UniqueConstraint("session", "event", name=op.f("approvals_session_event_key")),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.id"], name=op.f("approvals_session_fkey"), ondelete="CASCADE"
        ),
    )
    op.create_index(
        op.f("approvals_by_workspace_created_at_id"), "approvals", ["workspace", "created_at", "id"]
    )
    op.create_index(op.f("approvals_by_state_expires_at"), "approvals", ["state", "expires_at"])


def _policy() -> None:
    op.create_table(
        "policy_sets",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("loaded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("policy_sets_pkey")),
    )
    op.create_table(
        "switches",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("thrown_by", sa.Text(), nullable=False),
        sa.Column("thrown_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("switches_pkey")),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("workspace", sa.Text()),
        sa.Column("session", sa.Text()),
        sa.Column("event", sa.Text()),
        sa.Column("actor", sa.Text()),
        sa.Column("tool", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("chain", "n", name=op.f("audit_pkey")),
    )
    op.create_index(op.f("audit_by_at_id"), "audit", ["at", "id"])
    op.create_index(
        "audit_unsent",
        "audit",
        ["at"],
        sqlite_where=sa.text("sent = 0"),
        postgresql_where=sa.text("sent = 0"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("signed", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("audit_heads_pkey")),
    )
    op.create_index(
        "audit_heads_unsigned",
        "audit_heads",
        ["chain"],
        sqlite_where=sa.text("n > signed"),
        postgresql_where=sa.text("n > signed"),
    )
    op.create_table(
        "audit_keys",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_keys_pkey")),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("audit_checkpoints_pkey")),
    )
