"""What a job's numbers say, and the jobs that come of its remedies.

Revision ID: 0006
Revises: 0005
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

INDEXES = {
    "ix_jobs_parent": ["parent", "id"],
    "ix_jobs_owner_verdict": ["owner", "verdict", "id"],
}
INDEXES_OF_REPAIRS = {
    "ix_jobs_repairs": (["parent", "id"], "origin = 'repair'"),
    "ix_jobs_remedy": (["owner", "remedy", "remedied", "cured"], "remedy IS NOT NULL"),
}


def upgrade() -> None:
    for column in columns():
        op.add_column("jobs", column)
    op.add_column("epochs", sa.Column("step", sa.BigInteger()))
    op.drop_index("ix_jobs_parent", "jobs")
    for name, indexed in INDEXES.items():
        op.create_index(name, "jobs", indexed)
    for name, (indexed, only) in INDEXES_OF_REPAIRS.items():
        op.create_index(name, "jobs", indexed, sqlite_where=sa.text(only), postgresql_where=sa.text(only))
    op.create_table(
        "findings",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "place", name="pk_findings"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_findings_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_findings_code", "findings", ["owner", "code", "job_id"])


def downgrade() -> None:
    op.drop_table("findings")
    for name in [*INDEXES, *INDEXES_OF_REPAIRS]:
        op.drop_index(name, "jobs")
    op.create_index("ix_jobs_parent", "jobs", ["parent"])
    op.drop_column("epochs", "step")
    # The code before knows no repairs.
    op.execute("UPDATE jobs SET origin = 'clone' WHERE origin = 'repair'")
    for column in columns():
        op.drop_column("jobs", column.name)


def columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("facts", sa.JSON()),
        sa.Column("incident", sa.JSON()),
        sa.Column("diagnosis", sa.JSON()),
        sa.Column("repair", sa.JSON()),
        sa.Column("remedy", sa.Text()),
        sa.Column("remedied", sa.Text()),
        sa.Column("cured", sa.Boolean()),
    ]
