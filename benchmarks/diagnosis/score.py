"""How good a diagnosis is: shares of the zoo, with 95 % intervals, beside those of other tools."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from benchmarks.diagnosis.chance import wilson
from benchmarks.diagnosis.labels import HARM, Judged, Label
from benchmarks.diagnosis.repairs import Repaired
from benchmarks.diagnosis.runs import Runs
from benchmarks.diagnosis.said import OURS, SYSTEMS, Said, said_by
from benchmarks.report import Table
from models.diagnosis.finding import Code


@dataclass(frozen=True)
class Row:
    """One case and all that was said and done about it."""

    judged: Judged
    said: Mapping[str, Said]
    """By system."""
    repaired: Mapping[str, Repaired] = field(default_factory=dict)
    """By repairer, for a sick job."""
    cost: float = 0.0
    """Of the statistics, as a share of training."""
    is_well: bool = True
    """Whether the one run that was judged ended as well as its own best epoch and as the jobs it is compared with: a
    healthy case may have a seed that fails."""

    @property
    def label(self) -> Label:
        return self.judged.label

    def right(self, system: str = OURS, among: int = 1) -> bool:
        return self.said[system].right(self.judged.case, among)

    def plain(self) -> dict[str, Any]:
        """As a row of docs/diagnosis.json."""
        case, ours = self.judged.case, self.said[OURS]
        return {
            "id": case.id,
            "half": case.half,
            "injection": case.injection,
            "expected": sorted(case.expected),
            "label": self.label.value,
            "skill": round(median(self.judged.final), 3),
            "control": round(median(self.judged.control), 3),
            "faults": list(ours.symptoms),
            "right": self.right(),
            "run_is_well": self.is_well,
            "alarms": {name: list(said.symptoms) for name, said in self.said.items() if name != OURS},
            "repaired": {name: one.done for name, one in self.repaired.items()},
            "remedies": {name: one.tried for name, one in self.repaired.items()},
        }


def rows_of(judged: Sequence[Judged], runs: Runs, repaired: Mapping[str, Mapping[str, Repaired]]) -> list[Row]:
    """Of all cases but those that were dropped; by their first seed."""
    return [_row(one, runs, repaired) for one in judged if one.label != Label.DROPPED]


def _row(judged: Judged, runs: Runs, repaired: Mapping[str, Mapping[str, Repaired]]) -> Row:
    definition = judged.case.seeded(0)
    record = runs.get(definition, evidence=True)
    evidence = record.evidence(definition)
    done = {name: cases[judged.case.id] for name, cases in repaired.items() if judged.case.id in cases}
    said = {name: said_by(name, judged.case, evidence) for name in SYSTEMS}
    aim = max(record.outcome.best, median(judged.control))
    return Row(judged, said, done, record.outcome.cost, aim - record.outcome.final < HARM)


def share(hits: Iterable[bool]) -> str:
    """A percentage, its interval and its counts."""
    values = list(hits)
    if not values:
        return "-"
    low, high = wilson(sum(values), len(values))
    return f"{100 * mean(values):.1f} % ({100 * low:.0f}-{100 * high:.0f}, {sum(values)}/{len(values)})"


def of(rows: Sequence[Row], *labels: Label) -> list[Row]:
    return [row for row in rows if row.label in labels]


def systems(rows: Sequence[Row]) -> Table:
    columns = (
        "system",
        "found",
        "first cause right",
        "first two",
        "any",
        "layer",
        "false on healthy",
        "false on benign",
    )
    alarms = [row for row in of(rows, Label.HEALTHY, Label.BENIGN) if row.said[OURS].found]
    note = (
        "Of sick jobs, by faults: warnings do not count. In brackets the 95 % interval (Wilson) and the counts. The "
        "label is that of five seeds, the diagnosis that of the first one's run: of Descent's "
        f"{len(alarms)} false alarms {sum(not row.is_well for row in alarms)} are of runs that themselves ended "
        f"{HARM} or more below their best epoch or their control."
    )
    return Table("Found, and false alarms", columns, [_system(name, rows) for name in SYSTEMS], note)


def _system(name: str, rows: Sequence[Row]) -> list[str]:
    sick = of(rows, Label.SICK)
    placed = [row for row in sick if row.judged.case.layer is not None and any(row.said[name].layers)]
    false = [[row.said[name].found for row in of(rows, label)] for label in (Label.HEALTHY, Label.BENIGN)]
    return [
        name,
        share(row.said[name].found for row in sick),
        share(row.right(name) for row in sick),
        share(row.right(name, 2) for row in sick),
        share(row.right(name, len(row.said[name].codes)) for row in sick),
        share(row.said[name].layer_right(row.judged.case) for row in placed),
        *map(share, false),
    ]


def repairs(rows: Sequence[Row]) -> Table:
    sick = [row for row in of(rows, Label.SICK) if row.judged.case.repairable]
    names = list(dict.fromkeys(name for row in sick for name in row.repaired))
    note = (
        "At most two jobs, 90 % of the gap to the control closed, the same budget, no new fault. Cost: seconds of "
        "those jobs per second of the sick one."
    )
    table = [[name, share(row.repaired[name].done for row in sick), _cost(name, sick)] for name in names]
    return Table("Repaired", ("repairer", "repaired", "cost"), table, note)


def _cost(name: str, sick: Sequence[Row]) -> float:
    return sum(row.repaired[name].seconds for row in sick) / sum(row.judged.seconds for row in sick)


def injections(rows: Sequence[Row]) -> Table:
    """By what was injected."""
    names = dict.fromkeys(row.judged.case.injection for row in rows if len(row.judged.case.injections) == 1)
    groups = {name: [row for row in rows if row.judged.case.injection == name] for name in names}
    doubles = [row for row in rows if len(row.judged.case.injections) == 2]
    groups |= {"two at once": doubles} if doubles else {}
    columns = ("injection", "sick", "benign", "found", "first cause right", "repaired", "false on benign")
    return Table("By injection", columns, [_injection(name, group) for name, group in groups.items()])


def _injection(name: str, rows: Sequence[Row]) -> list[Any]:
    sick, benign = of(rows, Label.SICK), of(rows, Label.BENIGN)
    repaired = [row.repaired[OURS].done for row in sick if OURS in row.repaired and row.judged.case.repairable]
    found = share(row.said[OURS].found for row in sick)
    right, false = share(row.right() for row in sick), share(row.said[OURS].found for row in benign)
    return [name, len(sick), len(benign), found, right, share(repaired), false]


def codes(rows: Sequence[Row]) -> Table:
    """By what was said first."""
    columns = ("code", "said first", "precision", "recall", "repaired")
    note = (
        "Precision: of the jobs, healthy ones too, that have it as their first fault. Recall: of the sick jobs for "
        "which it is the only right answer."
    )
    table = [_code(code, rows) for code in Code]
    return Table("By finding", columns, [row for row in table if row[1] or row[3] != "-"], note)


def _code(code: Code, rows: Sequence[Row]) -> list[Any]:
    said = [row for row in rows if row.said[OURS].symptoms[:1] == (code.value,)]
    wanted = [row for row in of(rows, Label.SICK) if row.judged.case.expected == {code}]
    done = [row.repaired[OURS].done for row in said if OURS in row.repaired and row.judged.case.repairable]
    precision = share(row.label == Label.SICK and row.right() for row in said)
    return [code.value, len(said), precision, share(row.right() for row in wanted), share(done)]


def cost(rows: Sequence[Row]) -> str:
    """What the statistics of a job took."""
    costs = [row.cost for row in rows if row.cost == row.cost]
    return f"Statistics took {100 * median(costs):.1f} % of training in median." if costs else ""


MISTAKES: dict[str, Callable[[Row], bool]] = {
    "missed": lambda row: row.label == Label.SICK and not row.said[OURS].found,
    "wrong cause": lambda row: row.label == Label.SICK and row.said[OURS].found and not row.right(),
    "false alarm": lambda row: row.label != Label.SICK and row.said[OURS].found,
    "not repaired": lambda row: row.right() and OURS in row.repaired and row.judged.case.repairable
    and not row.repaired[OURS].done,
}  # fmt: skip


def mistakes(rows: Sequence[Row]) -> Iterable[str]:
    """What went wrong, a line each; `explain ID` shows the evidence."""
    for name, applies in MISTAKES.items():
        for row in filter(applies, rows):
            case = row.judged.case
            tried = row.repaired[OURS].tried if OURS in row.repaired else ()
            skill = f"{median(row.judged.final):.2f} of {median(row.judged.control):.2f}"
            said = f"{', '.join(row.said[OURS].symptoms) or '-'} for {', '.join(sorted(case.expected)) or '-'}"
            yield f"{name}: {case.id} skill {skill}: {said}{f' tried {tried}' if tried else ''}"
            yield from (f"    {reason}" for reason in row.said[OURS].reasons[:1])
