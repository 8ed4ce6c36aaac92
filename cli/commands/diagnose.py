"""`descent diagnose`: why a network learned or did not."""

from typing import Any

import click

from cli.heat_map import lines, map_of, merged
from cli.output import Output, styled
from cli.paths import job_path
from cli.session import JOB, Session, talking
from cli.texts import number, patched

NUMBERS = ("value", "expected", "threshold")
NARROWEST, WIDEST = 10, 100
"""Columns of the heat map."""
BESIDE = 26
"""What stands beside it."""


@click.command()
@click.argument("job", type=JOB)
@click.option("--no-map", is_flag=True, help="Without the heat map of gradients.")
@talking
def diagnose(session: Session, job: str, no_map: bool) -> None:
    """Say why a network learned or did not: verdict, findings with their evidence, remedies, and the gradient norm of
    each layer at the sampled steps.

    JOB is an id, `latest`, or `-`: an id on stdin.
    """
    job_id, output = session.job_id(job), session.output
    found = session.client.get(job_path(job_id, "diagnosis"))
    if output.as_json:
        output.json(found)
        return
    print_diagnosis(output, found)
    if not no_map:
        print_map(session, job_id)


def print_diagnosis(output: Output, found: dict[str, Any]) -> None:
    soon = "" if found["complete"] else ", so far"
    output.line(styled(found["verdict"]), f": skill {number(found['skill'], 3)} of 1{soon}   ", (found["job"], "dim"))
    for finding in found["findings"]:
        _print_finding(output, finding)
    if incident := found.get("incident"):
        place = incident["tensor"] or incident["place"]
        output.line(("incident", "bold red"), f" {incident['kind']} in {place} at step {incident['step']}", indent=2)
    if margins := sorted(found["margins"].items(), key=lambda margin: margin[1])[:6]:
        away = ", ".join(f"{code} {number(times, 2)}" for code, times in margins)
        output.line("")
        output.line(("factors to the next faults", "dim"), f" {away}", indent=2)
    if repair := found.get("repair"):
        print_cure(output, repair)


def _print_finding(output: Output, finding: dict[str, Any]) -> None:
    since = "" if finding["first_step"] is None else f", first seen at step {finding['first_step']}"
    layers = f", layers {_ranges(finding['layers'])}" if finding["layers"] else ""
    output.line("")
    output.line(styled(finding["severity"]), " ", (finding["code"], "bold"), f"{since}{layers}", indent=2)
    output.line(finding["explanation"], indent=4)
    for measured in finding["evidence"]:
        numbers = [f"{name} {number(measured[name], 3)}" for name in NUMBERS if measured[name] is not None]
        output.line((f"{measured['statistic']:<24}", "cyan"), "   ".join(numbers), indent=4)
    for remedy in finding["remedies"]:
        output.line(("remedy ", "green"), (remedy["id"], "bold green"), f": {patched(remedy['patch'])}", indent=4)
        output.line((f"expected: {remedy['expected']}", "dim"), indent=6)


def _ranges(places: list[int]) -> str:
    """`0-3, 7` of 0, 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for place in sorted(places):
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def print_cure(output: Output, repair: dict[str, Any]) -> None:
    """What came of a repair."""
    became = {True: ("gone", "green"), False: ("still there", "bold red")}
    output.line("")
    output.line("repair of ", repair["of"], f" by {repair['remedy']}", indent=2)
    for finding in repair.get("findings", []):
        output.line(f"{finding['code']} is ", became[finding["gone"]], indent=4)
    if metric := repair.get("metric"):
        output.line(f"{metric['name']} {number(metric['before'], 3)} -> {number(metric['after'], 3)}", indent=4)
    if repair.get("cured") is not None:
        output.line(("cured", "bold green") if repair["cured"] else ("not cured", "bold red"), indent=4)


def print_map(session: Session, job_id: str) -> None:
    output = session.output
    width = min(max(output.console.width - BESIDE, NARROWEST), WIDEST)
    gradients = session.client.get(job_path(job_id, "gradients"), statistic="norm", points=width)
    found = map_of(gradients)
    if found is None:
        return
    output.line("")
    output.line(("gradient norm, by layer and step", "bold"))
    for cells in lines(found, output.has_colours):
        output.line(*merged(cells))
