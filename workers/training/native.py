"""The compiled library of `statistics.c`, where the machine that installed Descent had a compiler; else None.

It works on float32 tensors of the CPU whose values lie together. Without it the same numbers come from torch, slower.
"""

import ctypes
from collections.abc import Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

POINTER, INTEGER = ctypes.c_void_p, ctypes.c_int64
SIGNATURES = {
    "gradient_statistics": (POINTER, POINTER, INTEGER, POINTER),
    "norms": (POINTER, POINTER, INTEGER, POINTER),
    "update_statistics": (POINTER, POINTER, POINTER, INTEGER, POINTER),
}


def load() -> ctypes.CDLL | None:
    """The library, or None where it was not built."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_statistics{suffix}")
        if path.is_file():
            return declared(ctypes.CDLL(str(path)))
    return None


def declared(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, arguments in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, None
    return library


LIBRARY = load()


def takes(tensor: Tensor) -> bool:
    """Whether the library can read this tensor."""
    return LIBRARY is not None and tensor.device.type == "cpu" and tensor.dtype == torch.float32


class Addresses:
    """Where tensors lie in memory, as the library wants it. Holds no reference to them."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._pointers = np.array([tensor.data_ptr() for tensor in tensors], np.int64)
        self._sizes = np.array([tensor.numel() for tensor in tensors], np.int64)
        self.pointers: int = self._pointers.ctypes.data
        self.sizes: int = self._sizes.ctypes.data
        self.count = len(tensors)


def norms(tensors: Sequence[Tensor]) -> NDArray[np.float64]:
    """The L2 norm of each tensor, summed in double: float64 [tensors]."""
    assert LIBRARY is not None
    together = [tensor if lies_together(tensor) else tensor.contiguous() for tensor in tensors]
    addresses, out = Addresses(together), np.empty(len(tensors))
    LIBRARY.norms(addresses.pointers, addresses.sizes, addresses.count, out.ctypes.data)
    return out


def lies_together(tensor: Tensor) -> bool:
    """Whether the values fill one stretch of memory, in whatever order."""
    if tensor.is_contiguous():
        return True
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
