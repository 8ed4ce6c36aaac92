"""The conditions of a list of jobs, by the parameters that ask for them."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, bindparam, func, select
from sqlalchemy.sql.functions import GenericFunction

from models.database import spelt
from models.ids import bound
from models.metrics import METRICS
from models.tables import Finding, Job

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
METRIC_FORM = re.compile(
    r"([a-z0-9_]{1,50})(<=|>=|<|>)(-?\d{1,30}(?:\.\d{0,30})?(?:e[+ -]?\d{1,2})?)", re.IGNORECASE | re.ASCII
)
SPECIAL = re.compile(r"[\\%_]")
"""To LIKE."""
CLOCKS_DIFFER = 86_400.0
"""Seconds at most between the clock of a job's id and that of its `created_at`."""


class json_elements(GenericFunction[Any]):  # noqa: N801
    """The texts of a JSON array as rows with a `value`."""

    inherit_cache = True


spelt(json_elements, sqlite="json_each({})", postgresql="json_array_elements_text({})")

_jobs, _findings = Job.__table__.c, Finding.__table__.c
_tags = json_elements(_jobs.tags).table_valued("value")
_has_tag = select(_tags.c.value).where(_tags.c.value == bindparam("tag", type_=Text)).exists()
FILTERS: dict[str, tuple[ColumnElement[bool], ...]] = {
    "status": (_jobs.status == bindparam("status"),),
    "verdict": (_jobs.verdict == bindparam("verdict"),),
    "parent": (_jobs.parent == bindparam("parent"),),
    "finding": (_findings.code == bindparam("finding"),),
    "family": (_jobs.family == bindparam("family"),),
    "dataset": (_jobs.dataset == bindparam("dataset"),),
    "tag": (_has_tag,),
    "name": (func.lower(_jobs.name).like(func.lower(bindparam("name", type_=Text)), escape="\\"),),
    "created_after": (_jobs.created_at >= bindparam("created_after"), _jobs.id >= bindparam("first_id")),
    "created_before": (_jobs.created_at < bindparam("created_before"), _jobs.id < bindparam("last_id")),
}


@dataclass(frozen=True)
class Threshold:
    """A metric of a job's best epoch, and what it has to be."""

    name: str
    compared: str
    """One of OPERATORS."""
    value: float

    @classmethod
    def read(cls, text: str) -> "Threshold":
        """Of a text like `validation_loss<0.1`.

        Raises:
            ValueError: it has another form, or there is no such metric.
        """
        parts = METRIC_FORM.fullmatch(text)
        if parts is None:
            raise ValueError(f"It should be a metric, one of {' '.join(OPERATORS)}, and a number: validation_loss<0.1.")
        if parts[1] not in METRICS:
            raise ValueError(f"There is no metric {parts[1]!r}; there are {', '.join(METRICS)}.")
        # A plus in a URL is a space.
        return cls(parts[1], parts[2], float(parts[3].replace(" ", "+")))

    @property
    def condition(self) -> ColumnElement[bool]:
        """Never true of what is not there, or was not finite."""
        measured = _jobs.best[self.name].as_float()
        found: ColumnElement[bool] = OPERATORS[self.compared](measured, bindparam("metric"))
        return found


def values_of(wanted: dict[str, Any]) -> dict[str, Any]:
    """The parameters of FILTERS and of a Threshold, for what a list is asked for."""
    given = {name: value for name, value in wanted.items() if value is not None}
    if "name" in given:
        given["name"] = "%" + SPECIAL.sub(r"\\\g<0>", given["name"]) + "%"
    if "created_after" in given:
        given["first_id"] = bound("job", given["created_after"] - CLOCKS_DIFFER)
    if "created_before" in given:
        given["last_id"] = bound("job", given["created_before"] + CLOCKS_DIFFER)
    if "metric" in given:
        given["metric"] = given["metric"].value
    return given
