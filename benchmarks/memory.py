"""`python -m benchmarks.memory`: memory of the API's process, at start and after the digits example."""

import re
import tempfile
from pathlib import Path

from benchmarks.jobs import stacks
from tests.system.conftest import Stack

READ = ("", "/metrics", "/layers", "/gradients", "/events")


def megabytes(service: Stack) -> str:
    """Of the largest process of the server, the one that serves: resident, and in brackets private."""
    texts = [Path(f"/proc/{pid}/status").read_text() for pid in service.processes("granian")]
    sizes = [[int(re.search(rf"{name}:\s+(\d+)", text)[1]) for name in ("VmRSS", "RssAnon")] for text in texts]
    resident, private = (size * 1024 / 1e6 for size in max(sizes))
    return f"{resident:.0f} ({private:.0f})"


def tell_the_story(service: Stack) -> None:
    """What a client does: POST, follow, read everything."""
    job = service.train(service.example("digits_cnn"))
    for path in (*(f"/v1/jobs/{job['id']}{name}" for name in READ), "/v1/jobs", "/v1/datasets", "/openapi.json"):
        service.client.get(path).raise_for_status()


def main() -> None:
    print("| | at start | after the digits example, all its numbers read |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, stacks(Path(folder)) as services:
        for name, service in services.items():
            before = megabytes(service)
            tell_the_story(service)
            print(f"| {name} | {before} | {megabytes(service)} |")


if __name__ == "__main__":
    main()
