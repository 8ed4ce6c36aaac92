"""`make textbook`: runs every claim of the textbook through the API of a service of its own, and says which hold,
whether the diagnosis names each failure rightly, and whether its repair comes to what the textbook's cure does.

python examples/textbook.py            all of them; writes docs/textbook.md
python examples/textbook.py xor sine   some of them
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from claims import Chapter, Checked, Textbook
from cures import Cures, Judged
from demo import service

ROOT = Path(__file__).parents[1]
DATA = ROOT / "var" / "textbook"
PAGE = ROOT / "docs" / "textbook.md"


def main() -> None:
    with service(DATA, DESCENT_SLOTS="2") as client:
        holds = run(Textbook(client), sys.argv[1:])
    sys.exit(0 if holds else 1)


def run(textbook: Textbook, names: list[str]) -> bool:
    """Prints what was measured of each claim, then what the diagnoses say and the repairs come to. The page is written
    when all claims were run."""
    started = time.monotonic()
    chapters = [chapter for chapter in textbook.chapters() if not names or chapter["name"] in names]
    textbook.submit(chapters)
    cures = Cures(textbook)
    claims, jobs = {}, {}
    for chapter in chapters:
        claims[chapter["name"]] = [textbook.check(chapter, check) for check in chapter["checks"]]
        tell(f"{chapter['name']}: {chapter['claim']}", claims[chapter["name"]])
        cures.begin(chapter)
    print("\nThe diagnoses, and what their repairs come to")
    for chapter in chapters:
        jobs[chapter["name"]] = list(cures.judged(chapter))
        if jobs[chapter["name"]]:
            tell(chapter["title"], jobs[chapter["name"]])
    seconds = time.monotonic() - started
    holds = all(row.holds for rows in (*claims.values(), *jobs.values()) for row in rows)
    counts = {"claims": len(chapters), "jobs": len(textbook.jobs), "repairs": cures.count, "seconds": seconds}
    print("\n{claims} claims, {jobs} jobs, {repairs} repairs in {seconds:.0f} s".format(**counts), end=": ")
    print("all hold" if holds else "NOT ALL HOLD")
    if not names:
        sections = [section(chapter, claims[chapter["name"]], jobs[chapter["name"]]) for chapter in chapters]
        PAGE.write_text(HEADING.format(**counts) + "".join(sections))
    return holds


def tell(title: str, rows: Sequence[Checked | Judged]) -> None:
    print(f"\n{'holds ' if all(row.holds for row in rows) else 'FAILS '} {title}")
    for row in rows:
        print(f"    {'ok  ' if row.holds else 'FAIL'} {row}")
    sys.stdout.flush()


HEADING = """# The textbook

Why neural networks fail to learn, and what cured it: {claims} claims, each shown by jobs that anyone can post
(`GET /v1/textbook`, [examples/textbook](../examples/textbook)). This page was written by `make textbook`, which ran all
{jobs} jobs and {repairs} repairs through the API in {seconds:.0f} s on two CPU slots.

Each chapter ends in what the diagnosis of its jobs says first, and what becomes of the sick ones by
`POST /v1/jobs/{{id}}/repairs`, without a word about what to do: a repair that still has a fault is repaired once more.
"""
CLAIMS = ("what", "measured", "claim", "holds")
JOBS = ("job", "its diagnosis should say", "says", "repaired by", "before → after", "holds")


def section(chapter: Chapter, claims: Sequence[Checked], jobs: Sequence[Judged]) -> str:
    verdict = "The claim holds." if all(row.holds for row in claims) else "**The claim does not hold.**"
    text = f"**{chapter['claim']}** {chapter['why']} Expected: {chapter['expected']} {verdict}"
    tables = [table(CLAIMS, claims), *([table(JOBS, jobs)] if jobs else [])]
    return "\n".join([f"\n## {chapter['title']}\n\n{text}\n", *tables, f"Jobs: `{chapter['name']}`\n"])


def table(head: tuple[str, ...], rows: Sequence[Checked | Judged]) -> str:
    lines = [head, ("---",) * len(head), *((*row.cells(), "yes" if row.holds else "**no**") for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
