"""Series of hidden layers and of time beside those of tensors; restarts; the norm after clipping;
whether a worker computes in bfloat16.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

QUANTILES = ("p5", "median", "p95")


def upgrade() -> None:
    with op.batch_alter_table("statistics") as table:
        table.add_column(sa.Column("series", sa.Text(), nullable=False, server_default="tensors"))
        table.drop_constraint("pk_statistics", type_="primary")
        table.create_primary_key("pk_statistics", ["job_id", "series", "first_step"])
    with op.batch_alter_table("statistics") as table:
        table.alter_column("series", server_default=None)
    with op.batch_alter_table("epochs") as table:
        table.add_column(sa.Column("run", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("learning_rate", sa.Double(), nullable=True))
    with op.batch_alter_table("epochs") as table:
        table.alter_column("run", server_default=None)
    with op.batch_alter_table("layer_summaries") as table:
        for quantile in QUANTILES:
            table.add_column(sa.Column(f"norm_clipped_{quantile}", sa.Double(), nullable=True))
    op.add_column("workers", sa.Column("bfloat16", sa.Boolean(), nullable=False, server_default=sa.true()))
    with op.batch_alter_table("workers") as table:
        table.alter_column("bfloat16", server_default=None)
    op.add_column("jobs", sa.Column("runs", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "runs")
    op.drop_column("workers", "bfloat16")
    with op.batch_alter_table("layer_summaries") as table:
        for quantile in QUANTILES:
            table.drop_column(f"norm_clipped_{quantile}")
    with op.batch_alter_table("epochs") as table:
        table.drop_column("learning_rate")
        table.drop_column("run")
    op.execute("DELETE FROM statistics WHERE series <> 'tensors'")
    with op.batch_alter_table("statistics") as table:
        table.drop_constraint("pk_statistics", type_="primary")
        table.create_primary_key("pk_statistics", ["job_id", "first_step"])
        table.drop_column("series")
