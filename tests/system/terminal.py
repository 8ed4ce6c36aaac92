"""The real `descent`, in a pipe or on a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

SCRIPT = str(Path(sys.executable).with_name("descent"))
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
ROWS, COLUMNS = 50, 140


@dataclass
class Ran:
    """A command that has ended."""

    code: int
    out: str
    error: str = ""

    @property
    def plain(self) -> str:
        """Without colours and movements of the cursor."""
        return ESCAPES.sub("", self.out)


class Terminal:
    """Somebody with a shell, and these variables."""

    def __init__(self, folder: Path, **variables: str) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME", "LANG") if name in os.environ}
        self.folder = folder
        self.variables = kept | {"TERM": "xterm-256color"} | variables

    def run(self, *words: str, stdin: str | None = None, **variables: str) -> Ran:
        """In a pipe."""
        done = subprocess.run(
            [SCRIPT, *words],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            env=self.variables | variables,
            cwd=self.folder,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def on_tty(self, *words: str, while_running: Callable[[Any, str], None] | None = None, **variables: str) -> Ran:
        """On a terminal; `while_running` is given the process and what it has shown so far."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        # A session of its own, whose terminal this is, so that Ctrl-C comes to it.
        process = subprocess.Popen(
            [SCRIPT, *words], stdin=slave, stdout=slave, stderr=slave, env=self.variables | variables, cwd=self.folder,
            start_new_session=True, preexec_fn=partial(_sit_down, slave),
        )  # fmt: skip
        os.close(slave)
        seen = b""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    data = os.read(master, 65536)
                except OSError:  # the other end is closed
                    break
                if not data:
                    break
                seen += data
            if while_running is not None:
                while_running(_Keys(process, master), seen.decode(errors="replace"))
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()
            os.close(master)
        return Ran(process.returncode, seen.decode(errors="replace"))


def _sit_down(slave: int) -> None:
    """In the child. Of tests that run in the background it would have inherited that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@dataclass
class _Keys:
    process: Any
    master: int

    def press_ctrl_c(self) -> None:
        os.write(self.master, b"\x03")
