"""How good a model is, in more than one number; batches are added on the device.

    evaluation = evaluation_of(shape)
    for x, y in part.in_order(256): evaluation.add(model(x), y)   # as its users see it: probabilities, or raw units
    evaluation.result()

Rows whose outputs are not finite count as `nonfinite`, and nowhere else. What is divided by 0 is None.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.catalogue import DataShape

BINS = 15
"""Of confidence (Guo et al. 2017)."""
HISTOGRAM_BINS = 20
PERCENTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
MOST_CONFUSED_CLASSES = 200
"""For which the matrix is stored."""


class Evaluation(Protocol):
    def add(self, outputs: Tensor, truth: Tensor) -> None: ...
    def result(self) -> dict[str, Any]: ...


def evaluation_of(shape: DataShape) -> Evaluation:
    """An empty one."""
    return Classes(shape.classes) if shape.task == "classification" else Residuals()


class Classes:
    """Of a classification. Rows and time steps count alike."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._counts = np.zeros((len(classes), len(classes)), np.int64)
        """[truth, prediction]"""
        self._bins = np.zeros((3, BINS))
        """Rows, those that were right, and the sum of their confidence, by confidence."""
        self._log_loss = 0.0
        self._nonfinite = 0

    def add(self, outputs: Tensor, truth: Tensor) -> None:
        """Probabilities [..., classes] and true classes [...]."""
        probabilities = outputs.detach().double().cpu().flatten(0, -2).numpy()
        actual = truth.cpu().flatten().numpy()
        finite = np.isfinite(probabilities).all(1)
        self._nonfinite += int((~finite).sum())
        probabilities, actual = probabilities[finite], actual[finite]
        predicted, confidence = probabilities.argmax(1), probabilities.max(1, initial=0)
        np.add.at(self._counts, (actual, predicted), 1)
        # Bin k holds confidences in (k / BINS, (k + 1) / BINS].
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        for row, weights in enumerate((np.ones(len(place)), actual == predicted, confidence)):
            self._bins[row] += np.bincount(place, weights, BINS)
        of_truth = probabilities[np.arange(len(actual)), actual]
        self._log_loss -= float(np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).sum())

    def result(self) -> dict[str, Any]:
        counts, rows = self._counts, int(self._counts.sum())
        hits, seen = counts.diagonal(), counts.sum(0) + counts.sum(1)
        by_class = [self._class(index) for index in range(len(self._classes))]
        f1 = [one["f1"] for one, count in zip(by_class, seen, strict=True) if count]
        return {
            "task": "classification",
            "rows": rows + self._nonfinite,
            "nonfinite": self._nonfinite,
            "accuracy": ratio(hits.sum(), rows),
            "macro_f1": ratio(sum(f1), len(f1)),
            "log_loss": ratio(self._log_loss, rows),
            "classes": by_class,
            "confusion": counts.tolist() if len(self._classes) <= MOST_CONFUSED_CLASSES else None,
            "calibration": self._calibration(rows),
        }

    def _class(self, index: int) -> dict[str, Any]:
        hits, support, told = (
            int(self._counts[index, index]),
            int(self._counts[index].sum()),
            int(self._counts[:, index].sum()),
        )
        return {
            "class": self._classes[index],
            "precision": ratio(hits, told),
            "recall": ratio(hits, support),
            "f1": ratio(2 * hits, support + told),
            "support": support,
        }

    def _calibration(self, rows: int) -> dict[str, Any]:
        """The expected calibration error: the mean distance of confidence and accuracy over bins, by their rows."""
        counts, right, confidence = self._bins
        bins = [
            {
                "from": index / BINS,
                "to": (index + 1) / BINS,
                "rows": int(counts[index]),
                "confidence": ratio(confidence[index], counts[index]),
                "accuracy": ratio(right[index], counts[index]),
            }
            for index in range(BINS)
        ]
        return {"ece": ratio(np.abs(right - confidence).sum(), rows), "bins": bins}


class Residuals:
    """Of a regression: prediction less truth, in the target's own units."""

    def __init__(self) -> None:
        self._predicted: list[NDArray[np.float64]] = []
        self._truth: list[NDArray[np.float64]] = []

    def add(self, outputs: Tensor, truth: Tensor) -> None:
        """Both [..., outputs]."""
        for kept, values in ((self._predicted, outputs), (self._truth, truth)):
            kept.append(values.detach().double().cpu().flatten(0, -2).numpy())

    def result(self) -> dict[str, Any]:
        predicted, truth = np.concatenate(self._predicted), np.concatenate(self._truth)
        finite = np.logical_and(np.isfinite(predicted).all(1), np.isfinite(truth).all(1))
        residuals, truth = (predicted - truth)[finite], truth[finite]
        found = {"task": "regression", "rows": len(finite), "nonfinite": int((~finite).sum())}
        if not len(residuals):
            return found | dict.fromkeys(("rmse", "mae", "r2")) | {"outputs": []}
        spread = np.square(truth - truth.mean(0)).sum(0)
        r2 = [ratio(total - left, total) for total, left in zip(spread, np.square(residuals).sum(0), strict=True)]
        return found | {
            "rmse": float(np.sqrt(np.square(residuals).mean())),
            "mae": float(np.abs(residuals).mean()),
            "r2": None if None in r2 else float(np.mean(np.array(r2, float))),
            "outputs": [_residuals(column, of_output) for column, of_output in zip(residuals.T, r2, strict=True)],
        }


def _residuals(residuals: NDArray[np.float64], r2: float | None) -> dict[str, Any]:
    counts, edges = np.histogram(residuals, HISTOGRAM_BINS)
    at = np.percentile(residuals, list(PERCENTILES.values()))
    return {
        "rmse": float(np.sqrt(np.square(residuals).mean())),
        "mae": float(np.abs(residuals).mean()),
        "r2": r2,
        "mean": float(residuals.mean()),
        "std": float(residuals.std()),
        **dict(zip(PERCENTILES, at.tolist(), strict=True)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def ratio(part: Any, whole: Any) -> float | None:
    return float(part) / float(whole) if whole else None
