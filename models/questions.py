"""Questions that are asked often, put to the driver itself: SQLAlchemy's bookkeeping takes longer than most answers."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, CompoundSelect, Connection, Dialect, Select

Asked = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Readers = list[tuple[int, Callable[[Any], Any]]]


@dataclass(frozen=True)
class Written:
    """A statement in the words of one database."""

    text: str
    order: list[str] | None
    """Of its parameters, where they have no names."""
    constants: dict[str, Any]
    readers: Readers
    """Of columns of JSON, by their place, where the driver does not read it. All others come as Python's types."""
    cursor: dict[str, Any]


class Question:
    """A SELECT that is written out once for each database; its rows are named tuples."""

    def __init__(self, statement: Asked) -> None:
        self.statement = statement
        self.row = _row_of(statement)
        self._written: dict[str, Written] = {}

    def one(self, connection: Connection, **values: Any) -> Any:
        """The row, or None if there is none."""
        rows = self.all(connection, **values)
        return rows[0] if rows else None

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """The rows.

        Raises:
            SQLAlchemyError
        """
        dialect = connection.dialect
        written = self._written.get(dialect.name) or self._write(dialect)
        found = self._put(connection, written, values)
        if found is None:
            # What went wrong SQLAlchemy can tell, which also drops a connection that is lost.
            return list(connection.execute(self.statement, values))
        if not written.readers:
            return list(map(self.row._make, found))
        return [self.row._make(_read(row, written.readers)) for row in found]

    def _put(self, connection: Connection, written: Written, values: dict[str, Any]) -> list[Any] | None:
        """The driver's rows; None where it raised an error."""
        given: Any = written.constants | values
        if written.order is not None:
            given = [given[name] for name in written.order]
        cursor = connection.connection.cursor(**written.cursor)
        try:
            cursor.execute(written.text, given)
            return list(cursor.fetchall())
        except connection.dialect.loaded_dbapi.Error:
            return None
        finally:
            cursor.close()

    def _write(self, dialect: Dialect) -> Written:
        compiled: Any = self.statement.compile(dialect=dialect)
        columns = [column.type.dialect_impl(dialect) for column in self.statement.selected_columns]
        found = [kind.result_processor(dialect, None) if isinstance(kind, JSON) else None for kind in columns]
        readers: Readers = [(place, read) for place, read in enumerate(found) if read is not None]
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        # PostgreSQL sends bytes as hexadecimal text otherwise: twice as many, and to be read again.
        cursor = {"binary": True} if dialect.name == "postgresql" else {}
        order = compiled.positiontup if dialect.positional else None
        written = self._written[dialect.name] = Written(str(compiled), order, constants, readers, cursor)
        return written


def _row_of(statement: Asked) -> Any:
    return namedtuple("Row", statement.selected_columns.keys(), rename=True)


def _read(row: tuple[Any, ...], readers: Readers) -> list[Any]:
    values = list(row)
    for place, read in readers:
        values[place] = read(values[place])
    return values
