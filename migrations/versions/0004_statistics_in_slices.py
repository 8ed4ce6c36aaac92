"""Statistics are stored as they are on PostgreSQL, so that a slice of a chunk is read without the rest of it.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    store("EXTERNAL")


def downgrade() -> None:
    store("EXTENDED")


def store(how: str) -> None:
    """Chunks that are there stay as they are: they are read either way."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE statistics ALTER COLUMN data SET STORAGE {how}")
