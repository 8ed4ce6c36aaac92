"""Whatever bytes are sent with whatever options: a data set, or a refusal with a place; never another error."""

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from models.errors import InvalidDataset
from models.ingest.options import Options
from models.ingest.reading import ONLY_FOR, read_file

MISTAKES = (b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"nan", b"inf", b"1e999", b"''", b"PK\x03\x04")
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"target": "y"},
    {"time": "when", "length": 3},
    {"group": "colour"},
    {"text": "colour", "target": "y"},
    {"kinds": {"y": "category"}},
    {"kinds": {"colour": "number"}},
    {"kinds": {"age": "boolean"}},
    {"kinds": {"age": "time"}},
    {"encoding": "utf-16"},
    {"encoding": "latin-1"},
    {"delimiter": ";"},
    {"header": False},
    {"task": "classification"},
    {"task": "regression"},
    {"layout": "channels_length"},
    {"image_size": (2, 2)},
    {"vocabulary": 3},
    {"features": ("age",)},
    *({"format": name} for name in ("csv", "parquet", "npz", "images")),
)


KINDS = ("csv", "parquet", "npz", "npz", "images")


def fitting(kind: str) -> list[dict[str, Any]]:
    """The options that go with a format; all others are refused before the file is looked at."""
    others = {name for _, formats, names in ONLY_FOR.values() if kind not in formats for name in names}
    return [options for options in OPTIONS if not others & options.keys()]


def sound_files() -> list[bytes]:
    """One of each of `KINDS`."""
    lines = [f"{i},{'red' if i % 2 else 'blue'},2020-01-{i % 28 + 1:02d},{i / 2}" for i in range(60)]
    table, arrays, packed, images = (io.BytesIO() for _ in range(4))
    parquet.write_table(pa.table({"age": np.arange(200.0), "y": np.arange(200) % 3}), table)
    np.savez(arrays, x=np.random.default_rng(0).random((20, 3)), y=np.arange(20) % 3)
    np.savez_compressed(packed, x=np.arange(60).reshape(20, 3), y=np.arange(20) / 2)
    with zipfile.ZipFile(images, "w") as archive:
        for name in ("cats/1.png", "dogs/1.png"):
            image = io.BytesIO()
            Image.new("RGB", (4, 4)).save(image, "PNG")
            archive.writestr(name, image.getvalue())
    csv = "\n".join(["age,colour,when,y", *lines]).encode()
    return [csv, *(file.getvalue() for file in (table, arrays, packed, images))]


def damaged(rng: random.Random, content: bytes) -> bytes:
    """With some bytes changed, left out, put in, repeated or cut off."""
    data = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        place = rng.randrange(len(data) or 1)
        what = rng.randrange(6)
        if what == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif what == 1:
            del data[place : place + rng.randrange(1, 20)]
        elif what == 2:
            data[place:place] = rng.choice(MISTAKES)
        elif what == 3:
            data = data[:place]
        elif what == 4:
            data[place : place + 4] = rng.randrange(2**32).to_bytes(4, "little")
        else:
            data[place:place] = data[: rng.randrange(50)]
    return bytes(data)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of zipfile, about names that are there twice
@pytest.mark.parametrize("seed", range(4))
def test_any_bytes_are_a_data_set_or_are_refused(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    files = sound_files()
    outcomes, vague = {"read": 0, "refused": 0}, []
    for index in range(150):
        folder = tmp_path / str(index)
        folder.mkdir()
        place = rng.randrange(len(files))
        (folder / "file").write_bytes(damaged(rng, files[place]))
        options = rng.choice(fitting(KINDS[place]) if rng.random() < 0.9 else OPTIONS)
        try:
            read_file(folder / "file", Options(**options), folder, 10**8)
            outcomes["read"] += 1
        except InvalidDataset as refusal:
            vague += [problem for problem in refusal.problems if not (problem.detail and problem.hint)]
            outcomes["refused"] += 1
    assert vague == []
    assert min(outcomes.values()) > 10


def test_numbers_too_close_for_bins_are_one_bin(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a,b\n" + b"1e17,0.5\n1.0000000000000002e17,1.5\n" * 20)
    _, _, summary = read_file(tmp_path / "file", Options(), tmp_path, 10**8)
    [close] = [column for column in summary["columns"] if column["name"] == "a"]
    assert close["histogram"] == {"edges": [close["min"], close["max"]], "rows": [40]}
