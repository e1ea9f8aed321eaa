"""`ModelThread`: the one thread that uses the detector, micro-batch by micro-batch.

`Detector.run` draws requests while it works on earlier ones; here it draws from the queue, and
comes to its end when the queue is empty. So under load a single run goes on and on, with the
prefetching and the batches that `detect_many` has, and a lonely picture is taken at once.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from sida.detector import Detector
from sida.inference.conversation import Conversation
from sida.model.budget import BudgetCalibration
from sida.options import Request
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["MAX_CHATS", "Backend", "ChatEvent", "ChatTurn", "ModelThread"]

log = logging.getLogger(__name__)

MAX_CHATS = 4
"""Conversations that go on at once; each holds its keys and values in the device's memory."""


ChatEvent = Verdict | str | Exception | None
"""The verdict, then parts of the text, then None; an exception ends it, too."""


@dataclass(frozen=True, eq=False)
class _QueuedRequest:
    request: Request
    future: "Future[Verdict | Failure]"


class ChatTurn:
    """A question about a picture, whose answer is passed to `emit` in the model's thread.

    First comes the verdict, then parts of the text, then None; or an exception, and nothing more.

    Args:
        picture: its file.
        history: questions and answers so far.
        verdict: of an earlier question about the same picture; no other is made then.
        max_false_positives: as of `DetectOptions`.

    Attributes:
        truncated: True where the answer was cut short; known when it has ended.
    """

    def __init__(
        self,
        picture: bytes,
        history: list[tuple[str, str]],
        question: str,
        emit: Callable[[ChatEvent], None],
        verdict: Verdict | None = None,
        max_false_positives: float | None = None,
    ) -> None:
        self.picture, self.history, self.question, self.emit = picture, history, question, emit
        self.verdict, self.max_false_positives = verdict, max_false_positives
        self.stopped = False
        self.truncated = False
        self._conversation: Conversation | None = None
        self._answer: Iterator[str] = iter(())

    def stop(self) -> None:
        """Nobody listens any more."""
        self.stopped, self.picture = True, b""

    def advance(self, detector: Detector) -> bool:
        """Emit the next part; returns True where there is more to come."""
        if self.stopped:
            return False
        try:
            if self._conversation is None:
                self._conversation = detector.chat(
                    self.picture, self.history, self.verdict, self.max_false_positives
                )
                self._answer = self._conversation.ask(self.question)
                self.emit(self._conversation.verdict)
                return True
            text = next(self._answer, None)
            self.truncated = not self._conversation.complete
        except Exception as error:
            self.emit(error)
            return False
        self.emit(text)
        return text is not None


class Backend(Protocol):
    """The model behind a service: a thread of its own process, or replicas elsewhere."""

    @property
    def model(self) -> ModelInfo:
        """The weights."""

    @property
    def batch_size(self) -> int:
        """Pictures in one pass."""

    @property
    def budget_calibration(self) -> BudgetCalibration | None:
        """The scores that budgets rest on."""

    @property
    def queued(self) -> int:
        """Pictures that no pass has begun with yet."""

    @property
    def seconds_per_picture(self) -> float:
        """A moving average."""

    @property
    def alive(self) -> bool:
        """True while requests are answered."""

    def submit(self, request: Request) -> "Future[Verdict | Failure]":
        """Queue a picture. Cancelling the future before its turn takes it back."""

    def chat(self, turn: ChatTurn) -> None:
        """Queue a question about a picture."""

    def close(self) -> None:
        """End; what was queued is finished first."""


class ModelThread:
    """Runs a detector until it is closed.

    Args:
        detector: used from no other thread from now on.
        max_wait: seconds that the first micro-batch of a run waits to be full.
    """

    def __init__(self, detector: Detector, max_wait: float) -> None:
        self._detector, self._max_wait = detector, max_wait
        self.model, self.batch_size = detector.model, detector.batch_size
        self.budget_calibration = detector.budget_calibration
        self._queue: deque[_QueuedRequest] = deque()
        self._chats: deque[ChatTurn] = deque()
        # Guards both queues; callers notify, the model's thread waits.
        self._change = threading.Condition()
        self._closed = False
        self.seconds_per_picture = 0.1
        self._thread = threading.Thread(target=self._work, name="sida-model", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Pictures that no pass has begun with yet."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """True while requests are answered."""
        return self._thread.is_alive() and not self._closed

    def submit(self, request: Request) -> "Future[Verdict | Failure]":
        """Queue a picture. Cancelling the future before its turn takes it out of the queue."""
        item = _QueuedRequest(request, Future())
        item.future.add_done_callback(lambda _: self._drop(item))
        with self._change:
            self._queue.append(item)
            self._change.notify()
        return item.future

    def chat(self, turn: ChatTurn) -> None:
        """Queue a question about a picture."""
        with self._change:
            self._chats.append(turn)
            self._change.notify()

    def close(self) -> None:
        """Finish all that was queued, then end; returns when it has."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _drop(self, item: _QueuedRequest) -> None:
        """Take a cancelled request out; one that was drawn is not in the queue any more."""
        with self._change:
            if item in self._queue:
                self._queue.remove(item)

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._chats or self._closed)
                if not self._queue and not self._chats:
                    return
            if self._queue:
                self._run_detector()
            with self._change:
                turns = list(islice(self._chats, MAX_CHATS))
            # One part of each answer between batches: chats go on while pictures are queued.
            for turn in turns:
                if not turn.advance(self._detector):
                    with self._change:
                        self._chats.remove(turn)

    def _run_detector(self) -> None:
        """A single run, as long as pictures are queued."""
        in_progress: deque[_QueuedRequest] = deque()
        before = time.perf_counter()
        try:
            # Results come in the order of requests, so the first in progress is the finished one.
            for result in self._detector.run(self._draw(in_progress)):
                in_progress.popleft().future.set_result(result)
                now = time.perf_counter()
                self.seconds_per_picture += 0.1 * (now - before - self.seconds_per_picture)
                before = now
        except Exception as error:
            log.exception("the detector failed; the next pictures start a new run")
            for item in in_progress:
                item.future.set_exception(error)

    def _draw(self, in_progress: deque[_QueuedRequest]) -> Iterator[Request]:
        """Requests as the detector comes to need them; cancelled ones are left out."""
        latest = time.monotonic() + self._max_wait
        batch = self._detector.batch_size
        count = 0
        while True:
            with self._change:
                if count < batch:
                    left = latest - time.monotonic()
                    self._change.wait_for(lambda: self._queue or self._closed, max(0.0, left))
                if not self._queue or (self._chats and count >= batch):
                    return
                item = self._queue.popleft()
            if item.future.set_running_or_notify_cancel():
                count += 1
                in_progress.append(item)
                yield item.request
