"""What a job chooses of the columns of an uploaded table: target, task and features."""

from models.column_roles import (
    close_to,
    feature_problems,
    no_columns,
    target_problem,
    task_problem,
    usual_task,
    with_kinds,
)
from models.columns import Column, Columns, listed
from models.definitions.data import Data
from models.definitions.uploaded import Task, Uploaded
from models.errors import InvalidDefinition

MOST_OUTPUTS = 100_000
"""Columns of the feature matrix."""


def chosen_columns(known: Uploaded, data: Data) -> Uploaded:
    """The data set with the target, features and task of a job.

    Raises:
        InvalidDefinition
    """
    if known.columns is None:
        return _without_columns(known, data)
    columns = known.columns
    if data.kinds:
        changed = with_kinds(columns, data.kinds, "/data/kinds")
        columns = changed.model_copy(update={"features": columns.features})
    target = _target(columns, data)
    task = _task(known, columns, target, data)
    features = _features(columns, target, data, known.window is not None)
    classes = target.categories if task == "classification" else ()
    target = target.model_copy(update={"kind": "category"}) if classes else _without_choices(target)
    others = {*features, *filter(None, (columns.group, columns.time))} - {target.name}
    kept = (*(_without_choices(c) for c in columns.columns if c.name in others), target)
    # A copy without what was cached of the other.
    chosen = Columns(columns=kept, features=features, target=target.name, group=columns.group, time=columns.time)
    if chosen.width > MOST_OUTPUTS:
        detail = f"The features have {chosen.width:,} columns once categories are one-hot; at most {MOST_OUTPUTS:,} go."
        raise InvalidDefinition.at(
            "/data/features", "too_many_columns", detail, "Leave out columns of many categories."
        )
    return known.model_copy(
        update={
            "task": task,
            "classes": classes,
            "outputs": len(classes) or 1,
            "input_shape": (known.window.length, chosen.width) if known.window else (chosen.width,),
            "columns": chosen,
        }
    )


def _without_choices(column: Column) -> Column:
    """A number is not taken for a category any more."""
    return column.model_copy(update={"categories": ()}) if column.kind == "number" else column


def _without_columns(known: Uploaded, data: Data) -> Uploaded:
    features = None if isinstance(data.features, str) else data.features
    asked = {"target": data.target, "task": data.task, "features": features, "kinds": data.kinds or None}
    given = [f"/data/{name}" for name, value in asked.items() if value is not None]
    if given:
        raise no_columns(given)
    return known


def _target(columns: Columns, data: Data) -> Column:
    name = data.target or columns.target
    if name is None:
        detail = "The data set has no target yet: it is not known which column to predict."
        raise InvalidDefinition.at("/data/target", "no_target", detail, f"Its columns are {listed(columns.names)}.")
    if name not in columns:
        raise InvalidDefinition.at(
            "/data/target", "unknown_column", f"There is no column {name!r}.", close_to(name, columns)
        )
    target = columns[name]
    problem = target_problem(target, "/data/target")
    if problem:
        raise InvalidDefinition([problem])
    return target


def _task(known: Uploaded, columns: Columns, target: Column, data: Data) -> Task:
    own = known.task if target.name == columns.target and target.name not in data.kinds else None
    task = data.task or own or usual_task(target, known.rows)
    pointer = "/data/task" if data.task else "/data/target"
    problem = task_problem(target, task, pointer)
    if problem:
        raise InvalidDefinition([problem])
    return task


def _features(columns: Columns, target: Column, data: Data, is_series: bool) -> tuple[str, ...]:
    if isinstance(data.features, str):
        names = columns.features if is_series else tuple(name for name in columns.features if name != target.name)
        if not names:
            detail = "Without its target the data set has no feature left."
            raise InvalidDefinition.at("/data/features", "no_features", detail, "Upload a table of more columns.")
        return tuple(names)
    problems = list(feature_problems(columns, data.features, None if is_series else target.name, "/data/features"))
    if problems:
        raise InvalidDefinition(problems)
    return tuple(data.features)
