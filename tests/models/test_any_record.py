"""Whatever was measured, or was not: a diagnosis comes of it, and every remedy in it applies."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.diagnosis.diagnose import diagnose, wants_reference
from models.diagnosis.evidence import Evidence, Samples
from models.patches import patched
from models.reports import Incident
from tests.models.records import ADDING, FACTS, PLAIN_RNN, a_record

NETWORKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"family": "dnn", "hidden": []}, {"dataset": "xor"}),
    ({"family": "dnn", "hidden": [8] * 12, "activation": "tanh"}, {"dataset": "iris", "normalise": "none"}),
    ({"family": "dnn", "hidden": [8], "init": "zeros", "output": "softmax"}, {"dataset": "digits"}),
    ({"family": "dnn", "hidden": [8], "output": "sigmoid"}, {"dataset": "diabetes", "validation": None}),
    ({"family": "cnn", "blocks": [{"filters": 4, "activation": "tanh"}], "residual": True}, {"dataset": "digits"}),
    (PLAIN_RNN | {"bidirectional": True, "layers": 2, "head": [4]}, ADDING),
    ({"family": "rnn", "cell": "lstm", "hidden": 4, "readout": "each"}, {"dataset": "lookahead"}),
    (
        {"family": "sequential", "layers": [
            {"kind": "dense", "width": 4},
            {"kind": "residual", "layers": [{"kind": "dense", "width": 4, "activation": "sigmoid"}]},
        ]},
        {"dataset": "wine"},
    ),
]  # fmt: skip
NUMBERS = np.array([0.0, 1e-30, 1e-8, 1e-3, 0.3, 1.0, 5.0, 1e6, 1e30, -1.0, np.nan, np.inf, -np.inf])


def spoilt(record: Evidence, seed: int, missing: float) -> Evidence:
    """With numbers drawn at random for what was measured, and some of it missing."""
    rng = np.random.default_rng(seed)

    def draws(shape: tuple[int, ...]) -> np.ndarray:
        wild = rng.choice(NUMBERS, shape)
        return np.where(rng.random(shape) < 0.5, wild, rng.choice(NUMBERS[3:8], 1))

    def of_series(samples: Samples) -> Samples:
        count = 0 if rng.random() < missing else int(rng.integers(0, len(samples) + 1))
        values = draws(samples.values.shape).astype(np.float32)
        return Samples(samples.series, samples.steps[:count], values[:count])

    epochs = int(rng.integers(0, len(record.epochs["step"]) + 1))
    measured = {
        name: (values if name == "step" else draws(values.shape))[:epochs] for name, values in record.epochs.items()
    }
    drawn = {
        name: float(rng.choice(NUMBERS[:10])) for name in ("input_rms", "feature_std_min", "target_rms", "target_std")
    }
    facts = {name: None if rng.random() < missing else value for name, value in (FACTS | drawn).items()}
    incident = Incident(3, 0, "gradient", 0, None, "nan", [], "stop") if rng.random() < 0.3 else None
    samples = {name: of_series(series) for name, series in record.samples.items()}
    return replace(
        record, epochs=measured, samples=samples, facts=facts, incident=incident, complete=rng.random() < 0.7
    )


@pytest.mark.filterwarnings("error")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(range(len(NETWORKS))), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 1.0]))
def test_a_diagnosis_comes_of_any_record(which: int, seed: int, missing: float) -> None:
    network, data = NETWORKS[which]
    with np.errstate(all="ignore"):
        record = spoilt(a_record(network, data), seed, missing)
    diagnosis = diagnose(record)
    wants_reference(record)
    json.dumps(diagnosis.plain(), allow_nan=False)
    for finding in diagnosis.findings:
        assert finding.explanation.endswith((".", "?"))
        for remedy in finding.remedies:
            after = patched(record.definition.plain(), list(remedy.patch), 10**6)
            type(record.definition).model_validate_json(after)
