"""What a client corrects of an uploaded data set: its name, and what its columns are for. No byte is read again."""

from collections.abc import Iterator

from models.column_roles import (
    close_to,
    feature_problems,
    no_columns,
    target_problem,
    task_problem,
    usual_features,
    usual_task,
    with_kinds,
)
from models.columns import Columns, Kind
from models.definitions.base import Strict
from models.definitions.data import ColumnName, Names
from models.definitions.job import Name
from models.definitions.uploaded import Task, Uploaded
from models.errors import InvalidDefinition, Problem
from models.ingest.options import Options


class Corrections(Strict):
    """What is to be different; what is left out stays."""

    name: Name = ""
    """For people."""
    target: ColumnName | None = None
    """The column to predict; `null`: none."""
    features: Names | None = None
    """The columns a network is given; `null`: all numbers, booleans and categories but the target."""
    task: Task | None = None
    """`null`: by the column of the target."""
    kinds: dict[ColumnName, Kind] = {}
    """A number of few whole values, or a boolean, may be a `category`, and the other way round."""


def corrected(uploaded: Uploaded, options: Options, wanted: Corrections) -> tuple[Uploaded, Options]:
    """A data set and its options with what is wanted of its columns.

    Raises:
        InvalidDefinition
    """
    given = wanted.model_dump(exclude_unset=True, exclude={"name"})
    if not given:
        return uploaded, options
    if uploaded.columns is None:
        raise no_columns(f"/{name}" for name in given)
    options = options.model_copy(update=given | {"kinds": options.kinds | wanted.kinds})
    columns = with_kinds(uploaded.columns, wanted.kinds, "/kinds")
    target = options.target if "target" in given else columns.target
    is_new = bool(given.keys() & {"target", "task"}) or target in wanted.kinds
    task = options.task if is_new else uploaded.task
    kept_apart = None if uploaded.window else target
    problems = list(_problems(columns, target, task, options, kept_apart, uploaded.rows))
    if problems:
        raise InvalidDefinition(problems)
    features = options.features or usual_features(columns, kept_apart)
    chosen = columns.model_copy(update={"target": target, "features": features})
    if target is not None and task is None:
        task = usual_task(columns[target], uploaded.rows)
    return uploaded.model_copy(update={"columns": chosen, "task": task if target else None}), options


def _problems(
    columns: Columns, target: str | None, task: Task | None, options: Options, kept_apart: str | None, rows: int
) -> Iterator[Problem]:
    if target is not None and target not in columns:
        yield Problem("/target", "unknown_column", f"There is no column {target!r}.", close_to(target, columns))
    elif target is not None:
        column = columns[target]
        pointer = "/task" if options.task else "/target"
        problem = target_problem(column, "/target") or task_problem(column, task or usual_task(column, rows), pointer)
        if problem:
            yield problem
    if options.features is not None:
        yield from feature_problems(columns, options.features, kept_apart, "/features")
