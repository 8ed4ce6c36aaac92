"""What schemathesis does here besides its own checks: it tries ids of another owner, and looks for them in answers."""

import os
import random
from typing import Any

import schemathesis

OTHERS = [found for found in os.environ.get("DESCENT_TEST_OTHERS", "").split(",") if found]
"""Ids of another owner's job, data set and webhook."""
OURS = [found for found in os.environ.get("DESCENT_TEST_OURS", "").split(",") if found]
_turn = random.Random(0)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Half of the ids are real ones, without which every call would end at its 404."""
    for name in path_parameters or {}:
        job, dataset, webhook = _turn.choice([OTHERS, OURS])
        if name == "job_id" and _turn.random() < 0.5:
            path_parameters[name] = job  # type: ignore[index]
        if name == "name" and "datasets" in context.operation.path and _turn.random() < 0.5:
            path_parameters[name] = dataset  # type: ignore[index]
        if name == "webhook_id" and _turn.random() < 0.5:
            path_parameters[name] = webhook  # type: ignore[index]
    return path_parameters


@schemathesis.hook
def before_load_schema(context: Any, raw_schema: dict[str, Any]) -> None:
    """No call waits for long: nobody trains the jobs."""
    for parameter in raw_schema["paths"]["/v1/jobs/{job_id}"]["get"]["parameters"]:
        if parameter.get("name") == "wait":
            parameter["schema"]["maximum"] = 0.05


@schemathesis.check
def nothing_of_others(context: Any, response: Any, case: Any) -> None:
    """An id of another is answered like one of nobody, and is in no other answer."""
    asked = f"{response.request.url}{response.request.body!r}"
    for found in OTHERS:
        if found in asked:
            assert response.status_code >= 400, f"{found} of another was answered with {response.status_code}"
        else:
            assert found.encode() not in response.content, f"{found} of another is in the answer"
