"""A job in plain text, for a log, a chat or the context of an agent: at most 2 kB."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST_BYTES = 2000
MOST_OF_A_TEXT = 300
METRICS_FIRST = ("skill", "validation_skill", "validation_accuracy", "validation_r2", "validation_loss", "train_loss")
MOST_METRICS = 8


def summary(job: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """Status, metrics, verdict, cause and remedy of a job: `job` as GET shows it, `said` as its diagnosis does."""
    text = "\n".join(_lines(job, said)) + "\n"
    return text if len(text.encode()) <= MOST_BYTES else _cut(text, MOST_BYTES - 1) + "\n"


def _lines(job: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    # The name as JSON: whatever is in it, it is one line, and is seen to be a name.
    yield f"{job['id']} {json.dumps(_cut(job['name'], MOST_OF_A_TEXT), ensure_ascii=False)}"
    progress = job["progress"]
    reason = f" ({job['status_reason']})" if job["status_reason"] else ""
    yield f"status: {job['status']}{reason}, epoch {progress['epoch']} of {progress['epochs']}, step {progress['step']}"
    if job["error"]:
        yield f"error: {job['error']['code']}: {_cut(job['error']['detail'], MOST_OF_A_TEXT)}"
    if job["best"]:
        yield f"best epoch: {_metrics(job['best'])}"
    if job["metrics"]:
        yield f"last epoch: {_metrics(job['metrics'])}"
    so_far = "" if said["complete"] else " so far"
    yield f"verdict{so_far}: {said['verdict']}"
    yield from _findings(said["findings"], job["links"]["repairs"])
    yield f"more: GET {job['links']['diagnosis']}"


def _findings(findings: list[Mapping[str, Any]], repairs: str) -> Iterator[str]:
    if not findings:
        return
    cause, *others = findings
    yield f"cause: {cause['code']} ({cause['severity']}): {_cut(cause['explanation'], MOST_OF_A_TEXT)}"
    if others:
        yield "also: " + ", ".join(f"{finding['code']} ({finding['severity']})" for finding in others)
    if cause["remedies"]:
        remedy = cause["remedies"][0]
        changes = ", ".join(f"{item['path']} = {json.dumps(item.get('value'))}" for item in remedy["patch"])
        yield f"remedy: {remedy['id']}: {_cut(changes, MOST_OF_A_TEXT)}; expected: {remedy['expected']}"
        yield f'apply it: POST {repairs} {{"remedy": "{remedy["id"]}"}}'


def _metrics(row: Mapping[str, Any]) -> str:
    """The telling ones first; a number that is not finite is null."""
    names = [name for name in METRICS_FIRST if name in row]
    names += [name for name in row if name not in names and name != "epoch"]
    shown = [f"{name} {_number(row[name])}" for name in names[:MOST_METRICS]]
    return f"{row.get('epoch', '')}: {', '.join(shown)}"


def _number(value: Any) -> str:
    return "null" if value is None else f"{value:.4g}"


def _cut(text: str, most_bytes: int) -> str:
    """As much of a text as fits."""
    told = text.encode()
    return text if len(told) <= most_bytes else told[: most_bytes - 3].decode(errors="ignore") + "..."
