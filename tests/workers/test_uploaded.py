"""Uploaded data sets as a worker sees them: rows made when they are asked for are those of the whole, made at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.catalogue import shape_of_upload
from models.definitions.data import Data
from models.definitions.job import JobDefinition
from models.definitions.uploaded import StoredArray, Uploaded
from models.errors import InvalidDefinition
from models.ingest.options import Options
from models.ingest.reading import read_file
from models.reports import Ended, Report
from models.uploads import Upload, resolve
from workers.datasets.arrays import NotIngested
from workers.datasets.shelf import load_data, load_validation
from workers.datasets.uploaded import Files, Windows
from workers.training.data import Prepared, prepare
from workers.training.job import train_job
from workers.training.parts import Mapped, Resident
from workers.training.split import split

CPU = torch.device("cpu")
ROWS = 400


class Shelf:
    """Files that were read, and the uploads they became."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Upload] = {}
        self.files: Files = {}

    def add(self, name: str, content: bytes, **options: Any) -> Uploaded:
        folder = self._folder / name
        folder.mkdir()
        (folder / "file").write_bytes(content)
        _, uploaded, _ = read_file(folder / "file", Options(**options), folder, 10**9)
        arrays = {path.stem: StoredArray(key="", size=0, sha256=f"{name}/{path.name}") for path in folder.glob("*.npy")}
        self.files = {**self.files, **{array.sha256: self._folder / array.sha256 for array in arrays.values()}}
        uploaded = uploaded.model_copy(update={"arrays": arrays})
        self._known[f"dat_{name}"] = Upload(f"dat_{name}", "ready", uploaded)
        return uploaded

    def data(self, name: str, **chosen: Any) -> Data:
        return resolve(Data(dataset=f"dat_{name}", **chosen), self._known.get)

    def prepare(self, data: Data, resident_bytes: float) -> Prepared:
        assert data.uploaded is not None
        arrays, shape = load_data(data, self._folder, self.files), shape_of_upload(data.uploaded)
        validating = load_validation(data, self.files)
        return prepare(data, arrays, shape, CPU, resident_bytes, validating=validating)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def table(rows: int = ROWS, seed: int = 0, colours: str = "rgb") -> bytes:
    rng = np.random.default_rng(seed)
    lines = ["who,when,size,colour,ok,price"]
    for index in range(rows):
        size = "" if index % 30 == 4 else f"{rng.normal():.4f}"
        colour = "" if index % 25 == 7 else rng.choice(list(colours))
        ok, price = rng.choice(["true", "false"]), rng.normal()
        lines.append(f"p{rng.integers(12)},{rng.integers(10**6)},{size},{colour},{ok},{price:.4f}")
    return "\n".join(lines).encode()


def batches(prepared: Prepared) -> list[torch.Tensor]:
    parts = [part for part in (prepared.training, prepared.validation) if part is not None]
    return [tensor for part in parts for batch in part.in_order(32) for tensor in batch]


CHOICES: dict[str, dict[str, Any]] = {
    "all": {},
    "some": {"features": ["colour", "size"]},
    "classes": {"target": "ok", "features": ["size", "price"]},
    "minmax": {"normalise": "minmax"},
    "as it is": {"normalise": "none"},
    "few rows": {"rows": 50},
    "by time": {"split": "time"},
    "by group": {"split": "group"},
}


@pytest.mark.parametrize("chosen", CHOICES)
@pytest.mark.parametrize("series", [False, True], ids=["table", "series"])
def test_a_mapped_upload_gives_the_bits_of_a_resident_one(shelf: Shelf, chosen: str, series: bool) -> None:
    options = {"length": 5, "horizon": 2, "stride": 2} if series else {}
    shelf.add("t", table(), target="price", group="who", time="when", **options)
    data = shelf.data("t", **CHOICES[chosen])
    resident, mapped = shelf.prepare(data, float("inf")), shelf.prepare(data, 0)
    assert (type(resident.training), type(mapped.training)) == (Resident, Mapped)
    for one, other in zip(batches(resident), batches(mapped), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("series", [False, True], ids=["table", "series"])
def test_a_job_whose_rows_stay_on_the_disk_has_the_weights_of_one_that_holds_them(shelf: Shelf, series: bool) -> None:
    options = {"length": 5, "group": "who", "time": "when"} if series else {}
    shelf.add("t", table(), target="price", **options)
    network = {"family": "rnn", "hidden": 6} if series else {"family": "dnn", "hidden": [8]}
    body = {"network": network, "data": {"dataset": "dat_t"}, "training": {"epochs": 2}}
    definition = JobDefinition.model_validate(body)
    definition = definition.model_copy(update={"data": shelf.data("t")})
    weights = []
    for resident_bytes in (float("inf"), 0):
        reports: list[Report] = []
        train_job(definition, Path(), CPU, reports.append, lambda: None, resident_bytes, files=shelf.files)
        ended = reports[-1]
        assert isinstance(ended, Ended)
        assert ended.outcome == "succeeded", ended.error
        weights.append(ended.weights_sha256)
    assert weights[0] == weights[1]


def test_sequences_are_those_of_a_plain_loop(shelf: Shelf) -> None:
    rng = np.random.default_rng(1)
    rows = [(f"s{s}", t, rng.normal()) for s in (2, 0, 1) for t in range(20 + s)]
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    content = "\n".join(["s,t,v", *(f"{s},{t},{v:.6f}" for s, t, v in shuffled)]).encode()
    shelf.add("t", content, target="v", group="s", time="t", length=4, horizon=3, stride=2)
    arrays = load_data(shelf.data("t"), Path(), shelf.files)
    found = [
        (*x.ravel().round(4), y.round(4)) for x, (y,) in zip(arrays.x[np.arange(len(arrays.x))], arrays.y, strict=True)
    ]
    expected = []
    for name in ("s0", "s1", "s2"):
        values = [v for s, _, v in sorted(rows) if s == name]
        expected += [(*values[i : i + 4], values[i + 4 + 3 - 1]) for i in range(0, len(values) - 4 - 3 + 1, 2)]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_validation_set_is_encoded_like_what_is_trained_on(shelf: Shelf) -> None:
    shelf.add("train", table(), target="price")
    shelf.add("other", table(60, seed=3, colours="gb"), target="price")
    data = shelf.data("train", validation={"dataset": "dat_other"}, normalise="none")
    prepared = shelf.prepare(data, float("inf"))
    assert (len(prepared.training), len(prepared.validation or [])) == (ROWS, 60)
    known = data.uploaded.columns if data.uploaded else None
    assert known is not None
    other = shelf.data("other", normalise="none", validation=None)
    alone = shelf.prepare(other, float("inf")).training
    theirs = other.uploaded.columns if other.uploaded else None
    assert theirs is not None
    assert isinstance(prepared.validation, Resident)
    assert isinstance(alone, Resident)
    for place, name in enumerate(known.outputs):
        column = prepared.validation.x[:, place]
        if name == "colour=r":
            assert not column.any()
        elif name != "size":  # whose missing values are filled by another median
            assert torch.equal(column, alone.x[:, theirs.outputs.index(name)])


def test_texts_to_validate_on_are_read_by_the_words_of_those_that_are_trained_on(shelf: Shelf) -> None:
    shelf.add("train", b"text,label\n" + b"good film film film,yes\nbad film,no\n" * 10, text="text", target="label")
    shelf.add("other", b"text,label\ngood good good bad,no\nqueer film,no\nfilm,yes\n", text="text", target="label")
    data = shelf.data("train", validation={"dataset": "dat_other"})
    validation = load_validation(data, shelf.files)
    assert validation is not None
    # film 2, bad 3, good 4; 'queer' is none of them.
    assert validation.x[np.arange(2)].tolist() == [[4, 4, 4, 3], [0, 0, 1, 2]]
    assert validation.y.tolist() == [0, 0, 1]
    short = b"text,label\ngood film,no\nbad film,yes\n"
    shelf.add("short", short, text="text", target="label")
    with pytest.raises(InvalidDefinition) as refused:
        shelf.data("train", validation={"dataset": "dat_short"})
    assert refused.value.problems[0].hint == "Upload it with length=4."


def test_a_validation_set_with_unknown_categories_is_refused(shelf: Shelf) -> None:
    shelf.add("train", table(), target="price")
    shelf.add("other", table(60, colours="xr"), target="price")
    with pytest.raises(Exception, match="'x' in 'colour'"):
        shelf.data("train", validation={"dataset": "dat_other"})


def test_the_last_rows_by_time_are_held_out(shelf: Shelf) -> None:
    shelf.add("t", table(), target="price", time="when")
    data = shelf.data("t", split="time", validation=0.25)
    arrays = load_data(data, Path(), shelf.files)
    training, validation = split(data, arrays.y, "regression", arrays.order)
    assert (len(training), len(validation)) == (300, 100)
    assert arrays.order.times is not None
    assert arrays.order.times[training].max() <= arrays.order.times[validation].min()


def test_groups_are_held_out_whole(shelf: Shelf) -> None:
    shelf.add("t", table(), target="price", group="who")
    for seed in range(10):
        data = shelf.data("t", split="group", seed=seed)
        arrays = load_data(data, Path(), shelf.files)
        training, validation = split(data, arrays.y, "regression", arrays.order)
        groups = arrays.order.groups
        assert groups is not None
        assert not set(groups[training]) & set(groups[validation])
        assert len(training) + len(validation) == ROWS
        assert 20 <= len(validation) <= 160


def test_only_the_last_step_of_a_sequence_may_be_taken(shelf: Shelf) -> None:
    shelf.add("t", table(), target="price", group="who", time="when", length=5)
    data = shelf.data("t", features="last", normalise="none", validation=None)
    whole = load_data(data, Path(), shelf.files).x
    assert isinstance(whole, Windows)
    for resident_bytes in (0, float("inf")):
        x, _ = next(shelf.prepare(data, resident_bytes).training.in_order(16))
        np.testing.assert_array_equal(x.numpy(), whole[np.arange(16)][:, -1])


def test_a_file_that_is_missing_is_named(shelf: Shelf) -> None:
    shelf.add("t", table(), target="price")
    with pytest.raises(NotIngested, match="table"):
        load_data(shelf.data("t"), Path(), {})


def test_images_are_kept_as_bytes_and_trained_on_as_floats(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 4), dtype=np.uint8)
    np.savez(path, x=x, y=np.arange(40) % 2)
    shelf.add("i", path.read_bytes())
    data = shelf.data("i", normalise="none", validation=None)
    assert load_data(data, Path(), shelf.files).x.dtype == np.uint8
    found, _ = next(shelf.prepare(data, 0).training.in_order(40))
    np.testing.assert_array_equal(found.numpy(), x.astype(np.float32))
