"""The real `descent` against a running service, in pipes and on a terminal."""

import csv
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from tests.system.servers import die_with_parent
from tests.system.stack import EXAMPLES, KEY, Stack
from tests.system.terminal import ESCAPES, SCRIPT, Terminal
from tests.waiting import await_true

XOR: dict[str, Any] = {
    "name": "xor",
    "network": {"family": "dnn", "hidden": [8], "activation": "tanh"},
    "data": {"dataset": "xor"},
    "training": {"epochs": 12, "optimizer": {"kind": "adam", "learning_rate": 0.05}},
}
SICK: dict[str, Any] = {
    "name": "deep sigmoid",
    "network": {"family": "dnn", "hidden": [16] * 12, "activation": "sigmoid"},
    "data": {"dataset": "digits"},
    "training": {"epochs": 5},
}


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path) -> Terminal:
    """Of somebody who has the URL and the key."""
    return Terminal(tmp_path, DESCENT_URL=stack.url, DESCENT_API_KEY=KEY)


@pytest.fixture
def one_back_end(stack: Stack) -> None:
    """For what makes no difference: it is a client that is tested."""
    if stack.backend.name != "embedded":
        pytest.skip("the same on every back end")


ONCE = pytest.mark.usefixtures("one_back_end")


def write(folder: Path, name: str, definition: dict[str, Any]) -> str:
    (folder / name).write_text(json.dumps(definition))
    return name


def test_a_sick_job_is_submitted_diagnosed_repaired_and_compared(terminal: Terminal) -> None:
    submitted = terminal.run("submit", write(terminal.folder, "sick.json", SICK), "--follow")
    assert submitted.code == 10, submitted.error
    sick = submitted.out.split()[0]
    assert "unhealthy" in submitted.out
    assert "vanishing_depth" in submitted.out
    assert f"{submitted.out}{submitted.error}" == ESCAPES.sub("", f"{submitted.out}{submitted.error}")

    diagnosed = terminal.run("diagnose", sick)
    assert diagnosed.code == 0
    for part in (
        "fault vanishing_depth",
        "gain_per_layer",
        "remedy relu_he",
        "gradient norm, by layer and step",
        "hidden_0",
    ):
        assert part in diagnosed.out, part
    as_json = terminal.run("diagnose", sick, "--json")
    found = json.loads(as_json.out)
    assert (found["job"], found["verdict"], as_json.error) == (sick, "unhealthy", "")

    repaired = terminal.run("repair", sick, "--follow")
    child = repaired.out.split()[0]
    assert "vanishing_depth is gone" in repaired.out
    assert repaired.code in (0, 10)
    compared = json.loads(terminal.run("compare", child, "--json").out)
    assert [job["id"] for job in compared["jobs"]] == [sick, child]
    assert "/network/activation" in {item["pointer"] for item in compared["differences"]}
    table = terminal.run("compare", sick, child).out
    assert '/network/activation\t"sigmoid"\t"relu"' in table
    shown = terminal.run("show", "-", stdin=f"{sick}\n")
    assert child in shown.out


@ONCE
def test_on_a_terminal_it_has_a_bar_colours_and_a_heat_map(terminal: Terminal) -> None:
    name = write(terminal.folder, "xor.json", XOR)
    followed = terminal.on_tty("submit", name, "--follow")
    assert followed.code == 0, followed.plain
    assert "━" in followed.plain
    assert "epoch 12/12" in followed.plain
    assert "\x1b[32mhealthy" in followed.out
    map_of = terminal.on_tty("diagnose", "latest")
    assert "\x1b[48;5;" in map_of.out
    assert "hidden_0" in map_of.plain
    without = terminal.on_tty("diagnose", "latest", NO_COLOR="1")
    assert "\x1b[3" not in without.out
    assert "\x1b[48" not in without.out
    assert "hidden_0" in without.plain
    jobs = terminal.on_tty("jobs", "--limit", "2")
    assert "findings" in jobs.plain
    assert "xor" in jobs.plain


@ONCE
def test_in_pipes_lists_are_lines_and_stdin_is_a_file(terminal: Terminal) -> None:
    first = terminal.run("submit", "-", "--tag", "piped", "--name", "one\ttwo", stdin=json.dumps(XOR))
    assert (first.code, first.error) == (0, "")
    job_id = first.out.strip()
    followed = terminal.run("show", "-", "--follow", stdin=job_id)
    assert followed.code == 0
    assert "epoch" in followed.error
    [line] = terminal.run("jobs", "--tag", "piped", "--limit", "1").out.splitlines()
    assert line.split("\t")[:4] == [job_id, "one two", "succeeded", "healthy"]
    shown = json.loads(terminal.run("show", job_id, "--json").out)
    assert (shown["id"], shown["tags"]) == (job_id, ["piped"])
    assert json.loads(terminal.run("jobs", "--tag", "piped", "--json").out)[0]["id"] == job_id


@pytest.mark.long
@ONCE
def test_the_same_key_makes_one_job(terminal: Terminal) -> None:
    name = write(terminal.folder, "xor.json", XOR)
    ids = {terminal.run("submit", name, "--idempotency-key", f"cli-{os.getpid()}").out for _ in range(2)}
    assert len(ids) == 1
    assert terminal.run("cancel", ids.pop().strip(), "--force").code in (0, 1)


def test_files_are_downloaded_whole_and_predictions_made(terminal: Terminal, stack: Stack) -> None:
    job_id = stack.train(stack.example("iris_dnn"))["id"]
    saved = terminal.run("download", job_id)
    assert saved.code == 0, saved.error
    folder = terminal.folder / job_id
    items = stack.client.get(f"/v1/jobs/{job_id}/artifacts").json()["items"]
    for item in items:
        data = (folder / "artifacts" / item["name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == item["sha256"]
    card = (folder / "artifacts" / "model-card.md").read_text()
    pictures = [line.partition("(")[2].rstrip(")") for line in card.splitlines() if line.startswith("![")]
    assert len(pictures) == 4
    for picture in pictures:
        assert (folder / "artifacts" / picture).read_bytes().startswith(b"<svg")
    assert not list(folder.rglob("*.part"))
    on_stdout = subprocess.run(
        [SCRIPT, "download", job_id, "weights.safetensors", "-o", "-"],
        env=terminal.variables, capture_output=True, check=True,
    )  # fmt: skip
    assert on_stdout.stdout == (folder / "artifacts" / "weights.safetensors").read_bytes()
    missing = terminal.run("download", job_id, "no.bin")
    assert (missing.code, "It has" in missing.error) == (1, True)

    rows = terminal.run("predict", job_id, "--allow-unhealthy", stdin="[[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]")
    assert (rows.code, len(rows.out.splitlines())) == (0, 2), rows.error
    told = stack.client.post(
        f"/v1/jobs/{job_id}/predictions?allow_unhealthy=true", json={"inputs": [[5.1, 3.5, 1.4, 0.2]]}
    )
    assert rows.out.split("\t")[0] == told.json()["outputs"][0]["class"]
    wrong = terminal.run("predict", job_id, "--allow-unhealthy", stdin="[[1, 2]]")
    assert (wrong.code, "/inputs/0" in wrong.error) == (1, True)


@ONCE
def test_a_table_is_uploaded_trained_on_and_predicted(terminal: Terminal) -> None:
    text = (EXAMPLES / "houses.csv").read_text() + f"1,1.5,red,true,1900-01-01,{os.getpid()}\n"
    (terminal.folder / "houses.csv").write_text(text)
    uploaded = terminal.run("datasets", "upload", "houses.csv", "--target", "price")
    assert uploaded.code == 0, uploaded.error
    dataset = uploaded.out.strip()
    assert terminal.run("datasets", "upload", "houses.csv", "--target", "price").out.strip() == dataset
    assert "rooms" in terminal.run("datasets", "show", dataset).out
    built_in = terminal.run("datasets", "show", "digits")
    assert (built_in.code, "1797 rows" in built_in.out) == (0, True), built_in.error
    assert dataset in terminal.run("datasets", "list", "--own").out
    job = {"network": {"family": "dnn", "hidden": [8]}, "data": {"dataset": dataset}, "training": {"epochs": 3}}
    followed = terminal.run("submit", write(terminal.folder, "job.json", job), "--follow", "--json")
    trained = json.loads(followed.out)
    assert (trained["status"], followed.error) == ("succeeded", "")
    refused = terminal.run("datasets", "delete", dataset)
    assert (refused.code, "in_use" in refused.error) == (1, True)
    words = ("predict", trained["id"], "houses.csv", "--allow-unhealthy", "-o", "out.parquet")
    predicted = terminal.run(*words)
    assert predicted.code == 0, predicted.error
    assert (terminal.folder / "out.parquet").read_bytes().startswith(b"PAR1")
    rows = len(list(csv.reader(io.StringIO(text)))) - 1
    assert f"{rows} rows" in predicted.error


@ONCE
def test_exit_codes_say_what_became_of_a_job(terminal: Terminal, stack: Stack, slow: dict[str, Any]) -> None:
    training = {"epochs": 3, "optimizer": {"kind": "sgd", "learning_rate": 1e6}}
    wild = {"network": {"family": "dnn", "hidden": [8]}, "data": {"dataset": "diabetes"}, "training": training}
    failed = terminal.run("submit", write(terminal.folder, "wild.json", wild), "--follow")
    assert failed.code == 11, failed.out
    assert "nonfinite" in failed.out
    job_id = stack.post(slow)
    cancelling = threading.Timer(1, lambda: terminal.run("cancel", job_id, "--force"))
    cancelling.start()
    assert terminal.run("show", job_id, "--follow").code == 12
    cancelling.join()


@pytest.mark.long
@ONCE
def test_the_textbook_is_read_and_run(terminal: Terminal) -> None:
    assert "xor\t" in terminal.run("textbook").out
    chapter = terminal.run("textbook", "xor")
    assert "A perceptron cannot learn exclusive or" in chapter.out
    assert "perceptron: dnn on xor; to be diagnosed as plateau" in chapter.out
    run = terminal.run("textbook", "xor", "--submit", "perceptron", "--follow")
    assert run.code == 10, run.out
    unknown = terminal.run("textbook", "xor", "--submit", "no")
    assert (unknown.code, "It has perceptron" in unknown.error) == (1, True)


@ONCE
def test_keys_are_made_used_replaced_and_taken_back(terminal: Terminal) -> None:
    made = terminal.run("keys", "create", "from the command line", "--scope", "read", "--json")
    key = json.loads(made.out)
    assert terminal.run("jobs", "--key", key["secret"]).code == 0
    refused = terminal.run("submit", "-", "--key", key["secret"], stdin="{}")
    assert (refused.code, "`write`" in refused.error) == (4, True)
    secret = terminal.run("keys", "rotate", key["id"], "--overlap-seconds", "0").out.strip()
    assert secret.startswith("dsc_")
    assert "from the command line" in terminal.run("keys", "list").out
    for known in json.loads(terminal.run("keys", "list", "--json").out):
        if known["name"] == "from the command line":
            assert terminal.run("keys", "delete", known["id"]).code == 0
    assert terminal.run("jobs", "--key", secret).code == 4


@ONCE
def test_a_wrong_definition_is_refused_with_its_places(terminal: Terminal) -> None:
    wrong = XOR | {"network": {"family": "dnn", "hidden": [0], "activation": "relo"}}
    refused = terminal.run("submit", write(terminal.folder, "wrong.json", wrong))
    assert (refused.code, refused.out) == (1, "")
    assert "/network/activation" in refused.error
    assert "/network/hidden/0" in refused.error
    as_json = terminal.run("submit", "wrong.json", "--json")
    assert json.loads(as_json.error)["code"] == "invalid_definition"
    for content in ("{", ""):
        (terminal.folder / "broken.json").write_text(content)
        assert terminal.run("submit", "broken.json").code == 1
    assert terminal.run("submit", "nowhere.json").code == 2
    assert terminal.run("show", "job_no").code == 1


@ONCE
def test_without_a_service_or_a_key_it_says_what_to_do(terminal: Terminal, stack: Stack) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        began = time.monotonic()
        missing = terminal.run("jobs", "--url", url)
        assert time.monotonic() - began < 5
    assert missing.code == 3
    for part in (url, "DESCENT_URL", "descent serve"):
        assert part in missing.error
    wrong = terminal.run("jobs", "--key", "dsc_" + "x" * 43)
    assert wrong.code == 4
    assert "--key is not taken" in wrong.error
    stranger = Terminal(terminal.folder, DESCENT_URL=stack.url)
    alone = stranger.run("jobs")
    assert (alone.code, "An API key is missing" in alone.error) == (4, True)
    # The key that a service of this machine has made.
    (terminal.folder / "var").mkdir()
    (terminal.folder / "var" / "api-key").write_text(f"{KEY}\n")
    assert stranger.run("jobs").code == 0
    for words in (("jobs", "--url", "ftp://x"), ("jobs", "--url", "http://[x"), ("jobs", "--key", "ü")):
        assert stranger.run(*words).code == 2


class Stranger(BaseHTTPRequestHandler):
    """Another web server, that keeps the keys it is sent."""

    keys: list[str | None] = []

    def do_GET(self) -> None:
        self.keys.append(self.headers["Authorization"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, *_: Any) -> None: ...


@ONCE
def test_another_server_is_told_apart(terminal: Terminal) -> None:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answer = terminal.run("jobs", "--url", f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()
    assert (answer.code, "is no Descent" in answer.error) == (1, True)


@ONCE
def test_ctrl_c_leaves_the_job_alone(terminal: Terminal, stack: Stack, slow: dict[str, Any]) -> None:
    pressed: list[float] = []

    def press(keys: Any, seen: str) -> None:
        if ("epoch" in seen or "place" in seen) and not pressed:
            pressed.append(time.monotonic())
            keys.press_ctrl_c()

    job_id = stack.post(slow)
    ran = terminal.on_tty("show", job_id, "--follow", while_running=press)
    assert ran.code == 130
    assert time.monotonic() - pressed[0] < 15
    assert f"descent cancel {job_id}" in ran.plain
    assert "Traceback" not in ran.plain
    assert not stack.job(job_id)["terminal"]


@ONCE
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["datasets list", "datasets list --json"])
def test_a_reader_that_goes_is_no_error(terminal: Terminal, words: str, unbuffered: str) -> None:
    line = f"{SCRIPT} {words} | true; exit ${{PIPESTATUS[0]}}"
    variables = terminal.variables | {"PYTHONUNBUFFERED": unbuffered}
    ran = subprocess.run(["bash", "-c", line], env=variables, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (141, "")


@pytest.mark.long
def test_a_follower_survives_the_end_of_the_service_and_its_restart(terminal: Terminal, stack: Stack) -> None:
    definition = XOR | {"training": {"epochs": 100_000, "max_seconds": 6}}
    job_id = stack.post(definition)
    follower = subprocess.Popen(
        [SCRIPT, "show", job_id, "--follow"],
        env=terminal.variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert follower.stderr is not None
    assert "epoch" in follower.stderr.readline()
    stack.launcher.send_signal(signal.SIGTERM)
    stack.launcher.wait(40)
    time.sleep(1)
    stack.start()
    out, error = follower.communicate(timeout=90)
    assert follower.returncode in (0, 10, 13), error
    assert "trying again" in error
    assert stack.job(job_id)["verdict"] in out


@pytest.mark.long
def test_it_serves_and_finds_the_key_of_what_it_serves(tmp_path: Path) -> None:
    port = free_port()
    terminal = Terminal(tmp_path, DESCENT_PORT=str(port), DESCENT_SLOTS="1")
    line = [SCRIPT, "serve"]
    with subprocess.Popen(
        line, env=terminal.variables, cwd=tmp_path, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    ) as serving:
        try:
            assert serving.stdout is not None
            assert str(port) in serving.stdout.readline()
            await_true(lambda: terminal.run("jobs").code == 0, 60)
            assert terminal.run("submit", "-", "--follow", stdin=json.dumps(XOR)).code == 0
        finally:
            serving.send_signal(signal.SIGINT)
        assert serving.wait(40) == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@ONCE
def test_shells_complete_commands_and_ids(terminal: Terminal, shell: str) -> None:
    script = terminal.run("completion", shell)
    assert (script.code, "_DESCENT_COMPLETE" in script.out) == (0, True)
    if shell != "bash":
        return
    asked = {"_DESCENT_COMPLETE": "bash_complete"}
    commands = terminal.run(**asked, COMP_WORDS="descent d", COMP_CWORD="1").out
    assert {"plain,diagnose", "plain,download", "plain,datasets"} <= set(commands.split())
    ids = terminal.run(**asked, COMP_WORDS="descent show ", COMP_CWORD="2").out
    assert "plain,latest" in ids
    assert "plain,job_" in ids
    nobody = terminal.run(**asked, COMP_WORDS="descent show ", COMP_CWORD="2", DESCENT_URL="http://127.0.0.1:1")
    assert (nobody.out.strip(), nobody.error, nobody.code) == ("", "", 0)
