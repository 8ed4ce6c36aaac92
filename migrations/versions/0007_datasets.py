"""Uploaded data sets, and which jobs use them.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "datasets",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "owner", "name", "status", "format")),
        sa.Column("size", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("sha256", "fingerprint")),
        sa.Column("options", sa.JSON(), nullable=False),
        *(sa.Column(name, sa.JSON()) for name in ("upload", "uploaded")),
        *(sa.Column(name, sa.Text()) for name in ("kind", "task")),
        *(sa.Column(name, sa.JSON()) for name in ("summary", "error")),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double()),
        sa.Column("lease_clock", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ready_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    op.create_index("ix_datasets_owner", "datasets", ["owner", "id"])
    op.create_index("uq_datasets_fingerprint", "datasets", ["owner", "fingerprint"], unique=True)
    op.create_index("ix_datasets_status", "datasets", ["status"])
    op.create_table(
        "uses",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "dataset_id", name="pk_uses"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_uses_job_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_uses_dataset_id"),
    )
    op.create_index("ix_uses_dataset", "uses", ["dataset_id"])


def downgrade() -> None:
    op.drop_table("uses")
    op.drop_table("datasets")
