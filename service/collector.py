"""What the database, the disk and this process say of the service, in the words of Prometheus.

What is read from the database is the same in every process of the API: dashboards take the `max` of it, not the `sum`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import product

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from models import tallies
from models.database import Database
from models.diagnosis.finding import Code, Severity
from models.disk import free_bytes
from models.figures import PRIORITIES, UNDER_WAY, Figures
from models.fleet import Crew
from models.settings import Settings
from models.states import TERMINAL, Verdict
from models.tasks import Kind
from service.known_figures import KnownFigures
from service.problems import EXPLAINED
from service.watcher import Watcher

ERRORS = [code for code, explained in EXPLAINED.items() if explained.status is None]
"""Codes that the `error` of a job may have, besides those of findings that a policy ends it for."""


class Collector:
    """Asked at each scrape."""

    def __init__(self, settings: Settings, database: Database, figures: KnownFigures, watcher: Watcher) -> None:
        self._settings = settings
        self._database = database
        self._figures = figures
        self._watcher = watcher

    def collect(self) -> Iterator[Metric]:
        seen = self._figures.now()
        figures = seen.figures
        yield gauge("reachable", "Whether what the service stands on answers: 1 or 0.", ["part"], seen.reachable)
        yield gauge("build_info", "Always 1, with the version.", ["version"], {version("descent"): 1})
        yield gauge("disk_free_bytes", "Free on the disk of the data folder.", [], free_bytes(self._settings.data))
        yield gauge("waiters", "Long-polls and event streams that this process holds.", [], self._watcher.taken)
        in_use = self._database.engine.pool.checkedout()  # type: ignore[attr-defined]
        yield gauge("database_connections_in_use", "Of this process.", [], in_use)
        if figures is not None:
            yield from of_jobs(figures)
            yield from of_workers(figures)
            yield from counted(figures)


def of_jobs(figures: Figures) -> Iterator[Metric]:
    waiting = {name: figures.waiting.get(name) for name in PRIORITIES}
    counts = {name: line.count if line else 0 for name, line in waiting.items()}
    ages = {name: line.age_seconds if line else 0.0 for name, line in waiting.items()}
    yield gauge("queue_jobs", "Jobs that wait, by priority: below 0, 0, above.", ["priority"], counts)
    yield gauge("queue_age_seconds", "For how long the oldest of them has waited.", ["priority"], ages)
    states = {str(status): figures.states.get(status, 0) for status in UNDER_WAY}
    yield gauge("jobs", "Jobs under way that do not wait, by status.", ["status"], states)
    lag = "Age of the newest record of the running job of which that is oldest: statistics, epochs, progress."
    yield gauge("statistics_lag_seconds", lag, [], figures.unreported_seconds)
    unsaved = "Since the last checkpoint, or the start, of the running job of which that is longest ago."
    yield gauge("checkpoint_age_seconds", unsaved, [], figures.unsaved_seconds)
    tasks = {str(kind): figures.tasks.get(kind) for kind in Kind}
    numbers = {kind: line.count if line else 0 for kind, line in tasks.items()}
    yield gauge("tasks", "Exports, evaluations and files of predictions that wait or run.", ["kind"], numbers)
    ages = {kind: line.age_seconds if line else 0.0 for kind, line in tasks.items()}
    yield gauge("task_age_seconds", "Age of the oldest of them.", ["kind"], ages)
    yield gauge("datasets_ingesting", "Uploads that are read, or wait for that.", [], figures.ingesting)
    untold = figures.untold
    yield gauge("webhook_backlog", "Messages that webhooks are yet to be told.", [], untold.count)
    yield gauge("webhook_backlog_age_seconds", "For how long the oldest of them has waited.", [], untold.age_seconds)


def of_workers(figures: Figures) -> Iterator[Metric]:
    crews = figures.fleet.crews
    workers = {"alive": len(figures.fleet.alive), "lost": len(crews) - len(figures.fleet.alive)}
    yield gauge("workers", "Workers that were heard of within a lease, and those that were not.", ["state"], workers)
    slots: Counter[tuple[str, str]] = Counter()
    busy: Counter[tuple[str, str]] = Counter()
    beats: dict[str, float] = {}
    for crew in figures.fleet.alive:
        for place in crew.places:
            slots[crew.row.host, place.device] += 1
            busy[crew.row.host, place.device] += place.job is not None
        beats[crew.row.host] = max(beats.get(crew.row.host, 0.0), silence(crew))
    yield gauge("slots", "Places for a job on the devices of living workers.", ["host", "device"], slots)
    yield gauge("slots_busy", "Of these those that hold a job.", ["host", "device"], busy)
    yield gauge("worker_silence_seconds", "Since the last heartbeat of a living worker.", ["host"], beats)


def silence(crew: Crew) -> float:
    return max(float(crew.row.now - crew.row.heartbeat_at), 0.0)


def counted(figures: Figures) -> Iterator[Metric]:
    counts = figures.counts
    ended = zeros(sorted(TERMINAL), Verdict) | counts.get(tallies.ENDED, {})
    yield counter("jobs_ended", "Jobs that ended, by status and verdict.", ["status", "verdict"], ended)
    failed = first(zeros(ERRORS, [""]) | counts.get(tallies.FAILED, {}))
    yield counter("jobs_failed", "Of these those that failed, by the code of their error.", ["code"], failed)
    found = zeros(Code, Severity) | counts.get(tallies.FOUND, {})
    yield counter("findings", "Findings of jobs that ended, by code and severity.", ["code", "severity"], found)
    back = first(zeros(tallies.REASONS, [""]) | counts.get(tallies.GIVEN_BACK, {}))
    told = "Attempts that did not come to an end: lost with their process, or handed over at a shutdown."
    yield counter("attempts_given_back", told, ["reason"], back)
    seconds = figures.count(tallies.DEVICE_SECONDS)
    yield counter("device_seconds", "For which attempts held a device; two devices count twice.", [], seconds)
    lost = figures.count(tallies.LOST_SAMPLES)
    yield counter("statistics_lost_samples", "Samples of statistics that the database refused.", [], lost)
    waits = SummaryMetricFamily(
        "descent_job_wait_seconds", "From submission to first start, of jobs that ended after they had started."
    )
    waits.add_metric([], int(figures.count(tallies.WAITS)), figures.count(tallies.WAITED))
    yield waits


Values = float | Mapping[str, float] | Mapping[tuple[str, str], float]


def gauge(name: str, text: str, labels: list[str], values: Values) -> Metric:
    return filled(GaugeMetricFamily(f"descent_{name}", text, labels=labels), values)


def counter(name: str, text: str, labels: list[str], values: Values) -> Metric:
    return filled(CounterMetricFamily(f"descent_{name}", text, labels=labels), values)


def filled(family: GaugeMetricFamily | CounterMetricFamily, values: Values) -> Metric:
    """With a value for each label, or each pair of labels; or one value."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            family.add_metric([key] if isinstance(key, str) else list(key), value)
    else:
        family.add_metric([], values)
    return family


def zeros(labels: Iterable[str], details: Iterable[str]) -> dict[tuple[str, str], float]:
    """What has not happened yet is told as 0: of a series that begins with 1 Prometheus would see no increase."""
    return {(str(label), str(detail)): 0.0 for label, detail in product(labels, details)}


def first(counts: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """By the first of two labels, where the second says nothing."""
    return {label: value for (label, _), value in counts.items()}
