"""Another uploaded data set to validate on: read as the one that is trained on, and like it."""

from collections.abc import Iterator, Sequence

from models.chosen_columns import chosen_columns
from models.column_roles import possible_kinds
from models.columns import Columns, Kind
from models.definitions.data import Data
from models.definitions.uploaded import Uploaded
from models.errors import InvalidDefinition, Problem

AT = "/data/validation/dataset"


def read_alike(known: Uploaded, data: Data, uploaded: Uploaded) -> Uploaded:
    """With the target, features, task and kinds of `uploaded`, which is trained on.

    Raises:
        InvalidDefinition: its columns cannot be taken for those.
    """
    if known.columns is None or uploaded.columns is None:
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
        told = [Problem(AT, p.code, p.detail, p.hint) for p in error.problems]
        raise InvalidDefinition(told) from error


def _same_kinds(trained: Columns, other: Columns) -> dict[str, Kind]:
    """Those of what is trained on, for the columns that can be taken for them."""
    shared = [column for column in trained.columns if column.name in other]
    return {column.name: column.kind for column in shared if column.kind in possible_kinds(other[column.name])}


def differences(trained: Uploaded, other: Uploaded) -> Iterator[Problem]:
    """What keeps a data set from being the validation of another."""
    if (trained.kind, trained.task, trained.per_step) != (other.kind, other.task, other.per_step):
        detail = f"It is of another kind: {other.kind}, {other.task}, and not {trained.kind}, {trained.task}."
        yield Problem(AT, "other_kind", detail, "Give a data set like the one that is trained on.")
        return
    if trained.columns is None or other.columns is None:
        are_texts = "words" in trained.arrays and "words" in other.arrays
        if trained.input_shape != other.input_shape:
            detail = f"Its rows have the shape {list(other.input_shape)}, and not {list(trained.input_shape)}."
            hint = f"Upload it with length={trained.input_shape[0]}." if are_texts else "Give one of the same shape."
            yield Problem(AT, "other_shape", detail, hint)
        if other.vocabulary > trained.vocabulary and not are_texts:
            detail = f"It has {other.vocabulary} different tokens, and what is trained on {trained.vocabulary}."
            yield Problem(AT, "other_vocabulary", detail, "Give one whose tokens are among those.")
        yield from _unknown_categories("the target", trained.classes, other.classes)
        return
    for column in (*trained.columns.inputs, trained.columns[trained.columns.target or ""]):
        twin = other.columns[column.name]
        if column.kind != twin.kind:
            detail = f"The column {column.name!r} is a {twin.kind} there, and a {column.kind} in what is trained on."
            yield Problem(AT, "other_column", detail, "PATCH its `kinds`, or upload it with them.")
            continue
        if column.kind == "category":
            yield from _unknown_categories(repr(column.name), column.categories, twin.categories)
        if column.kind == "category" and twin.missing and not column.missing:
            detail = f"Values of {column.name!r} are missing there, and none in what is trained on."
            yield Problem(AT, "missing_value", detail, "Leave out those rows.")


def _unknown_categories(where: str, known: Sequence[str], others: Sequence[str]) -> Iterator[Problem]:
    names = set(known)
    unknown = [name for name in others if name not in names]
    if unknown:
        detail = f"It has {', '.join(map(repr, unknown[:5]))} in {where}, which what is trained on has not."
        yield Problem(AT, "unknown_category", detail, "Leave out those rows.")
