"""What a job failed of, as its error tells it: whose fault it was, and whether another attempt may fare better."""

import errno

import torch

from models.errors import DescentError
from models.lifecycle import error
from workers.training.precision import PrecisionUnavailable

ALLOCATION_FAILED = ("DefaultCPUAllocator", "not enough memory", "out of memory", "ALLOC_FAILED", "std::bad_alloc")
"""Words of torch's errors that are of no class of their own."""
MACHINE_FAILED = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE}


def error_of(exception: Exception) -> dict[str, object]:
    """The `error` of a job."""
    if is_out_of_memory(exception):
        detail = "The job needed more memory than its device had left."
        return error("out_of_memory", "Out of memory", detail, "memory", retryable=True)
    if isinstance(exception, PrecisionUnavailable):
        return error("no_bfloat16", "The device has no bfloat16", str(exception), "user", retryable=False)
    if isinstance(exception, DescentError):
        return error("data_unavailable", "The data could not be read", str(exception), "data", retryable=True)
    detail = f"{type(exception).__name__}: {exception}"[:500]
    if isinstance(exception, OSError) and exception.errno in MACHINE_FAILED:
        return error("machine_error", "The machine could not go on", detail, "infrastructure", retryable=True)
    return error("training_error", "Training stopped with an error", detail, "infrastructure", retryable=False)


def stopped_by_policy(code: str, detail: str) -> dict[str, object]:
    """The `error` of a job that has a finding for which its policy is to stop."""
    title = "A policy stopped the job for what was found" if code != "nonfinite" else "A number was not finite"
    return error(code, title, detail, "numeric", retryable=False)


def is_out_of_memory(exception: Exception) -> bool:
    if isinstance(exception, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(exception, OSError):
        return exception.errno == errno.ENOMEM
    return isinstance(exception, RuntimeError) and any(words in str(exception) for words in ALLOCATION_FAILED)
