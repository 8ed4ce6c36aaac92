"""The built-in data sets and the shape of their rows. Static, so that a misfit is refused before any ingest; of an
uploaded set a job's definition knows its shape."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from models.definitions.base import Strict
from models.definitions.data import Data
from models.definitions.uploaded import Kind, Task, Uploaded
from models.errors import InvalidDefinition


@dataclass(frozen=True)
class DataShape:
    """What a network has to know of a data set."""

    kind: Kind
    task: Task
    rows: int
    input_shape: tuple[int, ...]
    """Of one row: [features], [channels, height, width], [channels, length] for signals, [time, features], or [time]
    for tokens."""
    outputs: int
    """Classes, or numbers to predict."""
    classes: tuple[str, ...] = ()
    """Names of the classes; empty for a regression."""
    per_step: bool = False
    """Whether each time step has a target of its own (`readout: each`)."""
    vocabulary: int = 0
    """Number of different tokens; 0 where the rows are not tokens."""
    categories: tuple[tuple[int, int], ...] = ()
    """Which features say the category of a column: the first of them, and how many they are. Of a table."""


MOTIFS = ("square", "cross", "disc", "stripes")
TONES = ("rising", "falling", "steady", "pulsing")
WAVES = ("sine", "square", "sawtooth", "triangle")

Rows = Annotated[int, Field(ge=10, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Length = Annotated[int, Field(ge=2, le=10_000)]
Noise = Annotated[float, Field(ge=0, le=10)]


class XorParameters(Strict):
    """Points around (0, 0), (0, 1), (1, 0), (1, 1); the class is the exclusive or of the corner."""

    rows: Rows = 400
    noise: Noise = 0.1
    """Standard deviation around a corner."""
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("table", "classification", self.rows, (2,), 2, ("0", "1"))


class CirclesParameters(Strict):
    """Two rings, one inside the other; the class is the ring."""

    rows: Rows = 400
    noise: Noise = 0.1
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Radius of the inner ring; the outer one has radius 1."""
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("table", "classification", self.rows, (2,), 2, ("outer", "inner"))


class BlobsParameters(Strict):
    """Gaussian clouds around random centres in [-10, 10]; the class is the cloud."""

    rows: Rows = 400
    classes: Annotated[int, Field(ge=2, le=100)] = 3
    features: Annotated[int, Field(ge=1, le=1000)] = 2
    noise: Noise = 1.0
    """Standard deviation of a cloud."""
    majority: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows that are in the first cloud, the others evenly; 0: all evenly."""
    seed: Seed = 0

    def shape(self) -> DataShape:
        names = tuple(str(index) for index in range(self.classes))
        return DataShape("table", "classification", self.rows, (self.features,), self.classes, names)


class SpiralsParameters(Strict):
    """Arms of a spiral wound around each other; the class is the arm."""

    rows: Rows = 600
    arms: Annotated[int, Field(ge=2, le=20)] = 2
    turns: Annotated[float, Field(gt=0, le=10)] = 1.5
    noise: Noise = 0.02
    seed: Seed = 0

    def shape(self) -> DataShape:
        names = tuple(str(index) for index in range(self.arms))
        return DataShape("table", "classification", self.rows, (2,), self.arms, names)


class SineParameters(Strict):
    """Noisy sine waves of random phase and frequency; the target is the next value."""

    rows: Rows = 1000
    length: Length = 30
    noise: Noise = 0.05
    each: bool = False
    """True: every time step has the value after it as its target (for `readout: each`)."""
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("sequence", "regression", self.rows, (self.length, 1), 1, per_step=self.each)


class AddingParameters(Strict):
    """The adding problem (Hochreiter and Schmidhuber 1997): the target is the sum of the two values that are marked."""

    rows: Rows = 5000
    length: Length = 30
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("sequence", "regression", self.rows, (self.length, 2), 1)


class CopyMemoryParameters(Strict):
    """One of 8 symbols, then `length` blanks, then a cue; the target is the symbol."""

    rows: Rows = 2000
    length: Length = 20
    seed: Seed = 0

    def shape(self) -> DataShape:
        names = tuple(str(index) for index in range(8))
        return DataShape("tokens", "classification", self.rows, (self.length + 2,), 8, names, vocabulary=10)


class LookaheadParameters(Strict):
    """Random values; the target of each time step is the value `lag` steps later, 0 for the last ones."""

    rows: Rows = 1000
    length: Length = 20
    lag: Annotated[int, Field(ge=1, le=1000)] = 3
    """How far ahead the target lies; less than `length`."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _lag_within_length(self) -> "LookaheadParameters":
        if self.lag >= self.length:
            raise PydanticCustomError("lag_too_long", "`lag` should be less than `length`")
        return self

    def shape(self) -> DataShape:
        return DataShape("sequence", "regression", self.rows, (self.length, 1), 1, per_step=True)


class PatternsParameters(Strict):
    """Noisy images with one motif of random colour at a random place; the class is the motif."""

    rows: Rows = 600
    channels: Annotated[int, Field(ge=1, le=8)] = 4
    """Four are alpha, red, green and blue."""
    size: Annotated[int, Field(ge=8, le=1000)] = 12
    """Height and width; the motif takes about half of either."""
    shift: bool = True
    """The motif lies anywhere; false: in the middle."""
    noise: Noise = 0.3
    seed: Seed = 0

    def shape(self) -> DataShape:
        image = (self.channels, self.size, self.size)
        return DataShape("image", "classification", self.rows, image, len(MOTIFS), MOTIFS)


class SpectrogramsParameters(Strict):
    """Sounds as noisy pictures of their power: a tone that rises or falls over and over, stays, or pulses."""

    rows: Rows = 600
    bands: Annotated[int, Field(ge=8, le=512)] = 16
    length: Annotated[int, Field(ge=8, le=2048)] = 24
    """Time frames."""
    noise: Noise = 0.3
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("image", "classification", self.rows, (1, self.bands, self.length), len(TONES), TONES)


class SignalsParameters(Strict):
    """One-dimensional waves [channels, length] of random phase and frequency, in noise; the class is the wave form."""

    rows: Rows = 600
    channels: Annotated[int, Field(ge=1, le=8)] = 1
    length: Annotated[int, Field(ge=16, le=10_000)] = 64
    noise: Noise = 0.2
    seed: Seed = 0

    def shape(self) -> DataShape:
        return DataShape("signal", "classification", self.rows, (self.channels, self.length), len(WAVES), WAVES)


class NoParameters(Strict):
    """A set from a file takes no parameters."""


Parameters = (
    XorParameters
    | CirclesParameters
    | BlobsParameters
    | SpiralsParameters
    | SineParameters
    | AddingParameters
    | CopyMemoryParameters
    | LookaheadParameters
    | PatternsParameters
    | SpectrogramsParameters
    | SignalsParameters
)

GENERATED: dict[str, type[Parameters]] = {
    "xor": XorParameters,
    "circles": CirclesParameters,
    "blobs": BlobsParameters,
    "spirals": SpiralsParameters,
    "sine": SineParameters,
    "adding": AddingParameters,
    "copy_memory": CopyMemoryParameters,
    "lookahead": LookaheadParameters,
    "patterns": PatternsParameters,
    "spectrograms": SpectrogramsParameters,
    "signals": SignalsParameters,
}

DIGITS = tuple("0123456789")

BUNDLED: dict[str, tuple[str, DataShape]] = {
    "digits": (
        "1 797 hand-written digits as grey images of 8x8 (UCI ML, NIST).",
        DataShape("image", "classification", 1797, (1, 8, 8), 10, DIGITS),
    ),
    "digits_rows": (
        "The same digits; each image row is a time step of 8 features.",
        DataShape("sequence", "classification", 1797, (8, 8), 10, DIGITS),
    ),
    "iris": (
        "150 irises of three species by four lengths (Fisher 1936).",
        DataShape("table", "classification", 150, (4,), 3, ("setosa", "versicolor", "virginica")),
    ),
    "wine": (
        "178 wines of three growers by 13 measurements (UCI ML).",
        DataShape("table", "classification", 178, (13,), 3, ("class_0", "class_1", "class_2")),
    ),
    "breast_cancer": (
        "569 tumours, malignant or benign, by 30 features of their cell nuclei (Wisconsin, UCI ML).",
        DataShape("table", "classification", 569, (30,), 2, ("malignant", "benign")),
    ),
    "diabetes": (
        "442 patients by 10 measurements; the target is the progress of the disease after a year (Efron et al. 2004).",
        DataShape("table", "regression", 442, (10,), 1),
    ),
}


@dataclass(frozen=True)
class Dataset:
    """One built-in data set as `GET /v1/datasets` shows it."""

    name: str
    description: str
    shape: DataShape
    """With default parameters, where it is generated."""
    parameters: type[Strict]


def datasets() -> list[Dataset]:
    """All built-in data sets, bundled ones first."""
    bundled = [Dataset(name, text, shape, NoParameters) for name, (text, shape) in BUNDLED.items()]
    generated = [Dataset(name, kind.__doc__ or "", kind().shape(), kind) for name, kind in GENERATED.items()]
    return bundled + generated


def names() -> list[str]:
    return [*BUNDLED, *GENERATED]


def fill_parameters(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters with every default filled in.

    Raises:
        KeyError: there is no built-in set of this name.
        pydantic.ValidationError: a parameter is unknown or out of its range.
    """
    kind = NoParameters if name in BUNDLED else GENERATED[name]
    return kind.model_validate(parameters).plain()


def shape_of(name: str, parameters: dict[str, Any]) -> DataShape:
    """The shape of a built-in set; raises as `fill_parameters` does."""
    if name in BUNDLED:
        NoParameters.model_validate(parameters)
        return BUNDLED[name][1]
    return GENERATED[name].model_validate(parameters).shape()


def shape_of_data(data: Data) -> DataShape:
    """The shape of what a job trains on.

    Raises:
        KeyError, pydantic.ValidationError: as `fill_parameters`.
        InvalidDefinition: only the last time step is wanted of what has none, or has a target at each.
    """
    shape = shape_of_upload(data.uploaded) if data.uploaded else shape_of(data.dataset, data.parameters)
    if data.features != "last":
        return shape
    if shape.kind != "sequence" or shape.per_step:
        what = "have a target for each time step" if shape.per_step else f"are of kind {shape.kind}"
        detail = f"`last` takes the last time step of a sequence; these data {what}."
        raise InvalidDefinition.at("/data/features", "no_last_step", detail, 'Write "all", or leave it out.')
    return replace(shape, kind="table", input_shape=shape.input_shape[1:])


def shape_of_upload(known: Uploaded) -> DataShape:
    """Of one that has a target."""
    assert known.task is not None
    return DataShape(
        known.kind,
        known.task,
        known.rows,
        known.input_shape,
        known.outputs,
        known.classes,
        known.per_step,
        known.vocabulary,
        _categories(known),
    )


def _categories(known: Uploaded) -> tuple[tuple[int, int], ...]:
    if known.columns is None:
        return ()
    slices = known.columns.slices
    return tuple(
        (slices[column.name].start, len(column.outputs)) for column in known.columns.inputs if column.kind == "category"
    )
