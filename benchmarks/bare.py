"""The least that answers the same: a Flask app with no database, no keys, no checks. What the API is measured against.

It serves on the same server with the same options (`service/serve.py`), and encodes JSON of the same size.
"""

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request

SAMPLES = "DESCENT_BENCHMARK_SAMPLES"
"""The environment's name for a JSON file: a job, and a page of the list, as the API answered them."""


def create_app() -> Flask:
    samples = json.loads(Path(os.environ[SAMPLES]).read_text())
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.get("/v1/jobs/<job_id>")
    def get_job(job_id: str) -> Response:
        return jsonify(samples["job"])

    @app.get("/v1/jobs")
    def list_jobs() -> Response:
        return jsonify(samples["page"])

    @app.post("/v1/jobs")
    def submit_job() -> tuple[Response, int]:
        body: dict[str, Any] = request.get_json()
        return jsonify(id="job_0", name=body["name"]), 202

    return app
