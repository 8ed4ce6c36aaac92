"""From an uploaded file to arrays in a folder, and to what is known of them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.column_roles import close_to, feature_problems, target_problem, task_problem, usual_features, usual_task
from models.columns import Column, Columns
from models.definitions.uploaded import Uploaded
from models.errors import InvalidDataset, Problem
from models.ingest.archive import open_zip
from models.ingest.csv_file import read_csv
from models.ingest.gathered import Gathered
from models.ingest.images import read_images
from models.ingest.npz_file import read_npz
from models.ingest.numbers import MOST_EXACT
from models.ingest.options import Format, Options
from models.ingest.parquet_file import read_parquet
from models.ingest.refusal import refused
from models.ingest.second_pass import Table
from models.ingest.series import cut_series
from models.ingest.table import PREVIEW_ROWS, PREVIEW_VALUES, TableWriter
from models.ingest.texts import TextWriter, cut_texts
from models.ingest.values import plain
from models.json_body import escape

USUAL_TARGETS = ("target", "label", "class", "y")
MANY_CATEGORIES = 100
UNIQUE, LEAST_UNIQUE = 0.9, 20
"""A guessed category of so many different values a row is likely to be something else; rows that show it."""
ONLY_FOR: dict[str, tuple[str, tuple[Format, ...], tuple[str, ...]]] = {
    "only_for_tables": (
        "tables",
        ("csv", "parquet"),
        ("target", "features", "kinds", "group", "time", "text", "length", "horizon", "stride"),
    ),
    "only_for_csv": ("a CSV", ("csv",), ("delimiter", "header", "encoding")),
    "only_for_npz": ("an NPZ", ("npz",), ("layout", "vocabulary")),
    "only_for_images": ("images", ("images",), ("image_size",)),
}
"""By the code of the problem: formats, and the options that are for nothing else."""
Summary = dict[str, Any]


def read_file(path: Path, options: Options, folder: Path, most_bytes: int) -> tuple[Format, Uploaded, Summary]:
    """Writes the arrays of a file into a folder. Of the result `arrays` are still missing.

    Raises:
        InvalidDataset: with all that is wrong with it.
    """
    kind = format_of(path) if options.format == "auto" else options.format
    if useless := list(_useless(kind, options)):
        raise InvalidDataset(useless)
    if kind in ("csv", "parquet"):
        return kind, *read_table(kind, path, options, folder)
    reader = read_npz if kind == "npz" else read_images
    uploaded, summary = reader(path, options, folder, most_bytes)
    return kind, uploaded, summary | {"preview": preview_of(folder)}


def _useless(kind: Format, options: Options) -> Iterator[Problem]:
    """Options that would do nothing."""
    for code, (what, formats, names) in ONLY_FOR.items():
        for name in names:
            if kind not in formats and getattr(options, name) != Options.model_fields[name].default:
                detail = f"`{name}` is for {what}, and this is {kind}."
                yield Problem(f"/{name}", code, detail, "Leave it out.")


def preview_of(folder: Path) -> Summary:
    """The first values of `x` and `y`, row by row."""
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("x", "y"))
    few = min(PREVIEW_ROWS, max(1, PREVIEW_VALUES // max(x[0].size, 1)))
    firsts = [list(map(plain, row.ravel()[:PREVIEW_VALUES].tolist())) for row in x[:few]]
    return {"columns": ["x", "y"], "rows": [[first, y[place].tolist()] for place, first in enumerate(firsts)]}


def format_of(path: Path) -> Format:
    """By the first bytes of a file."""
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with open_zip(path) as archive:
            names = archive.namelist()
        return "npz" if any(name.endswith(".npy") for name in names) else "images"
    others = {b"\x93NUMPY": "one array: send an NPZ of `x` and `y`", b"\x1f\x8b": "gzip: unpack it"}
    others |= {b"\x89PNG": "one image: send a zip of folders", b"\xd0\xcf\x11\xe0": "an Office file: save it as CSV"}
    for magic, what in others.items():
        if start.startswith(magic):
            raise refused("unknown_format", f"The file is {what}.", "Send a CSV, a Parquet file, an NPZ, or a zip.")
    return "csv"


def read_table(kind: Format, path: Path, options: Options, folder: Path) -> tuple[Uploaded, Summary]:
    """A CSV or Parquet file."""

    opened = ExitStack()

    def new_writer(schema: pa.Schema) -> TableWriter:
        _refuse_unknown(schema.names, options)
        text = options.text
        writer = (
            TableWriter(schema, folder, options.kinds, options.group, options.time)
            if text is None
            else TextWriter(schema, folder, text)
        )
        opened.callback(writer.close)
        return writer

    warnings: list[dict[str, str]] = []
    with opened:
        if kind == "csv":
            writer, warnings = read_csv(path, options, new_writer)
        else:
            writer = read_parquet(path, new_writer)
        table = writer.finish()
    warnings += _warnings(table, options)
    preview = {"columns": [column.name for column in table.columns], "rows": writer.preview}
    columns = Columns(columns=table.columns, features=(), group=options.group, time=options.time)
    if options.task == "classification" and options.target is not None:
        _refuse_large_classes(table, options.target)
    target, told = choose_target(columns, options, table.rows)
    warnings += told
    if isinstance(writer, TextWriter):
        if target is None:
            detail = "Texts need a target, and no column is likely to be it."
            raise refused("no_target", detail, "Send target=<column>.", "/target")
        task = options.task or usual_task(target, table.rows)
        uploaded = cut_texts(writer, folder, target, task, options.length)
        said = [said for said in table.statistics() if said["name"] in (options.text, target.name)]
        return uploaded, {"warnings": warnings, "columns": said, "preview": preview}
    chosen = with_parts(columns, target, options, table.rows)
    rows = cut_series(folder, chosen, options.window) if options.window else table.rows
    uploaded = Uploaded(
        kind="sequence" if options.window else "table",
        rows=rows,
        task=(options.task or usual_task(target, table.rows)) if target else None,
        columns=chosen,
        window=options.window,
    )
    return uploaded, {"warnings": warnings, "columns": table.statistics(), "preview": preview}


def _refuse_unknown(names: list[str], options: Options) -> None:
    """What the options name and the file has not."""
    known = Columns(columns=tuple(Column(name=name, kind="text") for name in names), features=())
    single = {f"/{field}": getattr(options, field) for field in ("target", "group", "time", "text")}
    wanted = single | {f"/kinds/{escape(name)}": name for name in options.kinds}
    wanted |= {f"/features/{place}": name for place, name in enumerate(options.features or ())}
    problems = [
        Problem(pointer, "unknown_column", f"There is no column {name!r}.", close_to(name, known))
        for pointer, name in wanted.items()
        if name is not None and name not in known
    ]
    if problems:
        raise InvalidDataset(problems)


def choose_target(columns: Columns, options: Options, rows: int) -> tuple[Column | None, list[dict[str, str]]]:
    """The target that is named, which has to be one; else one that is likely, if it can be one."""
    if options.target is not None:
        target = columns[options.target]
        task = options.task or usual_task(target, rows)
        problem = target_problem(target, "/target") or task_problem(target, task, "/target")
        if problem:
            raise InvalidDataset([problem])
        return target, []
    likely = [columns[name] for name in usual_features(columns, None)]
    named = [c for c in likely if c.name.lower() in USUAL_TARGETS]
    for target in (*named[:1], *likely[-1:]):
        task = options.task or usual_task(target, rows)
        problem = target_problem(target, "/target") or task_problem(target, task, "/target")
        if problem is None and (len(likely) > 1 or options.window or options.text):
            detail = f"The target was guessed: {target.name!r}. PATCH the data set, or a job's `data.target`, if not."
            return target, [{"code": "guessed_target", "detail": detail, "pointer": "/target"}]
        if problem is not None and named:
            raise InvalidDataset([problem])
    detail = "No column is likely to be the target: PATCH the data set, or name it in a job's `data.target`."
    return None, [{"code": "no_target", "detail": detail, "pointer": "/target"}]


def with_parts(columns: Columns, target: Column | None, options: Options, rows: int) -> Columns:
    """The columns with their target and features."""
    name = target.name if target else None
    kept_apart = None if options.window else name
    if options.features is not None:
        _refuse_empty(columns, options.features, rows)
        problems = list(feature_problems(columns, options.features, kept_apart, "/features"))
        if problems:
            raise InvalidDataset(problems)
    features = options.features or usual_features(columns, kept_apart)
    return columns.model_copy(update={"target": name, "features": features})


def _too_fine(column: Gathered) -> str:
    moments = column.moments
    if moments is None or not moments.is_too_fine:
        return ""
    return (
        f"{column.name!r} varies by {moments.deviation:.3g}, and numbers of its size are {moments.step:.3g} apart as "
        f"float32: many become the same. Subtract an offset such as {moments.low:.17g}, or use another unit."
    )


def _refuse_large_classes(table: Table, target: str) -> None:
    """Above 2^24 whole numbers are not told apart as they are stored."""
    column = table.gathered[target]
    moments = column.moments
    if column.kind == "number" and moments and max(abs(moments.low), abs(moments.high)) > MOST_EXACT:
        detail = f"{target!r} has numbers above {MOST_EXACT:,}: as numbers, which are float32, they are no classes."
        raise refused("wrong_task", detail, f"Send kinds={json.dumps({target: 'category'})}.", "/kinds")


def _refuse_empty(columns: Columns, features: Sequence[str], rows: int) -> None:
    for place, name in enumerate(features):
        if columns[name].missing == rows:
            detail = f"The column {name!r} has no values: it can be no feature."
            raise refused("empty_column", detail, "Remove it.", f"/features/{place}")


def _warnings(table: Table, options: Options) -> list[dict[str, str]]:
    """What a client should look at."""
    found = []
    for column in table.columns:
        gathered = table.gathered[column.name]
        told = {
            "infinite_values": gathered.infinite
            and f"{gathered.infinite:,} values of {column.name!r} are infinite, or beyond float32: taken for missing.",
            "too_fine": column.kind == "number" and _too_fine(gathered),
            "many_categories": column.kind == "category"
            and len(column.categories) > MANY_CATEGORIES
            and f"{column.name!r} has {len(column.categories)} categories, each a column of its own.",
            "unique_categories": column.kind == "category"
            and column.name not in (*options.kinds, options.group)
            and table.rows >= LEAST_UNIQUE
            and len(column.categories) > UNIQUE * (table.rows - column.missing)
            and f"{column.name!r} was taken for a category, and nearly all of its {len(column.categories)} values "
            f"differ, as {column.categories[0][:50]!r}: as numbers they need a decimal point, and no words among them.",
            "text_column": column.kind == "text"
            and options.text is None
            and column.missing < table.rows
            and f"{column.name!r} is text of many values: it is no feature.",
            "empty_column": column.missing == table.rows and f"{column.name!r} has no values: it is no feature.",
        }
        found += [{"code": code, "detail": detail, "pointer": "/file"} for code, detail in told.items() if detail]
    return found
