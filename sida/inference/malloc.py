"""How the C library of a process keeps memory; a process decides this for itself, no library does.

The command line and the workers of a cluster call `keep_freed`; whoever has a detector in a program
of their own may do so.
"""

import ctypes
import sys
from collections.abc import Callable

__all__ = ["keep_freed", "trim"]

THRESHOLDS = {-3: 32 << 20, -1: 256 << 20, -8: 2}
"""glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, in bytes, and M_ARENA_MAX: each arena keeps."""


def keep_freed() -> None:
    """Have glibc keep what this process frees, for what comes next.

    No longer does it map each array under 32 MiB anew, nor give back free memory below 256 MiB. A
    forward pass on the CPU allocates and frees the same megabytes again and again. By default each
    goes back to the system, which hands it out anew page by page: a third of a pass of `tiny`.
    Where the C library is another nothing is done.
    """
    mallopt = _glibc("mallopt")
    if mallopt is not None:
        for option, value in THRESHOLDS.items():
            mallopt(option, value)


def trim() -> None:
    """Have glibc give back what is free: passes over images of many sizes leave it in pieces."""
    malloc_trim = _glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _glibc(name: str) -> Callable[..., int] | None:
    function: Callable[..., int] | None = None
    if sys.platform == "linux":
        function = getattr(ctypes.CDLL(None), name, None)
    return function
