"""What an operator watches: tallies, where a job came from, and when it was last heard of.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OF_JOBS = {
    "request_id": sa.Text,
    "traceparent": sa.Text,
    "reported_at": sa.Double,
    "checkpoint_at": sa.Double,
}


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "label", "detail")),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tallies"),
    )
    for name, kind in OF_JOBS.items():
        op.add_column("jobs", sa.Column(name, kind(), nullable=True))


def downgrade() -> None:
    for name in OF_JOBS:
        op.drop_column("jobs", name)
    op.drop_table("tallies")
