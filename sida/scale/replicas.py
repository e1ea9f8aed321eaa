"""The two deployments: `ModelReplica`, one or more of them, and `Front`, the app before them.

All that a service remembers (places, keys' minutes, batches, figures) is in the one front.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import FastAPI

from sida.detector import Detector
from sida.model.budget import BudgetCalibration
from sida.options import Request
from sida.serve import ServeSettings, app_around
from sida.serve.backend import MAX_CHATS, ChatEvent, ChatTurn
from sida.serve.errors import HttpError
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["Front", "ModelReplica", "Replicas"]

log = logging.getLogger(__name__)

T = TypeVar("T")

DEATHS = 2
"""Replicas that one picture may lose before it is given up."""


class ModelReplica:
    """A replica: a detector, used from one thread, batch by batch."""

    def __init__(self, load: Callable[[], Detector], max_wait: float) -> None:
        from ray import serve

        self._detector = load()
        self._thread = ThreadPoolExecutor(1)
        self._chats = asyncio.Semaphore(MAX_CHATS)
        in_batches = serve.batch(
            max_batch_size=self._detector.batch_size, batch_wait_timeout_s=max_wait
        )
        self._run_batched: Any = in_batches(self._run)

    async def about(self) -> tuple[ModelInfo, int, BudgetCalibration | None]:
        """The weights, pictures a pass, and what budgets rest on."""
        detector = self._detector
        return detector.model, detector.batch_size, detector.budget_calibration

    async def detect(self, request: Request) -> Verdict | Failure:
        """Judge one picture, together with those that others ask for meanwhile."""
        result: Verdict | Failure = await self._run_batched(request)
        return result

    async def chat(
        self,
        picture: bytes,
        history: list[tuple[str, str]],
        question: str,
        verdict: Verdict | None,
        max_false_positives: float | None,
    ) -> AsyncIterator[tuple[ChatEvent, bool]]:
        """Events of a `ChatTurn`, each with True where the answer was cut short."""
        events: list[ChatEvent] = []
        turn = ChatTurn(picture, history, question, events.append, verdict, max_false_positives)
        async with self._chats:
            unfinished = True
            while unfinished:
                unfinished = await self._do(lambda: turn.advance(self._detector))
                yield _bare(events.pop()), turn.truncated

    async def _run(self, requests: list[Request]) -> list[Verdict | Failure]:
        return await self._do(lambda: [_bare(result) for result in self._detector.run(requests)])

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _bare(result: T) -> T:
    """Without the picture, which its sender has."""
    if not isinstance(result, Verdict):
        return result
    return result.with_arrays(mask=result.mask, probability_map=result.probability_map)


class Replicas:
    """The replicas, as a service's `Backend`; used in its event loop."""

    def __init__(
        self,
        handle: Any,
        model: ModelInfo,
        batch_size: int,
        budget_calibration: BudgetCalibration | None = None,
    ) -> None:
        self._handle, self.model, self.batch_size = handle, model, batch_size
        self.budget_calibration = budget_calibration
        self.alive = True
        self.queued = 0
        self.seconds_per_picture = 0.1
        self._chats: set[asyncio.Task[None]] = set()

    def submit(self, request: Request) -> "Future[Verdict | Failure]":
        """Ask for a picture; cancelling the future takes it back."""
        return asyncio.run_coroutine_threadsafe(self._run(request), asyncio.get_running_loop())

    def chat(self, turn: ChatTurn) -> None:
        """Ask a question about a picture."""
        task = asyncio.create_task(self._chat(turn))
        self._chats.add(task)
        task.add_done_callback(self._chats.discard)

    def close(self) -> None:
        """Let nobody in any more."""
        self.alive = False

    async def _run(self, request: Request) -> Verdict | Failure:
        start = time.perf_counter()
        self.queued += 1
        try:
            result = await self._ask(request)
        finally:
            in_flight = self.queued
            self.queued -= 1
        seconds = (time.perf_counter() - start) / in_flight
        self.seconds_per_picture += 0.1 * (seconds - self.seconds_per_picture)
        return result

    async def _ask(self, request: Request) -> Verdict | Failure:
        """Ask, and ask once more where the replica died meanwhile."""
        from ray.exceptions import RayActorError

        for _ in range(DEATHS):
            response = self._handle.detect.remote(request)
            try:
                result: Verdict | Failure = await response
                return result
            except RayActorError:
                log.warning("A replica died while it worked.")
            except asyncio.CancelledError:
                response.cancel()
                raise
        message = (
            f"{DEATHS} replicas died while they worked on it and others, most likely for lack of "
            "memory: try again, reduce the picture, or give replicas more memory"
        )
        return Failure(error="out_of_memory", message=message)

    async def _chat(self, turn: ChatTurn) -> None:
        from ray.exceptions import RayActorError

        events = self._handle.options(stream=True).chat.remote(
            turn.picture, turn.history, turn.question, turn.verdict, turn.max_false_positives
        )
        try:
            async for event, turn.truncated in events:
                if turn.stopped:
                    events.cancel()
                    return
                turn.emit(event)
        except RayActorError:
            turn.emit(
                HttpError(503, "over_capacity", "the replica that was answering died: try again")
            )
        except Exception as error:
            turn.emit(error)


class Front:
    """The app of `sida serve` around the replicas."""

    async def __init__(self, model: Any, settings: ServeSettings) -> None:  # type: ignore[misc]
        self._replicas = Replicas(model, *await model.about.remote())
        self._settings = settings

    def __serve_build_asgi_app__(self) -> FastAPI:
        self._app = app_around(self._replicas, self._settings)
        return self._app

    async def about(self) -> ModelInfo:
        """The weights."""
        return self._replicas.model

    async def finish(self) -> None:
        """Let nobody in any more, and answer all that was accepted."""
        self._replicas.close()
        await self._app.state.finish()
