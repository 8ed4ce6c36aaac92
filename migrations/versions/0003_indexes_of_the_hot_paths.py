"""Indexes in the order of claims, of lists by status, and of a job's history without its epochs.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

OF_HISTORY = sa.text("type != 'job.epoch'")


def upgrade() -> None:
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", sa.text("priority DESC"), "id", "wanted_device"])
    op.create_index("ix_jobs_owner_status", "jobs", ["owner", "status", "id"])
    op.create_index(
        "ix_events_history", "events", ["job_id", "id"], sqlite_where=OF_HISTORY, postgresql_where=OF_HISTORY
    )


def downgrade() -> None:
    op.drop_index("ix_events_history", "events")
    op.drop_index("ix_jobs_owner_status", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", ["status", "priority", "id"])
