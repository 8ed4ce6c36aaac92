"""Losses of some epochs of some jobs, found by their keys."""

from typing import Any

from sqlalchemy import event, insert

from models.database import Database
from models.queries import losses_at
from models.tables import epochs
from tests.factories import a_queued_job


def test_losses_are_found_by_job_and_epoch_without_reading_the_table(database: Database) -> None:
    one, other = a_queued_job(database), a_queued_job(database)
    rows = [
        {"job_id": job, "epoch": epoch, "run": 0, "train_loss": epoch / 10, "nonfinite": {}, "seconds": 0.0}
        for job in (one, other)
        for epoch in range(1, 6)
    ]
    asked: list[tuple[str, Any]] = []
    with database.write() as connection:
        connection.execute(insert(epochs), rows)
    event.listen(database.engine, "before_cursor_execute", lambda c, cursor, sql, given, *_: asked.append((sql, given)))
    with database.read() as connection:
        assert losses_at(connection, []) == {}
        assert losses_at(connection, [(one, 5), (other, 2), (one, 1), (other, 9)]) == {one: [0.1, 0.5], other: [0.2]}
        if database.engine.dialect.name == "sqlite":
            statement, given = asked[-1]
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
            assert any("SEARCH epochs USING" in row[3] for row in plan), plan
