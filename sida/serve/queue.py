"""The one thread that uses the detector: pictures in micro-batches, conversations piece by piece.

`Detector.run` draws requests while it judges earlier ones; here it draws from what is waiting, and
comes to its end when nothing is. So under load a single run goes on and on, with the reading
ahead and the batches that `detect_many` has, and a lonely picture is judged at once.
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
from sida.options import Request
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["TALKS", "Judge", "ModelThread", "Result", "Talk"]

log = logging.getLogger(__name__)

Result = Verdict | Failure

TALKS = 4
"""Conversations that go on at once; each holds its keys and values in the device's memory."""


@dataclass(frozen=True, eq=False)
class _Job:
    request: Request
    future: "Future[Result]"


class Talk:
    """A question about a picture; what comes of it is given to `say`, in the model's thread.

    First comes the verdict, then pieces of text, then None; or an exception, and nothing more.

    Args:
        picture: its file.
        history: questions and answers so far.
        verdict: of an earlier question about the same picture, which is not judged again then.

    Attributes:
        cut: whether the answer was cut short; known when it has ended.
    """

    def __init__(
        self,
        picture: bytes,
        history: list[tuple[str, str]],
        question: str,
        say: Callable[[Verdict | str | Exception | None], None],
        verdict: Verdict | None = None,
    ) -> None:
        self.picture, self.history, self.question, self.say = picture, history, question, say
        self.verdict = verdict
        self.stopped = False
        self.cut = False
        self._conversation: Conversation | None = None
        self._pieces: Iterator[str] = iter(())

    def stop(self) -> None:
        """Nobody listens any more."""
        self.stopped, self.picture = True, b""

    def advance(self, detector: Detector) -> bool:
        """Say one more thing; whether there is more to come."""
        if self.stopped:
            return False
        try:
            if self._conversation is None:
                self._conversation = detector.chat(self.picture, self.history, self.verdict)
                self._pieces = self._conversation.ask(self.question)
                self.say(self._conversation.verdict)
                return True
            piece = next(self._pieces, None)
            self.cut = not self._conversation.complete
        except Exception as error:
            self.say(error)
            return False
        self.say(piece)
        return piece is not None


class Judge(Protocol):
    """Who judges for a service: a thread of its own process, or replicas elsewhere."""

    @property
    def model(self) -> ModelInfo:
        """The weights."""

    @property
    def batch_size(self) -> int:
        """Pictures a pass."""

    @property
    def waiting(self) -> int:
        """Pictures that were not begun yet."""

    @property
    def seconds_each(self) -> float:
        """A picture took of late."""

    @property
    def alive(self) -> bool:
        """Whether what is asked will be answered."""

    def judge(self, request: Request) -> "Future[Result]":
        """Ask for a picture. Cancelling the future before its turn takes it back."""

    def talk(self, talk: Talk) -> None:
        """Ask a question about a picture."""

    def close(self) -> None:
        """End; what was asked is finished first."""


class ModelThread:
    """Runs a detector until it is closed.

    Args:
        detector: used from no other thread from now on.
        max_wait: seconds that the first micro-batch of a run waits to be full.
    """

    def __init__(self, detector: Detector, max_wait: float) -> None:
        self._detector, self._max_wait = detector, max_wait
        self.model, self.batch_size = detector.model, detector.batch_size
        self._waiting: deque[_Job] = deque()
        self._talks: deque[Talk] = deque()
        self._change = threading.Condition()
        self._closed = False
        self.seconds_each = 0.1
        self._thread = threading.Thread(target=self._work, name="sida-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Pictures that were not begun yet."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        """Whether what is asked will be answered."""
        return self._thread.is_alive() and not self._closed

    def judge(self, request: Request) -> "Future[Result]":
        """Ask for a picture. Cancelling the future before its turn takes it out of the queue."""
        job = _Job(request, Future())
        job.future.add_done_callback(lambda _: self._drop(job))
        with self._change:
            self._waiting.append(job)
            self._change.notify()
        return job.future

    def talk(self, talk: Talk) -> None:
        """Ask a question about a picture."""
        with self._change:
            self._talks.append(talk)
            self._change.notify()

    def close(self) -> None:
        """Finish all that was asked, then end; returns when it has."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _drop(self, job: _Job) -> None:
        """Take one out that was taken back; one that was drawn is not there any more."""
        with self._change:
            if job in self._waiting:
                self._waiting.remove(job)

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting or self._talks or self._closed)
                if not self._waiting and not self._talks:
                    return
            if self._waiting:
                self._judge()
            with self._change:
                talks = list(islice(self._talks, TALKS))
            for talk in talks:
                if not talk.advance(self._detector):
                    with self._change:
                        self._talks.remove(talk)

    def _judge(self) -> None:
        """One run, as long as pictures are waiting."""
        drawn: deque[_Job] = deque()
        before = time.perf_counter()
        try:
            for result in self._detector.run(self._draw(drawn)):
                drawn.popleft().future.set_result(result)
                now = time.perf_counter()
                self.seconds_each += 0.1 * (now - before - self.seconds_each)
                before = now
        except Exception as error:
            log.exception("the detector failed; the next pictures are tried anew")
            for job in drawn:
                job.future.set_exception(error)

    def _draw(self, drawn: deque[_Job]) -> Iterator[Request]:
        """Requests as the detector comes to need them; those that nobody waits for are left out."""
        latest = time.monotonic() + self._max_wait
        batch = self._detector.batch_size
        count = 0
        while True:
            with self._change:
                if count < batch:
                    left = latest - time.monotonic()
                    self._change.wait_for(lambda: self._waiting or self._closed, max(0.0, left))
                if not self._waiting or (self._talks and count >= batch):
                    return
                job = self._waiting.popleft()
            if job.future.set_running_or_notify_cancel():
                count += 1
                drawn.append(job)
                yield job.request
