"""From an uploaded data set to what a job trains on: which columns, which target, how many classes."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.columns import ENCODED, Column, Columns, Kind
from models.definitions.data import Data, ValidationSet
from models.definitions.uploaded import Task, Uploaded
from models.errors import InvalidDefinition, Problem
from models.json_body import escape

LEAST_ROWS = 2
MOST_OUTPUTS = 100_000
"""Columns of the feature matrix."""


@dataclass(frozen=True)
class Upload:
    """An uploaded data set, as far as a job has to know it."""

    id: str
    status: Literal["ingesting", "ready", "failed"]
    uploaded: Uploaded | None
    """Of a `ready` one."""


Uploads = Callable[[str], Upload | None]
"""Finds one by its id, among those of an owner."""


def no_uploads(dataset: str) -> None:
    return None


def is_upload(dataset: str) -> bool:
    return dataset.startswith("dat_")


def resolve(data: Data, uploads: Uploads) -> Data:
    """The data of a job with what is known of its uploads and what was chosen of them, so that they say the same
    whatever is corrected later; those of a built-in set as they are.

    Raises:
        InvalidDefinition: there is no such upload, or it has not what is asked for.
    """
    if not is_upload(data.dataset):
        problems = list(_only_for_uploads(data))
        if problems:
            raise InvalidDefinition(problems)
        return data if data.uploaded is None else data.model_copy(update={"uploaded": None})
    known = _find(uploads, data.dataset, "/data/dataset")
    uploaded = chosen_columns(known, data)
    problems = list(_split_problems(data, uploaded))
    chosen = data.model_copy(update={"uploaded": uploaded} | _choices(known, uploaded, data))
    if data.validation_set is not None:
        try:
            chosen = validated_on(chosen, data.validation_set, uploads)
        except InvalidDefinition as error:
            problems += error.problems
    if problems:
        raise InvalidDefinition(problems)
    return chosen


def validated_on(data: Data, chosen: ValidationSet, uploads: Uploads) -> Data:
    """Resolved data with another upload for validation; it is read as the one that is trained on was.

    Raises:
        InvalidDefinition: there is no such upload, or its rows are not like those that are trained on.
    """
    assert data.uploaded is not None
    other = _validation(chosen, uploads, data, data.uploaded)
    problems = list(_differences(data.uploaded, other))
    if problems:
        raise InvalidDefinition(problems)
    return data.model_copy(update={"validation": chosen.model_copy(update={"uploaded": other})})


def _choices(known: Uploaded, uploaded: Uploaded, data: Data) -> dict[str, object]:
    """What decides how the columns are read, by the names of a definition. Of kinds those that could be others."""
    if known.columns is None or uploaded.columns is None:
        return {}
    columns = with_kinds(known.columns, data.kinds, "/data/kinds")
    used = dict.fromkeys((*uploaded.columns.features, uploaded.columns.target or ""))
    kinds = {name: columns[name].kind for name in used if len(possible_kinds(columns[name])) > 1}
    features = data.features if data.features == "last" else uploaded.columns.features
    return {"target": uploaded.columns.target, "task": uploaded.task, "features": features, "kinds": kinds}


def _only_for_uploads(data: Data) -> Iterator[Problem]:
    asked = {
        "target": data.target is not None,
        "task": data.task is not None,
        "features": not isinstance(data.features, str),
        "kinds": bool(data.kinds),
        "validation": data.validation_set is not None,
    }
    for name, is_asked in asked.items():
        if is_asked:
            detail = f"`{name}` like this is for uploaded data sets; {data.dataset!r} is built in."
            yield Problem(f"/data/{name}", "only_for_uploads", detail, "Leave it out.")
    if data.split == "group":
        detail = "The built-in data sets have no groups."
        yield Problem("/data/split", "no_groups", detail, 'Write "random", or leave it out.')


def _find(uploads: Uploads, dataset: str, pointer: str) -> Uploaded:
    known = uploads(dataset)
    if known is None:
        detail = f"There is no data set {dataset!r}."
        raise _refused(pointer, "unknown_dataset", detail, "GET /v1/datasets lists those there are.")
    if known.uploaded is None:
        what = "is still being read" if known.status == "ingesting" else "could not be read"
        hint = "Wait until its status is ready." if known.status == "ingesting" else "Its `error` says why."
        raise _refused(pointer, "dataset_not_ready", f"The data set {dataset!r} {what}.", hint)
    return known.uploaded


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
    chosen = columns.model_copy(update={"columns": kept, "features": features, "target": target.name})
    chosen = Columns.model_validate(chosen.plain())  # without what was cached of the other
    if chosen.width > MOST_OUTPUTS:
        detail = f"The features have {chosen.width:,} columns once categories are one-hot; at most {MOST_OUTPUTS:,} go."
        raise _refused("/data/features", "too_many_columns", detail, "Leave out columns of many categories.")
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
    problems = [
        Problem(f"/data/{name}", "no_columns", "This data set has no columns to choose from.", "Leave it out.")
        for name, value in asked.items()
        if value is not None
    ]
    if problems:
        raise InvalidDefinition(problems)
    return known


def _target(columns: Columns, data: Data) -> Column:
    name = data.target or columns.target
    if name is None:
        detail = "The data set has no target yet: it is not known which column to predict."
        raise _refused("/data/target", "no_target", detail, f"Its columns are {_listed(columns)}.")
    if name not in columns:
        raise _refused("/data/target", "unknown_column", f"There is no column {name!r}.", close_to(name, columns))
    target = columns[name]
    problem = target_problem(target, "/data/target")
    if problem:
        raise InvalidDefinition([problem])
    return target


def target_problem(target: Column, pointer: str) -> Problem | None:
    """Why a column cannot be a target, if so."""
    if target.kind not in ENCODED:
        detail = f"The column {target.name!r} is a {target.kind}: it can be no target."
        return Problem(pointer, "wrong_target", detail, "Name a column of numbers, booleans or categories.")
    if target.missing:
        detail = f"The target {target.name!r} is missing in {target.missing:,} rows."
        return Problem(pointer, "missing_target", detail, "Leave out those rows, or name another target.")
    return None


def _task(known: Uploaded, columns: Columns, target: Column, data: Data) -> Task:
    own = known.task if target.name == columns.target and target.name not in data.kinds else None
    task = data.task or own or usual_task(target, known.rows)
    pointer = "/data/task" if data.task else "/data/target"
    problem = task_problem(target, task, pointer)
    if problem:
        raise InvalidDefinition([problem])
    return task


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


def _features(columns: Columns, target: Column, data: Data, is_series: bool) -> tuple[str, ...]:
    if isinstance(data.features, str):
        names = columns.features if is_series else tuple(name for name in columns.features if name != target.name)
        if not names:
            detail = "Without its target the data set has no feature left."
            raise _refused("/data/features", "no_features", detail, "Upload a table of more columns.")
        return tuple(names)
    problems = list(feature_problems(columns, data.features, "/data/features"))
    if not is_series and target.name in data.features:
        place = data.features.index(target.name)
        detail = f"{target.name!r} is the target: a network that is given it has nothing to learn."
        problems.append(Problem(f"/data/features/{place}", "target_as_feature", detail, "Remove it."))
    if problems:
        raise InvalidDefinition(problems)
    return tuple(data.features)


def feature_problems(columns: Columns, names: Sequence[str], pointer: str) -> Iterator[Problem]:
    """Of names that are to be features."""
    for place, name in enumerate(names):
        at = f"{pointer}/{place}"
        if name not in columns:
            yield Problem(at, "unknown_column", f"There is no column {name!r}.", close_to(name, columns))
        elif name in names[:place]:
            yield Problem(at, "repeated_column", f"{name!r} is there twice.", "Remove one.")
        elif columns[name].kind not in ENCODED:
            detail = f"The column {name!r} is a {columns[name].kind}: it can be no feature."
            yield Problem(at, "wrong_feature", detail, "Remove it.")


def _split_problems(data: Data, uploaded: Uploaded) -> Iterator[Problem]:
    if data.split == "stratified" and (uploaded.task != "classification" or uploaded.per_step):
        detail = "A stratified split goes by classes, and the rows have none."
        yield Problem("/data/split", "no_classes", detail, 'Write "random", or leave it out.')
    if data.split == "group":
        columns = uploaded.columns
        if columns is None or columns.group is None:
            detail = "The data set has no column of groups."
            yield Problem("/data/split", "no_groups", detail, "Upload it with `group`, the name of a column.")
        elif columns[columns.group].distinct < LEAST_ROWS:
            detail = f"All rows are of one group by {columns.group!r}."
            yield Problem("/data/split", "one_group", detail, 'Write "random", or leave it out.')
    if data.validation is not None and uploaded.rows < LEAST_ROWS:
        detail = "One row can not be split."
        yield Problem("/data/validation", "too_few_rows", detail, 'Write null, or "validation": {"dataset": ...}.')


def _validation(chosen: ValidationSet, uploads: Uploads, data: Data, uploaded: Uploaded) -> Uploaded:
    if not is_upload(chosen.dataset):
        detail = "A data set for validation is an uploaded one."
        raise _refused("/data/validation/dataset", "not_uploaded", detail, "Give the id of one: dat_...")
    known = _find(uploads, chosen.dataset, "/data/validation/dataset")
    if (known.columns is None) != (uploaded.columns is None) or known.columns is None or uploaded.columns is None:
        return known
    same = {
        "target": uploaded.columns.target,
        "task": uploaded.task,
        "features": tuple(uploaded.columns.features),
        "kinds": _same_kinds(uploaded.columns, known.columns),
    }
    try:
        return chosen_columns(known, data.model_copy(update=same))
    except InvalidDefinition as error:
        told = [Problem("/data/validation/dataset", p.code, p.detail, p.hint) for p in error.problems]
        raise InvalidDefinition(told) from error


def _same_kinds(trained: Columns, other: Columns) -> dict[str, Kind]:
    """Those of what is trained on, for the columns that can be taken for them."""
    shared = [column for column in trained.columns if column.name in other]
    return {column.name: column.kind for column in shared if column.kind in possible_kinds(other[column.name])}


def _differences(trained: Uploaded, other: Uploaded) -> Iterator[Problem]:
    """What keeps a data set from being the validation of another."""
    at = "/data/validation/dataset"
    if (trained.kind, trained.task, trained.per_step) != (other.kind, other.task, other.per_step):
        detail = f"It is of another kind: {other.kind}, {other.task}, and not {trained.kind}, {trained.task}."
        yield Problem(at, "other_kind", detail, "Give a data set like the one that is trained on.")
        return
    if trained.columns is None or other.columns is None:
        if trained.input_shape != other.input_shape or other.vocabulary > trained.vocabulary:
            detail = f"Its rows have the shape {list(other.input_shape)}, and not {list(trained.input_shape)}."
            yield Problem(at, "other_shape", detail, "Give a data set of the same shape.")
        yield from _unknown_categories("the target", trained.classes, other.classes)
        if _words(trained) != _words(other):
            detail = "Its words have other numbers: tokens are numbered by the texts of their own data set."
            yield Problem(at, "other_words", detail, "Keep a share of the rows for validation.")
        return
    for column in (*trained.columns.inputs, trained.columns[trained.columns.target or ""]):
        twin = other.columns[column.name]
        if column.kind != twin.kind:
            detail = f"The column {column.name!r} is a {twin.kind} there, and a {column.kind} in what is trained on."
            yield Problem(at, "other_column", detail, "PATCH its `kinds`, or upload it with them.")
            continue
        if column.kind == "category":
            yield from _unknown_categories(repr(column.name), column.categories, twin.categories)
        if column.kind == "category" and twin.missing and not column.missing:
            detail = f"Values of {column.name!r} are missing there, and none in what is trained on."
            yield Problem(at, "missing_value", detail, "Leave out those rows.")


def _words(known: Uploaded) -> str | None:
    return known.arrays["words"].sha256 if "words" in known.arrays else None


def _unknown_categories(where: str, known: Sequence[str], others: Sequence[str]) -> Iterator[Problem]:
    unknown = [name for name in others if name not in known]
    if unknown:
        detail = f"It has {', '.join(map(repr, unknown[:5]))} in {where}, which what is trained on has not."
        yield Problem("/data/validation/dataset", "unknown_category", detail, "Leave out those rows.")


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


def close_to(name: str, columns: Columns) -> str:
    close = difflib.get_close_matches(name, [column.name for column in columns.columns], n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Its columns are {_listed(columns)}."


def _listed(columns: Columns) -> str:
    names = [column.name for column in columns.columns]
    return ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _refused(pointer: str, code: str, detail: str, hint: str) -> InvalidDefinition:
    return InvalidDefinition([Problem(pointer, code, detail, hint)])
