"""What the expressions of dashboards and alerts ask for."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import yaml

DOCS = Path(__file__).parents[1] / "docs"
MACROS = re.compile(r"\$__(rate_interval|range|interval)")


def dashboard() -> list[str]:
    """The expressions of `docs/grafana.json`."""
    board = json.loads((DOCS / "grafana.json").read_text())
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return panels + [note["expr"] for note in board["annotations"]["list"]]


def alerts() -> list[dict[str, Any]]:
    """The rules of `docs/alerts.yml`."""
    groups = yaml.safe_load((DOCS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    return dashboard() + [rule["expr"] for rule in alerts()]


def selectors(expression: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The metrics that an expression reads, each with its conditions (label, operator, value).

    Raises:
        ValueError: it is no PromQL.
    """
    parsed = promql_parser.parse(MACROS.sub("5m", expression))
    return list(_selectors(parsed))


def _selectors(node: Any) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    if hasattr(node, "vector_selector"):
        node = node.vector_selector
    if isinstance(node, promql_parser.VectorSelector):
        matchers = [(m.name, str(m.op), m.value) for m in node.matchers.matchers]
        yield node.name, matchers
        return
    for name in ("expr", "lhs", "rhs", "param"):
        if (child := getattr(node, name, None)) is not None:
            yield from _selectors(child)
    for child in getattr(node, "args", ()):
        yield from _selectors(child)
