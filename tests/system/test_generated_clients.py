"""Clients that are generated from the contract work as they come out, without a warning and with every call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.node import node, npm
from tests.system.stack import KEY, Stack

CLIENTS = Path(__file__).parents[1] / "clients"
NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.mark.quick_on("embedded")
def test_a_generated_python_client_does_all(stack: Stack, tmp_path: Path) -> None:
    contract, package = written(stack, tmp_path), tmp_path / "descent_client"
    generator = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    # It formats what it writes by the ruff that it finds.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run([*generator, "--path", contract, "--output-path", package], tmp_path, PATH=path)
    calls = {path.stem for path in package.glob("api/*/*.py")} - {"__init__"}
    assert calls == operations(stack)
    run([sys.executable, CLIENTS / "use_python.py", stack.url, KEY], tmp_path, PYTHONPATH=str(tmp_path))


@pytest.mark.long
def test_generated_types_check_a_typescript_program_that_does_all(stack: Stack, tmp_path: Path) -> None:
    """On Node, with `fetch`. The packages come from npm's registry."""
    contract = written(stack, tmp_path)
    shutil.copytree(CLIENTS / "typescript", tmp_path, dirs_exist_ok=True)
    path = f"{Path(node()).parent}{os.pathsep}{os.environ['PATH']}"
    installed = subprocess.run(
        [*npm(), "install", "--no-audit", "--no-fund"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode and any(reason in installed.stderr for reason in NO_NETWORK):
        pytest.skip("npm's registry, where openapi-typescript comes from, does not answer")
    assert installed.returncode == 0, installed.stderr
    tools = tmp_path / "node_modules"
    # A default is what a definition that leaves the field out has, so none is needed.
    options = ["--output", tmp_path / "descent.d.ts", "--default-non-nullable", "false"]
    told = run([node(), tools / "openapi-typescript" / "bin" / "cli.js", contract, *options], tmp_path)
    assert "warn" not in told.lower()
    run([node(), tools / "typescript" / "bin" / "tsc"], tmp_path)
    assert "succeeded" in run([node(), "built/use.js", stack.url, KEY], tmp_path)


def written(stack: Stack, folder: Path) -> Path:
    """The contract, as the service gives it."""
    file = folder / "openapi.json"
    file.write_bytes(stack.client.get("/openapi.json").content)
    return file


def operations(stack: Stack) -> set[str]:
    paths = stack.client.get("/openapi.json").json()["paths"]
    return {one["operationId"] for calls in paths.values() for one in calls.values()}


def run(line: list[str | Path], folder: Path, **environment: str) -> str:
    """What it says; a failure is told in full."""
    done = subprocess.run(
        list(map(str, line)),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
