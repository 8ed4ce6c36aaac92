"""A model that predicts, by ONNX Runtime and without torch.

predictor = load(path, definition)
predictor.predict([[5.1, 3.5, 1.4, 0.2]])  # [{"class": "setosa", "probabilities": {...}}]
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.catalogue import DataShape, shape_of_data
from models.definitions.job import JobDefinition
from models.inputs import Feeds, Inputs
from models.words import Words

CHUNK_VALUES = 2**13
"""Of inputs, that are computed at once: what the layers make of them takes many times the memory."""


@dataclass(frozen=True)
class Predictor:
    """May be used by several threads at once."""

    session: Any
    inputs: Inputs

    @property
    def shape(self) -> DataShape:
        return self.inputs.shape

    def predict(self, rows: Any, has_booleans: bool = True) -> list[Any]:
        """Of each row what the network says: `{"class", "probabilities"}` or `{"value"}`, or a list of these.

        Raises:
            InvalidDefinition: with pointers into `/inputs`.
        """
        outputs: list[Any] = [None] * len(rows) if isinstance(rows, list) else []
        for places, feeds in self.inputs.read(rows, has_booleans):
            for place, output in zip(places, self.shown(self.run(feeds)), strict=True):
                outputs[place] = output
        return outputs

    def run(self, feeds: Feeds) -> NDArray[np.float32]:
        """Probabilities [rows, (time,) classes], or values [rows, (time,) outputs]."""
        rows = len(next(iter(feeds.values())))
        at_once = max(1, CHUNK_VALUES * rows // max(1, sum(values.size for values in feeds.values())))
        parts = [
            self.session.run(None, {name: values[start : start + at_once] for name, values in feeds.items()})[0]
            for start in range(0, rows, at_once)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def shown(self, outputs: NDArray[np.float32]) -> list[Any]:
        """As JSON; what is not finite is null."""
        if self.shape.per_step:
            return [self._rows(of_row) for of_row in outputs]
        return self._rows(outputs)

    def _rows(self, outputs: NDArray[np.float32]) -> list[dict[str, Any]]:
        if self.shape.task == "regression":
            values = outputs[:, 0].tolist() if self.shape.outputs == 1 else outputs.tolist()
            return [{"value": value} for value in values]
        names: Sequence[str] = self.shape.classes
        winners = outputs.argmax(1).tolist()
        return [
            {"class": names[winner], "probabilities": dict(zip(names, row, strict=True))}
            for winner, row in zip(winners, outputs.tolist(), strict=True)
        ]


def load(path: Path, stored: dict[str, Any]) -> Predictor:
    """From a `model.onnx` and the definition of its job."""
    import onnxruntime  # noqa: PLC0415  30 MB that only predictions need

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Memory that was once needed would be kept.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    data = JobDefinition.model_validate(stored).data
    # Free dimensions have names; the first is that of the rows.
    sizes = [size for one in session.get_inputs() for size in one.shape[1:]]
    free_length = any(isinstance(size, str) for size in sizes)
    metadata = session.get_modelmeta().custom_metadata_map
    words = Words(json.loads(metadata["words"])) if "words" in metadata else None
    return Predictor(session, Inputs(shape_of_data(data), data.columns, free_length, words))
