"""`python -m models.ingest`: reads one upload. The child of an API process, with bounds of its own: what a file does to
it, it does to nobody else.

Takes a `Task` as JSON from its standard input, and answers with one line of JSON: `{"done": …}` or `{"problems": …}`.
"""

import json
import resource
import signal
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.definitions.uploaded import StoredArray
from models.errors import DescentError, InvalidDefinition
from models.ingest.options import Options
from models.parent import leave_with_parent
from models.settings import Settings
from models.storage import Storage, Stored, open_storage


@dataclass(frozen=True)
class Task:
    """What is to be read, and where its arrays go."""

    upload: dict[str, Any]
    """Where the bytes are: a `Stored`."""
    options: dict[str, Any]
    prefix: str
    """Of the keys of its arrays."""
    folder: str
    """For files on the way there; it is this process's own."""
    memory_bytes: int
    unpacked_bytes: int
    storage: str
    """As `Settings.storage` says."""
    data: str
    cache_bytes: int

    def open_storage(self) -> Storage:
        return open_storage(Settings(data=Path(self.data), storage_url=self.storage, cache_bytes=self.cache_bytes))


def main() -> None:
    leave_with_parent(signal.SIGKILL)
    task = Task(**json.load(sys.stdin))
    # The data segment: what is mapped from files is not counted.
    resource.setrlimit(resource.RLIMIT_DATA, (task.memory_bytes, task.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, Any]
    try:
        answer = {"done": ingest(task, task.open_storage())}
    except InvalidDefinition as error:
        answer = {"problems": [problem.plain() for problem in error.problems]}
    except MemoryError:
        answer = {"problems": [too_much_memory(task.memory_bytes)]}
    except (DescentError, OSError):
        # It is not the file's fault: it is read again later.
        raise
    except Exception as error:
        traceback.print_exc()
        answer = {"problems": [not_understood(error)]}
    print(json.dumps(answer))


def ingest(task: Task, storage: Storage) -> dict[str, Any]:
    from models.ingest.reading import read_file  # noqa: PLC0415  after the limits, for it imports much

    folder = Path(task.folder)
    options = Options.model_validate(task.options)
    path = storage.path_of(Stored(**task.upload))
    kind, uploaded, summary = read_file(path, options, folder, task.unpacked_bytes)
    arrays = {
        file.stem: StoredArray(**storage.write_file(f"{task.prefix}/{file.name}", file).plain())
        for file in sorted(folder.glob("*.npy"))
    }
    return {
        "format": kind,
        "uploaded": uploaded.model_copy(update={"arrays": arrays}).plain(),
        "summary": summary,
    }


def not_understood(error: Exception) -> dict[str, str]:
    """Something that nobody thought of; the log has it."""
    detail = f"The file could not be read: {type(error).__name__}: {str(error)[:200]}."
    return {"pointer": "/file", "code": "unreadable", "detail": detail, "hint": "Write it again, or in another format."}


def too_much_memory(limit: int) -> dict[str, str]:
    detail = f"To read it takes more than {limit:,} bytes of memory (DESCENT_INGEST_BYTES)."
    return {"pointer": "/file", "code": "too_large", "detail": detail, "hint": "Send smaller rows, or fewer columns."}


if __name__ == "__main__":
    main()
