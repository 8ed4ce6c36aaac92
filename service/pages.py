"""Pages about codes, for people and for agents that met one: `/docs/problems/{code}`, `/docs/errors/{code}` and
`/docs/findings/{code}`."""

from flask import Flask, render_template

from models.diagnosis.explained import meaning_of, reasons_of
from models.diagnosis.finding import Code
from models.errors import NotFound
from service.item_codes import ITEMS
from service.problems import EXPLAINED, OF_JOBS

WHERE = (
    "GET /v1/jobs/{id}/diagnosis tells of a job what was measured, in which layers and since which step, and offers \
remedies. POST /v1/jobs/{id}/repairs applies one."
)


def add_pages(app: Flask) -> None:
    """They answer without a key, as all of /docs does."""
    app.add_url_rule("/docs/problems", "problems", list_problems)
    app.add_url_rule("/docs/problems/<code>", "problem", show_problem)
    app.add_url_rule("/docs/errors", "errors", list_errors)
    app.add_url_rule("/docs/errors/<code>", "error", show_error)
    app.add_url_rule("/docs/findings", "findings", list_findings)
    app.add_url_rule("/docs/findings/<code>", "finding", show_finding)


def list_problems() -> str:
    entries = {code: explained.meaning for code, explained in EXPLAINED.items()}
    return render_template("explained.html", title="Problems", paragraphs=[], entries=entries)


def show_problem(code: str) -> str:
    if code not in EXPLAINED:
        raise NotFound("There is no problem of this code.")
    explained = EXPLAINED[code]
    where = OF_JOBS if explained.status is None else f"HTTP status {explained.status.value}"
    facts = {"Seen as": where, "What to do": explained.advice}
    return render_template("explained.html", title=code, code=code, paragraphs=[explained.meaning], facts=facts)


def list_errors() -> str:
    order = "What may be wrong with one place of a body, in `errors` of a problem."
    return render_template("explained.html", title="Errors", paragraphs=[order], entries=ITEMS)


def show_error(code: str) -> str:
    if code not in ITEMS:
        raise NotFound("There is no error of this code.")
    facts = {"Seen as": "an item of `errors`, with its place in `pointer`", "What to do": "`hint` tells."}
    return render_template("explained.html", title=code, code=code, paragraphs=[ITEMS[code]], facts=facts)


def list_findings() -> str:
    entries = {code.value: meaning_of(code) for code in Code}
    order = "In order of precedence: of those that are true the first is the cause."
    return render_template("explained.html", title="Findings", paragraphs=[order], entries=entries)


def show_finding(code: str) -> str:
    if code not in set(Code):
        raise NotFound("There is no finding of this code.")
    found = Code(code)
    paragraphs = [meaning_of(found), *reasons_of(found), WHERE]
    return render_template("explained.html", title=code, code=code, paragraphs=paragraphs)
