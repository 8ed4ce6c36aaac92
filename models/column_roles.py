"""What the columns of a table can be: which can be a target, of which task, which a feature, and of which kind."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from models.columns import ENCODED, Column, Columns, Kind, listed
from models.definitions.uploaded import Task
from models.errors import InvalidDefinition, Problem
from models.json_body import escape


def target_problem(target: Column, pointer: str) -> Problem | None:
    """Why a column cannot be a target, if so."""
    if target.kind not in ENCODED:
        detail = f"The column {target.name!r} is a {target.kind}: it can be no target."
        return Problem(pointer, "wrong_target", detail, "Name a column of numbers, booleans or categories.")
    if target.missing:
        detail = f"The target {target.name!r} is missing in {target.missing:,} rows."
        return Problem(pointer, "missing_target", detail, "Leave out those rows, or name another target.")
    return None


def task_problem(target: Column, task: Task, pointer: str) -> Problem | None:
    """Why a target is not one of a task, if so."""
    if task == "regression" and target.kind == "category":
        detail = f"A regression predicts numbers, and {target.name!r} holds categories."
        return Problem(pointer, "wrong_task", detail, 'Write "classification", or leave it out.')
    if task == "classification" and not target.categories:
        detail = f"The numbers of {target.name!r} are no classes: they have parts, or too many values."
        return Problem(pointer, "wrong_task", detail, 'Write "regression", or leave it out.')
    if task == "classification" and len(target.categories) == 1:
        detail = f"The target {target.name!r} has one class alone, {target.categories[0]!r}."
        return Problem(pointer, "one_class", detail, "There is nothing to learn from; name another target.")
    return None


def usual_task(target: Column, rows: int) -> Task:
    """A number of few whole values is taken for a class."""
    few = 2 <= len(target.categories) <= min(20, rows // 10)
    return "classification" if target.kind != "number" or few else "regression"


def usual_features(columns: Columns, target: str | None) -> tuple[str, ...]:
    """All that can be features. `target`: None where it may be one too, in series."""
    others = (columns.group, columns.time, target)
    return tuple(c.name for c in columns.columns if c.kind in ENCODED and c.name not in others)


def feature_problems(columns: Columns, names: Sequence[str], target: str | None, pointer: str) -> Iterator[Problem]:
    """Of names that are to be features. `target`: None where it may be one too, in series."""
    for place, name in enumerate(names):
        at = f"{pointer}/{place}"
        if name not in columns:
            yield Problem(at, "unknown_column", f"There is no column {name!r}.", close_to(name, columns))
        elif name in names[:place]:
            yield Problem(at, "repeated_column", f"{name!r} is there twice.", "Remove one.")
        elif columns[name].kind not in ENCODED:
            detail = f"The column {name!r} is a {columns[name].kind}: it can be no feature."
            yield Problem(at, "wrong_feature", detail, "Remove it.")
    if target is not None and target in names:
        detail = f"{target!r} is the target: a network that is given it has nothing to learn."
        yield Problem(f"{pointer}/{names.index(target)}", "target_as_feature", detail, "Remove it.")


def with_kinds(columns: Columns, kinds: Mapping[str, Kind], pointer: str) -> Columns:
    """The columns with other kinds, and without features yet. `pointer`: where the kinds are in what was sent.

    Raises:
        InvalidDefinition: there is no such column, or its stored values cannot be taken for that.
    """
    problems, changed = [], []
    for name in kinds:
        if name not in columns:
            detail = f"There is no column {name!r}."
            problems.append(Problem(f"{pointer}/{escape(name)}", "unknown_column", detail, close_to(name, columns)))
    for column in columns.columns:
        kind = kinds.get(column.name, column.kind)
        if kind == column.kind:
            changed.append(column)
        elif kind in possible_kinds(column):
            changed.append(column.model_copy(update={"kind": kind}))
        else:
            detail = f"{column.name!r} was read as a {column.kind}, and cannot be taken for a {kind} any more."
            hint = "Upload the file again with these `kinds`."
            problems.append(Problem(f"{pointer}/{escape(column.name)}", "wrong_kind", detail, hint))
    if problems:
        raise InvalidDefinition(problems)
    # A copy without what was cached of the other.
    return Columns(columns=tuple(changed), features=(), target=columns.target, group=columns.group, time=columns.time)


def possible_kinds(column: Column) -> set[Kind]:
    """What the stored values can be taken for."""
    if column.kind in ("text", "time"):
        return set()
    if column.categories == ("false", "true") and column.stored == "code":
        return {"boolean", "category"}
    if column.stored == "value":
        return {"number", "category"} if column.categories else {"number"}
    return {"category"}


def no_columns(pointers: Iterable[str]) -> InvalidDefinition:
    """What was said of the columns of a data set that has none."""
    detail = "This data set has no columns to choose from."
    return InvalidDefinition([Problem(pointer, "no_columns", detail, "Leave it out.") for pointer in pointers])


def close_to(name: str, columns: Columns) -> str:
    """A hint for a name that no column has."""
    close = difflib.get_close_matches(name, columns.names, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Its columns are {listed(columns.names)}."
