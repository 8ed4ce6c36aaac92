"""A table with a column of each kind, and series of such rows."""

from typing import Any

from models.columns import Column, Columns
from models.definitions.uploaded import Task, Uploaded, Window

COLUMNS = Columns(
    columns=(
        Column(name="age", kind="number", fill=40.0, missing=3),
        Column(name="member", kind="boolean", categories=("false", "true"), fill=1.0, place=1),
        Column(name="colour", kind="category", categories=("blue", "red", "été"), place=2, stored="code"),
        Column(name="rooms", kind="category", categories=("1", "2", "10"), missing=2, place=3),
        Column(name="bought", kind="category", categories=("no", "yes"), place=4, stored="code"),
    ),
    features=("age", "member", "colour", "rooms"),
    target="bought",
)
WIDTH = 1 + 1 + 3 + 4
NUMBERS = COLUMNS.model_copy(update={"features": ("age", "member")})


def uploaded(columns: Columns = COLUMNS, task: Task = "classification", length: int = 0) -> Uploaded:
    """What a job knows of it; with a `length` it is series."""
    width = columns.width
    return Uploaded(
        kind="sequence" if length else "table",
        rows=50,
        task=task,
        input_shape=(length, width) if length else (width,),
        outputs=2 if task == "classification" else 1,
        classes=("no", "yes") if task == "classification" else (),
        columns=columns,
        window=Window(length=length) if length else None,
    )


def data(**known: Any) -> dict[str, Any]:
    """Of a definition."""
    return {"dataset": "dat_00000000000000000000000000", "uploaded": uploaded(**known).plain()}


ROW = {"age": 31, "member": True, "colour": "red", "rooms": 10}
EMPTY = {"age": None, "member": False, "colour": "été", "rooms": None}
