"""`Pool`: a function of each of many things, called on Ray; a worker that dies loses nothing."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from typing import Any, Self, TypeVar

from sida import errors
from sida.errors import PictureError, SidaError
from sida.scale.cluster import cluster, places_for, require_answer, require_ray, stopped

__all__ = ["Pool"]

Item = TypeVar("Item")
Result = TypeVar("Result")

DEATHS = 4
"""Of workers at the same thing, after which the run ends."""


class Pool:
    """Workers that keep what a function leaves in their process, such as a model, between calls.

    They begin with the first `map` and end with the block: `with Pool(address) as pool: ...`.
    """

    def __init__(self, address: str | None, workers: int | None = None, device: str = "cpu"):
        """As `sida.scale.detect` takes them.

        Raises:
            MissingExtra: Ray is not installed.
            ConfigError, InputError: the address is none, or nobody answers there.
        """
        require_ray()
        self._address = address or os.environ.get("RAY_ADDRESS")
        if self._address:
            require_answer(self._address)
        self._workers, self._device = workers, device
        self._stack = ExitStack()
        self._ray: Any = None
        self._actors: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results in the order in which they are done; items are taken as there is room.

        Raises what the function raises where that is a SidaError, and SidaError where workers stop.
        """
        ray = self._begun()
        sent = [ray.put(function)]
        coming = iter(items)
        beginning = {actor.begin.remote(): actor for actor in self._actors}
        free: deque[Any] = deque()
        calls: dict[Any, Any] = {}
        try:
            while True:
                for item in islice(coming, len(free)):
                    actor = free.popleft()
                    calls[actor.call.remote(sent, item)] = actor
                if free and not calls:
                    return
                (ready,), _ = ray.wait([*calls, *beginning])
                answer = ray.get(ready)
                if ready in beginning:
                    free.append(beginning.pop(ready))
                    continue
                free.append(calls.pop(ready))
                result, error = answer
                if error is not None:
                    raise _error(*error)
                yield result
        except ray.exceptions.RayError as error:
            raise stopped(error) from error

    def _begun(self) -> Any:
        if self._ray is None:
            self._ray = ray = self._stack.enter_context(cluster(self._address, self._workers))
            room, needs = places_for(ray, self._device)
            actor = ray.remote(max_restarts=-1, max_task_retries=DEATHS - 1, **needs)(_Worker)
            self._actors = [actor.remote(os.getcwd()) for _ in range(self._workers or room)]
            for each in self._actors:
                self._stack.callback(ray.kill, each)
        return self._ray


def _error(name: str, text: str) -> SidaError:
    """An error of this family by its name; constructors want more than a sentence."""
    found = getattr(errors, name, SidaError)
    error: SidaError = found.__new__(found, text)
    if isinstance(error, PictureError):
        error.code = "unreadable_image"
    return error


class _Worker:
    """One process. Errors of the function's own are results: what Ray raises says more."""

    def __init__(self, folder: str) -> None:
        self.missing = ""
        try:  # relative paths mean the same as in the driver
            os.chdir(folder)
        except OSError:
            self.missing = f" (the worker does not see the folder {folder!r}, where this was begun)"
        self.reference: Any = None
        self.function: Callable[[Any], Any]

    def begin(self) -> None:
        """Answers when the process is there."""

    def call(self, sent: list[Any], item: object) -> tuple[Any, tuple[str, str] | None]:
        """The result, or an error's name and sentence; the function is fetched once."""
        if self.reference != sent[0]:
            self.function, self.reference = require_ray().get(sent[0]), sent[0]
        try:
            return self.function(item), None
        except SidaError as error:
            return None, (type(error).__name__, f"{error}{self.missing}")
