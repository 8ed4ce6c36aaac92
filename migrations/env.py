"""Alembic's entry: one transaction for all revisions, on the database that `migrate` was given."""

from alembic import context
from sqlalchemy import text

from models.database import Database
from models.settings import read_settings
from models.tables import Base

MIGRATION_LOCK = 0x0DE5CE17
"""Key of PostgreSQL's advisory lock; SQLite's BEGIN IMMEDIATE does the same by itself."""


def run() -> None:
    database = Database(context.config.attributes.get("url") or read_settings().database)
    with database.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.configure(
            connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_server_default=True
        )
        with context.begin_transaction():
            context.run_migrations()
    database.close()


run()
