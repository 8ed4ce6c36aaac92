"""What a test asks of a database, as the driver is given it: by SQLAlchemy, or by a `Question` itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from sqlalchemy import event

from models.database import Database
from models.questions import Question, Written


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements that are executed meanwhile."""
    executed: list[str] = []
    put = Question._put

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        executed.append(statement)

    def note_question(self: Question, connection: Any, written: Written, values: dict[str, Any]) -> Any:
        executed.append(written.text)
        return put(self, connection, written, values)

    event.listen(database.engine, "before_cursor_execute", note)
    with patch.object(Question, "_put", note_question):
        yield executed
    event.remove(database.engine, "before_cursor_execute", note)
