"""What the command line is by itself: its page, its walls, how long it takes to say what it can."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.commands.compare import differences
from cli.commands.diagnose import _ranges
from cli.exits import code_of
from cli.heat_map import MOST_ROWS, lines, map_of, merged
from cli.output import Output
from cli.place import place_of
from cli.reference import PAGE, page
from cli.texts import duration, number, patched, plain, size

LAZY = {"httpx", "rich", "flask", "torch", "numpy", "sqlalchemy", "service", "models"}


def test_the_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text() == page(PAGE.read_text()), "run `make reference`"


def test_the_page_names_every_exit_code() -> None:
    from cli import exits

    codes = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    for code in codes | {0}:
        assert f"| {code} |" in PAGE.read_text()


def test_help_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys, json\n"
        "sys.argv = ['descent', '--help']\n"
        "import cli.main\n"
        "try:\n    cli.main.main()\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "submit" in done.stdout
    assert LAZY & set(json.loads(done.stdout.splitlines()[-1])) == set()


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (("succeeded", "healthy"), 0), (("succeeded", "warning"), 0), (("succeeded", "unhealthy"), 10),
        (("succeeded", "unknown"), 13), (("failed", "unhealthy"), 11), (("cancelled", "unknown"), 12),
    ],
)  # fmt: skip
def test_the_exit_code_of_a_job_is_its_status_then_its_verdict(job: tuple[str, str], code: int) -> None:
    assert code_of({"status": job[0], "verdict": job[1]}) == code


def test_the_key_of_this_machine_is_not_sent_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DESCENT_URL", "DESCENT_API_KEY", "DESCENT_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DESCENT_DATA", str(tmp_path))
    (tmp_path / "api-key").write_text("dsc_here\n")
    assert (place_of(None, None).url, place_of(None, None).key) == ("http://127.0.0.1:8700", "dsc_here")
    assert place_of("https://descent.example.com/", None).key is None
    assert place_of("http://127.0.0.1.example.com", None).key is None
    assert place_of("http://localhost:1", "mine").key == "mine"
    monkeypatch.setenv("DESCENT_API_KEY", "dsc_set")
    monkeypatch.setenv("DESCENT_PORT", "9000")
    assert place_of(None, None).url == "http://127.0.0.1:9000"
    assert place_of("https://descent.example.com", None).key == "dsc_set"


def gradients(rows: int, steps: int, **changes: Any) -> dict[str, Any]:
    """An answer in which each layer has ten times the gradient of the one before."""
    layers = [{"name": f"hidden.{row}.weight", "kind": "weight"} for row in range(rows)]
    return {
        "layers": [*layers, {"name": "hidden.0.bias", "kind": "bias"}],
        "steps": list(range(steps)),
        "values": [[*(10.0 ** (row % 100) for row in range(rows)), 1.0] for _ in range(steps)],
    } | changes


def test_the_heat_map_has_a_row_for_each_weight_and_a_cell_for_each_step() -> None:
    found = map_of(gradients(3, 7))
    assert found is not None
    drawn = ["".join(text for text, _ in row) for row in lines(found, coloured=False)]
    assert [row[23:] for row in drawn[:3]] == [".......", "+++++++", "@@@@@@@"]
    assert "1e+00" in drawn[-1]
    coloured = lines(found, coloured=True)[2]
    assert merged(coloured)[-1] == (" " * 7, "on #fde725")


def test_the_heat_map_shows_what_is_not_finite_or_zero_and_keeps_to_its_rows() -> None:
    values = [[None, 0.0, 1e300]]
    given = gradients(3, 1, values=values, layers=[{"name": "a\x1b[31m", "kind": "weight"}] * 3)
    found = map_of(given)
    assert found is not None
    drawn = lines(found, coloured=False)
    assert [row[-1][0] for row in drawn[:3]] == ["!", "0", "+"]
    assert "\x1b" not in "".join(text for row in drawn for text, _ in row)
    many = map_of(gradients(500, 2))
    assert many is not None
    assert len(many.rows) == MOST_ROWS
    assert (many.labels[0], many.labels[-1]) == ("hidden.0", "hidden.499")
    assert map_of(gradients(0, 3)) is None
    assert map_of(gradients(3, 0)) is None


def test_definitions_differ_where_their_leaves_do() -> None:
    one = {"name": "a", "tags": [], "network": {"hidden": [8], "activation": "relu"}, "priority": 0}
    other = one | {"name": "b", "network": {"hidden": [8, 8], "activation": "relu", "norm": "batch"}}
    assert differences([one, other]) == {"/network/hidden": [[8], [8, 8]], "/network/norm": [None, "batch"]}


def test_a_name_adds_no_line_to_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    Output().fact("job", ("job_1", "bold"), "  mine\nverdict     healthy")
    assert capsys.readouterr().out == "job         job_1  mine verdict     healthy\n"


def test_texts_for_people() -> None:
    assert (number(None), number(3), number(0.123456), number(math.inf)) == ("-", "3", "0.1235", "inf")
    assert (size(None), size(999), size(1_500_000)) == ("-", "999 B", "1.5 MB")
    assert (duration(0.5), duration(75), duration(3700)) == ("0.5 s", "1 min 15 s", "1 h 01 min")
    assert plain("a\x1b[31m\tb\nc") == "a\ufffd[31m\ufffdb\nc"
    assert patched([{"op": "replace", "path": "/a", "value": "b"}, {"op": "remove", "path": "/c"}]) == '/a = "b", no /c'
    assert _ranges([7, 0, 1, 2]) == "0-2, 7"
