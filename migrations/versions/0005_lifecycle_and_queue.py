"""Checkpoints, pauses, retries; what a job wants of a device; the queue in a fair order.

Revision ID: 0005
Revises: 0004
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

QUEUE = ["status", "owner", "rank", "id", "wanted_device", "wanted_slots", "wanted_memory", "queued_at"]


def upgrade() -> None:
    op.drop_index("ix_jobs_queue", "jobs")
    for column in columns():
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET rank = round(CAST(created_at - 600.0 * priority AS NUMERIC), 5)")
    op.execute("UPDATE jobs SET queued_at = created_at")
    op.create_index("ix_jobs_queue", "jobs", QUEUE)
    op.create_index("ix_jobs_parent", "jobs", ["parent"])
    op.add_column("workers", sa.Column("device_memory_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("workers", sa.Column("machine", sa.Text()))
    op.create_table(
        "shares",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("served", sa.Double(), nullable=False),
        sa.Column("attempt_seconds", sa.Double(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("owner", name="pk_shares"),
    )


def downgrade() -> None:
    op.drop_table("shares")
    op.drop_column("workers", "machine")
    op.drop_column("workers", "device_memory_bytes")
    op.execute("UPDATE jobs SET status = 'queued' WHERE status IN ('pausing', 'paused')")
    op.drop_index("ix_jobs_parent", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    for column in columns():
        op.drop_column("jobs", column.name)
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id", "wanted_device"])


def columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("origin", sa.Text()),
        sa.Column("wanted_slots", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("wanted_memory", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("rank", sa.Double(), nullable=False, server_default="0"),
        sa.Column("memory_failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("recorded", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("checkpoint", sa.Text()),
        sa.Column("checkpoint_step", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("queued_at", sa.Double(), nullable=False, server_default="0"),
        sa.Column("claimed_at", sa.Double()),
        sa.Column("lease_clock", sa.Text()),
        sa.Column("seconds_per_step", sa.Double()),
        sa.Column("weights_sha256", sa.Text()),
        sa.Column("statistics_lost", sa.Integer(), nullable=False, server_default="0"),
    ]
