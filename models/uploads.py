"""The uploads that a job names, and its data with what is known of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from models.chosen_columns import chosen_columns
from models.column_roles import possible_kinds, with_kinds
from models.definitions.data import Data, ValidationSet
from models.definitions.uploaded import Uploaded
from models.errors import InvalidDefinition, Problem
from models.validation_set import AT, differences, read_alike

LEAST_ROWS = 2


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
    if not is_upload(chosen.dataset):
        detail = "A data set for validation is an uploaded one."
        raise InvalidDefinition.at(AT, "not_uploaded", detail, "Give the id of one: dat_...")
    known = _find(uploads, chosen.dataset, AT)
    other = read_alike(known, data, data.uploaded)
    problems = list(differences(data.uploaded, other))
    if problems:
        raise InvalidDefinition(problems)
    return data.model_copy(update={"validation": chosen.model_copy(update={"uploaded": other})})


def _find(uploads: Uploads, dataset: str, pointer: str) -> Uploaded:
    known = uploads(dataset)
    if known is None:
        detail = f"There is no data set {dataset!r}."
        raise InvalidDefinition.at(pointer, "unknown_dataset", detail, "GET /v1/datasets lists those there are.")
    if known.uploaded is None:
        what = "is still being read" if known.status == "ingesting" else "could not be read"
        hint = "Wait until its status is ready." if known.status == "ingesting" else "Its `error` says why."
        raise InvalidDefinition.at(pointer, "dataset_not_ready", f"The data set {dataset!r} {what}.", hint)
    return known.uploaded


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
