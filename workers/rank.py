"""The further processes of a job that several train. The runner is rank 0; it forks the others, and watches them.

A fork takes 10 ms where `torch.distributed.run` takes seconds, and asks for no port: the ranks find each other through
a file in memory that they inherit. They live no longer than the runner: the kernel kills them with it, and their end of
a pipe tells them too. When one of them is lost, so is the attempt: the runner exits without having reported the end.
"""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait

import torch
import torch.distributed as dist

from models.parent import leave_with_parent
from workers.training.ranks import ALONE, RankLost, Ranks, Several, losing

log = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=120)
"""How long a rank waits for the others, the first time while they read their data. One that dies is noticed at once."""
EXIT_SECONDS = 5.0

Error = dict[str, object]


class Crew:
    """The ranks of a job from 1 on, as rank 0 sees them."""

    def __init__(
        self,
        size: int,
        work: Callable[["Crew", int], None],
        error_of: Callable[[Exception], Error],
        inherited: Sequence[Connection] = (),
    ) -> None:
        """Forks them at once, for that has to be before there are threads. Each does `work(crew, rank)`, and begins
        with `join`; what `error_of` makes of its error is told to rank 0. `inherited`: pipes that are rank 0's."""
        self._size = size
        self._work, self._error_of = work, error_of
        self._pids: list[int] = []
        self._pipes: list[Connection] = []
        self._is_done = False
        if size > 1:
            self._store = os.memfd_create("ranks")
        for rank in range(1, size):
            self._fork(rank, inherited)

    def join(self, rank: int, device: torch.device) -> Ranks:
        """Returns when all ranks have come together."""
        if self._size == 1:
            return ALONE
        if "lo" in (name for _, name in socket.if_nameindex()):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        with losing():
            return joined(f"/proc/self/fd/{self._store}", rank, self._size, device)

    def watch(self, failed: Callable[[Error], None]) -> None:
        """From now on calls `failed` with the error of a rank that has one, and leaves; where one is lost, without."""
        if self._size > 1:
            threading.Thread(target=self._watch, args=(failed,), name="ranks", daemon=True).start()

    def give_up(self) -> None:
        """Rank 0 misses another one: whoever watches knows why; or nobody does, and it hangs."""
        time.sleep(EXIT_SECONDS)
        os._exit(1)

    def close(self) -> None:
        """Sends all away, and returns when they have gone."""
        self._is_done = True
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send("done")
        ends_at = time.monotonic() + EXIT_SECONDS
        for pid in self._pids:
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > ends_at:
                    os.kill(pid, signal.SIGKILL)
                time.sleep(0.005)

    def _fork(self, rank: int, inherited: Sequence[Connection]) -> None:
        ours, theirs = Pipe()
        runner = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                for pipe in (*inherited, *self._pipes, ours):
                    pipe.close()
                _live_with(runner, theirs)
                self._serve(rank, theirs)
            finally:
                os._exit(1)
        theirs.close()
        self._pids.append(pid)
        self._pipes.append(ours)

    def _serve(self, rank: int, pipe: Connection) -> None:
        try:
            self._work(self, rank)
        except RankLost:
            return
        except Exception as exception:
            log.exception("rank %s failed", rank)
            pipe.send(self._error_of(exception))
            return
        # Rank 0 may still be reading what this one has sent, and says when it is done.
        threading.Event().wait()

    def _watch(self, failed: Callable[[Error], None]) -> None:
        wait(self._pipes)
        if self._is_done:
            return
        # A rank that fails says so before the others miss it: what was said goes before who has gone.
        for error in filter(None, map(_said, self._pipes)):
            failed(error)
            os._exit(0)
        log.error("a process of the job was lost")
        os._exit(1)


def joined(path: str, rank: int, size: int, device: torch.device) -> Several:
    """Meets the others through a file. Of GPUs by NCCL, with a second group for what is on the CPU."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    backend = "nccl" if on_gpu else "gloo"
    store = dist.FileStore(path, size)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return Several(dist.new_group(backend="gloo", timeout=TIMEOUT) if on_gpu else None)


def _said(pipe: Connection) -> Error | None:
    try:
        return pipe.recv() if pipe.poll() else None
    except (EOFError, OSError):
        return None


def _live_with(runner: int, pipe: Connection) -> None:
    """Dies with the runner: by the kernel's hand, and should that fail by its own."""
    leave_with_parent(signal.SIGKILL, runner)
    threading.Thread(target=_leave_with, args=(pipe,), name="lifeline", daemon=True).start()


def _leave_with(pipe: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    os._exit(0)
