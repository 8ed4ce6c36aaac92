"""The migrations make the tables that the code knows, and can be undone, on both databases."""

from sqlalchemy import create_engine, inspect

from migrations.check import check
from models.tables import Base


def test_migrations_go_up_down_and_up_again_and_match_the_tables(empty_database_url: str) -> None:
    check(empty_database_url)
    engine = create_engine(empty_database_url)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    engine.dispose()
