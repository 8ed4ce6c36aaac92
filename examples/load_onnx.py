"""`python load_onnx.py model.onnx rows.json ...`: predicts with ONNX Runtime alone; nothing of Descent is needed.

Each `rows.json` has rows of equal length, as they go into `POST .../predictions`: nested lists, or objects by column
name.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def predict(model: Path, rows: list[Any]) -> np.ndarray:
    """Probabilities [rows, classes], or values [rows, outputs]."""
    session = onnxruntime.InferenceSession(str(model))
    feeds = {entry.name: feed(entry, rows) for entry in session.get_inputs()}
    return session.run(None, feeds)[0]


def feed(entry: Any, rows: list[Any]) -> np.ndarray:
    """All rows as the tensor `input`, or the values of one column as a tensor of its own."""
    if not isinstance(rows[0], dict):
        return np.array(rows, TYPES[entry.type])
    values = [row[entry.name] for row in rows]
    if entry.type == "tensor(string)":
        # What is missing is an empty text; whole numbers are written without a point.
        return np.array([["" if value is None else str(value)] for value in values], object)
    return np.array([[np.nan if value is None else value] for value in values], np.float32)


if __name__ == "__main__":
    model, *files = map(Path, sys.argv[1:])
    print(json.dumps([predict(model, json.loads(file.read_text())).tolist() for file in files]))
