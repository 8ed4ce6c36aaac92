"""The first tables: jobs, their events, epochs, layers and statistics; workers.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("definition", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("wanted_device", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("fruitless", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("cancel_mode", sa.Text(), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=True),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("best", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("timings", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("statistics_cost", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("first_step_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_owner", "jobs", ["owner", "id"], unique=False)
    op.create_index("ix_jobs_queue", "jobs", ["status", "priority", "id"], unique=False)
    op.create_index("ix_jobs_worker", "jobs", ["worker", "status"], unique=False)

    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("slots", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "epochs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("train_loss", sa.Double(), nullable=True),
        sa.Column("validation_loss", sa.Double(), nullable=True),
        sa.Column("train_accuracy", sa.Double(), nullable=True),
        sa.Column("validation_accuracy", sa.Double(), nullable=True),
        sa.Column("validation_macro_f1", sa.Double(), nullable=True),
        sa.Column("validation_rmse", sa.Double(), nullable=True),
        sa.Column("validation_mae", sa.Double(), nullable=True),
        sa.Column("validation_r2", sa.Double(), nullable=True),
        sa.Column("skill", sa.Double(), nullable=True),
        sa.Column("validation_skill", sa.Double(), nullable=True),
        sa.Column("nonfinite", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_epochs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "epoch", name=op.f("pk_epochs")),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_job", "events", ["job_id", "id"], unique=False)
    op.create_index(
        "uq_events_terminal",
        "events",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("type IN ('job.cancelled', 'job.failed', 'job.succeeded')"),
        postgresql_where=sa.text("type IN ('job.cancelled', 'job.failed', 'job.succeeded')"),
    )

    op.create_table(
        "layer_summaries",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("tensor_index", sa.Integer(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("tensor", sa.Text(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("norm_p5", sa.Double(), nullable=True),
        sa.Column("norm_median", sa.Double(), nullable=True),
        sa.Column("norm_p95", sa.Double(), nullable=True),
        sa.Column("mean_p5", sa.Double(), nullable=True),
        sa.Column("mean_median", sa.Double(), nullable=True),
        sa.Column("mean_p95", sa.Double(), nullable=True),
        sa.Column("std_p5", sa.Double(), nullable=True),
        sa.Column("std_median", sa.Double(), nullable=True),
        sa.Column("std_p95", sa.Double(), nullable=True),
        sa.Column("max_abs_p5", sa.Double(), nullable=True),
        sa.Column("max_abs_median", sa.Double(), nullable=True),
        sa.Column("max_abs_p95", sa.Double(), nullable=True),
        sa.Column("zeros_p5", sa.Double(), nullable=True),
        sa.Column("zeros_median", sa.Double(), nullable=True),
        sa.Column("zeros_p95", sa.Double(), nullable=True),
        sa.Column("nonfinite_p5", sa.Double(), nullable=True),
        sa.Column("nonfinite_median", sa.Double(), nullable=True),
        sa.Column("nonfinite_p95", sa.Double(), nullable=True),
        sa.Column("weight_norm_p5", sa.Double(), nullable=True),
        sa.Column("weight_norm_median", sa.Double(), nullable=True),
        sa.Column("weight_norm_p95", sa.Double(), nullable=True),
        sa.Column("update_ratio_p5", sa.Double(), nullable=True),
        sa.Column("update_ratio_median", sa.Double(), nullable=True),
        sa.Column("update_ratio_p95", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_layer_summaries_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "epoch", "tensor_index", name=op.f("pk_layer_summaries")),
    )
    op.create_table(
        "layers",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("input_shape", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("output_shape", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("init", sa.Text(), nullable=False),
        sa.Column("tensors", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_layers_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_layers")),
    )
    op.create_table(
        "statistics",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_statistics_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "first_step", name=op.f("pk_statistics")),
    )


def downgrade() -> None:
    op.drop_table("statistics")
    op.drop_table("layers")
    op.drop_table("layer_summaries")
    op.drop_index(
        "uq_events_terminal",
        "events",
        sqlite_where=sa.text("type IN ('job.cancelled', 'job.failed', 'job.succeeded')"),
        postgresql_where=sa.text("type IN ('job.cancelled', 'job.failed', 'job.succeeded')"),
    )
    op.drop_index("ix_events_job", "events")

    op.drop_table("events")
    op.drop_table("epochs")
    op.drop_table("workers")
    op.drop_index("ix_jobs_worker", "jobs")
    op.drop_index("ix_jobs_queue", "jobs")
    op.drop_index("ix_jobs_owner", "jobs")

    op.drop_table("jobs")
