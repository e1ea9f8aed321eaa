"""`WorkerPool`: a function of each of many items, called on Ray; a worker that dies loses nothing.

The one engine of `detect`, `evaluate` and `forge`. Ray's actors bring restarts and retries; the
loop that hands out items is ours. Ray Data's `map_batches` takes its rows from a list, which would
hold a streamed set in memory, retries a deadly row without end, and wraps what a worker raises;
`ray.util.ActorPool` hands items to actors that no machine has room for yet.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from types import ModuleType
from typing import Any, Self, TypeVar

from sida.errors import SidaError
from sida.scale.cluster import cluster, require_answer, require_ray, resources, stopped

__all__ = ["WorkerPool"]

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 3
"""Times that an item is given out again after the worker that had it died; then the run ends."""
UNLIMITED = -1
"""For items that count the deaths they cause themselves."""


class WorkerPool:
    """Workers that keep what a function leaves in their process, such as a model, between calls.

    They start with the first `map` and end with the block: `with WorkerPool(address) as pool: ...`.
    """

    def __init__(
        self,
        address: str | None,
        workers: int | None = None,
        device: str = "cpu",
        retries: int = RETRIES,
    ) -> None:
        """As `sida.scale.detect` takes them.

        Raises:
            MissingExtra: Ray is not installed.
            ConfigError, InputError: the address is malformed, or nobody answers there.
        """
        require_ray()
        self._address = address or os.environ.get("RAY_ADDRESS")
        if self._address:
            require_answer(self._address)
        self._workers, self._device, self._retries = workers, device, retries
        self._stack = ExitStack()
        self._ray: ModuleType | None = None
        self._actors: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order in which they are done; items are taken as workers become free.

        Raises the SidaError that the function raises, and SidaError where workers stop.
        """
        ray = self._started()
        reference = [ray.put(function)]
        remaining = iter(items)
        # An actor gets its first item when its process runs: on a cluster that is full, or still
        # growing, those that run do all the work.
        starting = {actor.ready.remote(): actor for actor in self._actors}
        idle: deque[Any] = deque()
        calls: dict[Any, Any] = {}
        try:
            while True:
                for item in islice(remaining, len(idle)):
                    actor = idle.popleft()
                    calls[actor.call.remote(reference, item)] = actor
                if idle and not calls:
                    return
                (finished,), _ = ray.wait([*calls, *starting])
                outcome = ray.get(finished)
                if finished in starting:
                    idle.append(starting.pop(finished))
                    continue
                idle.append(calls.pop(finished))
                result, error = outcome
                if error is not None:
                    raise error
                yield result
        except ray.exceptions.RayError as error:
            raise stopped(error) from error

    def _started(self) -> ModuleType:
        """The module `ray`, with all actors asked for."""
        if self._ray is None:
            self._ray = ray = self._stack.enter_context(cluster(self._address, self._workers))
            count, needs = resources(ray, self._device)
            actor = ray.remote(max_restarts=-1, max_task_retries=self._retries, **needs)(_Worker)
            self._actors = [actor.remote(os.getcwd()) for _ in range(self._workers or count)]
            for started in self._actors:
                self._stack.callback(ray.kill, started)
        return self._ray


class _Worker:
    """A process. Our own errors are results, which keep their type: Ray would wrap them."""

    def __init__(self, folder: str) -> None:
        self.remark = ""
        try:  # relative paths mean the same as in the driver
            os.chdir(folder)
        except OSError:
            self.remark = f" (the worker does not see the folder {folder!r} of the command)"
        self.reference: object = None
        self.function: Callable[[Any], Any]

    def ready(self) -> None:
        """Answer when the process runs."""

    def call(self, reference: list[object], item: object) -> tuple[object, SidaError | None]:
        """The result, or an error of ours; the function is fetched once."""
        if self.reference != reference[0]:
            self.function, self.reference = require_ray().get(reference[0]), reference[0]
        try:
            return self.function(item), None
        except SidaError as error:
            error.args = (f"{error}{self.remark}",)
            return None, error
