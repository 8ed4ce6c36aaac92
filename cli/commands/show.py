"""`descent show`: one job."""

from typing import Any

import click

from cli.commands.submit import ended
from cli.output import Output, styled
from cli.paths import job_path
from cli.session import JOB, Session, talking
from cli.texts import duration, number, patched

METRICS = (
    "train_loss", "validation_loss", "train_accuracy", "validation_accuracy", "validation_macro_f1", "validation_rmse",
    "validation_mae", "validation_r2", "skill", "validation_skill",
)  # fmt: skip


@click.command()
@click.argument("job", type=JOB)
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Until it has ended; the exit code is its verdict.")
@talking
def show(session: Session, job: str, is_followed: bool) -> int:
    """Show a job: status, verdict, metrics, findings.

    JOB is an id, `latest`, or `-`: an id on stdin.
    """
    if is_followed:
        return ended(session, session.job_id(job))
    found = session.job(job)
    if session.output.as_json:
        session.output.json(found)
    else:
        print_job(session.output, found)
    return 0


def print_job(output: Output, job: dict[str, Any]) -> None:
    definition, progress = job["definition"], job["progress"]
    output.fact("job", (job["id"], "bold"), f"  {job['name']}")
    output.fact("status", styled(job["status"]), f"  {job['status_reason'] or ''}")
    output.fact("verdict", styled(job["verdict"]))
    for finding in job["findings"]:
        output.fact("", styled(finding["severity"]), f" {finding['code']}")
    if job["error"]:
        output.fact("error", (job["error"]["code"], "bold red"), f" {job['error']['detail']}")
    network = definition["network"]["family"]
    output.fact("trains", f"{network} on {definition['data']['dataset']}")
    output.fact("progress", f"epoch {progress['epoch']} of {progress['epochs']}, step {progress['step']}")
    print_best(output, job)
    timings = job["timings"] or {}
    if "training" in timings:
        took = f"{duration(timings['training'])} of training, {timings['steps']:.0f} steps on {job['device']}"
        output.fact("took", took)
    if job["parent"]:
        output.fact("parent", f"{job['parent']} ({job['origin']})")
    for child in job["repairs"]:
        output.fact("repair", f"{child['id']} {child['remedy']}: ", styled(child["verdict"]))
    if job["queue"]:
        queue = job["queue"]
        output.fact("waits", f"place {queue['position']}, for {queue['waiting_for']}")
    output.fact("created", job["created_at"])


def print_best(output: Output, job: dict[str, Any]) -> None:
    best = job["best"] or {}
    named = [f"{name} {number(best[name])}" for name in METRICS if best.get(name) is not None]
    if named:
        output.fact("best", f"epoch {best.get('epoch')}: {', '.join(named)}")


def print_end(session: Session, job: dict[str, Any]) -> None:
    """Of a job that has ended: the verdict, and why."""
    output = session.output
    output.line(styled(job["status"]), ", ", styled(job["verdict"]))
    print_best(output, job)
    if job["error"]:
        output.fact("error", (job["error"]["code"], "bold red"), f" {job['error']['detail']}")
    if not job["findings"]:
        return
    for finding in session.client.get(job_path(job["id"], "diagnosis"))["findings"]:
        output.fact(finding["severity"], (finding["code"], "bold"), f": {finding['explanation']}")
        for remedy in finding["remedies"][:1]:
            output.fact("remedy", f"{remedy['id']}: {patched(remedy['patch'])}")
    output.note(
        f"`descent diagnose {job['id']}` shows the evidence, `descent repair {job['id']} --follow` tries the remedy."
    )
