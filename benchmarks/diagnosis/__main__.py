"""`python -m benchmarks.diagnosis [--half HALF] [--only PATTERN] [--write]`: labels the zoo and scores the diagnosis.

`explain ID` shows the evidence of one job, `--labels` stops when the jobs are labelled. Every run is kept under
var/zoo/, so a second call goes on where the first one was stopped.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from typing import TypeVar

from benchmarks.diagnosis.case import HALVES, Case
from benchmarks.diagnosis.explain import after_remedies, explained
from benchmarks.diagnosis.generator import zoo
from benchmarks.diagnosis.labels import Judged, Label, counts, judge
from benchmarks.diagnosis.page import markdown, write
from benchmarks.diagnosis.remedies import REPAIRERS
from benchmarks.diagnosis.repairs import Repaired, repair
from benchmarks.diagnosis.runs import Runs
from benchmarks.diagnosis.score import mistakes, rows_of

SEEDS = 5
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = parsed(arguments)
    runs = Runs(processes=chosen.jobs)
    cases = zoo(chosen.half)
    if chosen.explain:
        case = after_remedies(one_of(cases, chosen.explain), runs, chosen.seed, chosen.after)
        print("\n".join(explained(case, runs, chosen.seed)))
        return
    cases = selected(cases, chosen.only)
    train(cases, runs, chosen.seeds)
    judged = judge(cases, runs, chosen.seeds)
    show(judged, chosen.list)
    if chosen.labels:
        return
    rows = rows_of(judged, runs, repaired(judged, runs))
    print("\n".join(mistakes(rows)))
    print(markdown(rows))
    if chosen.write:
        write(rows)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.diagnosis")
    parser.add_argument("--half", choices=HALVES, help="one half; both where it is left out")
    parser.add_argument("--jobs", type=int, default=2, help="processes that train at once")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="cases whose id matches, and their controls")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="training seeds of each job")
    parser.add_argument("--list", nargs="*", metavar="LABEL", help="name the cases of these labels")
    parser.add_argument("--seed", type=int, default=0, help="of the job to explain")
    parser.add_argument("--after", type=int, default=0, help="so many remedies: of the job to explain")
    parser.add_argument("--labels", action="store_true", help="label the cases, and no more")
    parser.add_argument("--write", action="store_true", help="write docs/diagnosis.md and .json")
    actions = parser.add_subparsers(dest="action", metavar="explain ID")
    actions.add_parser("explain").add_argument("explain", metavar="ID")
    parser.set_defaults(explain=None)
    chosen = parser.parse_args(arguments)
    if chosen.write and chosen.only != "*":
        parser.error("--write is for whole halves")
    return chosen


def one_of(cases: Sequence[Case], name: str) -> Case:
    for case in cases:
        if case.id == name:
            return case
    raise SystemExit(f"There is no case {name!r} here; --labels --list names them all.")


def selected(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Those that match, each after its control."""
    matching = [case for case in cases if fnmatch(case.id, pattern)]
    wanted = {case.id for case in matching} | {case.control for case in matching}
    return [case for case in cases if case.id in wanted]


def train(cases: Sequence[Case], runs: Runs, seeds: int) -> None:
    """All that is missing, seed by seed; the evidence of seed 0 is kept."""
    tasks = [(case.seeded(seed), seed == 0) for seed in range(seeds) for case in cases]
    follow(f"{len(tasks)} runs", runs.all(tasks))


def repaired(judged: Sequence[Judged], runs: Runs) -> dict[str, dict[str, Repaired]]:
    """Of all sick jobs, by repairer and case."""
    sick = [one for one in judged if one.label == Label.SICK]
    return {
        name: follow(f"repairs by {name}", repair(sick, chooser, runs)) or {} for name, chooser in REPAIRERS.items()
    }


def follow(what: str, steps: Iterator[int | T]) -> T | None:
    """A line of progress for a count of what is left; gives what comes of it in the end."""
    started, done = time.monotonic(), 0
    result: T | None = None
    for step in steps:
        if not isinstance(step, int):
            result = step
            continue
        done += 1
        rate = (time.monotonic() - started) / done
        print(f"\r{what}: {done} made, {step} left, about {rate * step / 60:.0f} min ", end="", flush=True)
    print(f"\r{what}: {done} made now, in {time.monotonic() - started:.0f} s{' ' * 20}")
    return result


def show(judged: Sequence[Judged], listed: Sequence[str] | None) -> None:
    columns = [label.value for label in Label]
    print(f"{'injection':32}{''.join(f'{name:>9}' for name in columns)}{'seconds':>9}")
    for name, labels in counts(judged).items():
        seconds = [one.seconds for one in judged if one.case.injection == name]
        mean = sum(seconds) / len(seconds)
        print(f"{name:32}{''.join(f'{labels[column]:9}' for column in columns)}{mean:9.2f}")
    seconds = [one.seconds for one in judged]
    print(f"mean {sum(seconds) / len(seconds):.2f} s, longest {max(seconds):.2f} s, of {len(judged)} jobs")
    for one in judged:
        if listed is not None and (one.label in listed or not listed):
            skills = " ".join(f"{skill:6.2f}" for skill in one.final)
            print(f"{one.label.value:8} {one.case.id:60} {skills}  control {sorted(one.control)[2]:.2f}")


if __name__ == "__main__":
    main()
