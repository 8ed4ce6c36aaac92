"""`python -m tests.contract.fuzz --seconds 600`: schemathesis over the whole contract, as one of two owners."""

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import httpx

from migrations.migrate import migrate
from models.settings import read_settings
from service.serve import command
from tests.conftest import await_port, free_port

KEY = "a-key-for-the-contract-tests-0123456789"
JOB = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}}
PHASES = ("examples,coverage,fuzzing", "stateful")
"""Runs, each with its share of the time: the second alone would get what the first leaves."""
NOWHERE = "hooks.example"
"""A name that nobody has."""
ROOT = Path(__file__).parents[2]
NOT_HELD = "negative_data_rejection,positive_data_acceptance,missing_required_header,ensure_resource_availability"
"""Checks that the contract cannot pass by what it says: a definition is refused for shapes that do not fit, which no
JSON Schema can tell. And the last takes the `name` of a data set, which it may share with others, for the `{name}` in
paths, which is its id."""


class Target:
    """An API without a worker, and two owners with a job, a data set and a webhook each."""

    def __init__(self, folder: Path, database_url: str = "") -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {"DATA": str(folder), "PORT": str(self.port), "API_KEY": KEY, "DATABASE_URL": database_url}
        settings |= {"WEBHOOK_RETRIES": "0.1"}
        settings |= {"REQUESTS_PER_MINUTE": "10000000", "QUEUED_JOBS": "1000000", "INGEST_WAIT_SECONDS": "0.5"}
        self.environment = os.environ | {f"DESCENT_{name}": value for name, value in settings.items()}
        self.log = folder / "server.log"
        chosen = read_settings(self.environment)
        migrate(chosen.database)
        with self.log.open("w") as log:
            self.server = subprocess.Popen(command(chosen), env=self.environment, stdout=log, stderr=log)
        await_port(self.port, 30)
        self.owners = [self.an_owner() for _ in range(2)]

    def an_owner(self) -> tuple[str, list[str]]:
        """Its secret, and the ids of what it has."""
        with httpx.Client(base_url=self.url, timeout=30) as client:
            client.headers["Authorization"] = f"Bearer {KEY}"
            body = {"name": "fuzz", "scopes": ["read", "write"]}
            secret: str = client.post("/v1/keys", json=body).raise_for_status().json()["secret"]
            client.headers["Authorization"] = f"Bearer {secret}"
            job = client.post("/v1/jobs", json=JOB).raise_for_status().json()["id"]
            rows = b"a,b\n" + b"1,2\n3,4\n5,6\n" * 20
            dataset = client.post("/v1/datasets", content=rows).raise_for_status().json()["id"]
            hook = {"url": f"https://{NOWHERE}/"}
            webhook = client.post("/v1/webhooks", json=hook).raise_for_status().json()["id"]
        return secret, [job, dataset, webhook]

    def fuzz(self, phases: str, seconds: int, seed: int) -> subprocess.CompletedProcess[str]:
        """As the second owner, who knows the ids of the first."""
        (_, others), (secret, ours) = self.owners
        line = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{self.url}/openapi.json"),
            *("--phases", phases),
            *("--header", f"Authorization: Bearer {secret}", "--max-time", str(seconds), "--seed", str(seed)),
            *("--checks", "all", "--exclude-checks", NOT_HELD, "--no-color", "--continue-on-failure"),
            *("--suppress-health-check", "all", "--no-shrink"),
        ]
        known = {"DESCENT_TEST_OTHERS": ",".join(others), "DESCENT_TEST_OURS": ",".join(ours)}
        known |= {"SCHEMATHESIS_HOOKS": "tests.contract.hooks", "PYTHONPATH": str(ROOT)}
        environment = os.environ | known
        return subprocess.run(
            line, check=False, env=environment, capture_output=True, text=True, cwd=ROOT, timeout=seconds + 120
        )

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", default="", help="URL of an empty database; default: SQLite")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        target = Target(Path(stack.enter_context(tempfile.TemporaryDirectory())), chosen.database)
        stack.callback(target.close)
        ends = []
        for phases in PHASES:
            done = target.fuzz(phases, chosen.seconds // len(PHASES), chosen.seed)
            print(done.stdout, done.stderr, sep="\n", flush=True)
            ends.append(done.returncode)
        print(target.log.read_text()[-3000:])
        sys.exit(max(ends))


if __name__ == "__main__":
    main()
