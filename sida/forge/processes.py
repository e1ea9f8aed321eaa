"""Work for several processes that end with their parent, each computing in one thread."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any, TypeVar

from sida.errors import SidaError

__all__ = ["in_order_or_not", "process_count", "quiet_process"]

Item = TypeVar("Item")
Result = TypeVar("Result")

QUEUED_ITEMS = 4
"""Items handed out for each process beside the one it works on."""


def process_count(workers: int) -> int:
    """The number of processes; 0 is one for each core that this process may use."""
    if workers:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order_or_not(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int
) -> Iterator[Result]:
    """`function` of every item, as they get ready; with one process, in this one.

    What a function raises ends all. The processes are new ones (spawned), so `function` has to be
    picklable, and a script that calls this needs the usual `if __name__ == "__main__":`.
    """
    if processes <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    # Workers wait at `leave`; it ends when this process closes `keep`, or dies with it.
    leave, keep = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        processes, context, initializer=_initialize, initargs=(function, leave)
    )
    try:
        yield from _results(pool, items, processes * QUEUED_ITEMS)
    except BrokenProcessPool as error:
        raise SidaError(
            "a worker process was killed, most likely because memory ran out: lower workers=N and "
            "run the command again, which resumes the run"
        ) from error
    except BaseException:
        keep.close()  # the processes leave at once, whatever they are at
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        keep.close()
        leave.close()


def _results(pool: ProcessPoolExecutor, items: Sequence[Any], most_waiting: int) -> Iterator[Any]:
    coming = iter(items)
    waiting: set[Future[Any]] = set()
    while True:
        # Not all at once: a hundred thousand pickled items would wait in memory.
        room = most_waiting - len(waiting)
        waiting |= {pool.submit(_call, item) for item in islice(coming, room)}
        if not waiting:
            return
        ready, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in ready:
            yield future.result()


_function: list[Callable[[Any], Any]] = []
"""Function of this process, sent once because it may hold many photographs' names."""


def _call(item: Any) -> Any:
    return _function[0](item)


def _initialize(function: Callable[[Any], Any], leave: Connection) -> None:
    _function[:] = [function]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        """Leave when the parent says so by closing its end, or is gone, however it went."""
        wait_for([leave, parent.sentinel])
        os._exit(1)  # not sys.exit, which ends this thread alone

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def quiet_process() -> Iterator[None]:
    """Limit torch and OpenCV to one thread inside: sums in another order give other last digits."""
    restore: list[Callable[[], Any]] = []
    import cv2
    import torch

    if (threads := cv2.getNumThreads()) != 1:
        cv2.setNumThreads(1)
        restore.append(lambda: cv2.setNumThreads(threads))
    if (torch_threads := torch.get_num_threads()) != 1:
        torch.set_num_threads(1)
        restore.append(lambda: torch.set_num_threads(torch_threads))
    try:
        yield
    finally:
        for undo in restore:
            undo()
