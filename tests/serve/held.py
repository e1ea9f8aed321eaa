"""A detector without a network, which judges a picture for each time that it is let to."""

import threading
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from sida.errors import InputError, PictureError
from sida.image.read import read_picture
from sida.verdict import Failure, ModelInfo, Probabilities, Verdict

__all__ = ["Held", "Said"]


class Held:
    """`turns` are the pictures that it may still judge, `begun` those that it has drawn."""

    batch_size = 2
    device = SimpleNamespace(type="cpu")
    model = ModelInfo(name="held", version="1", digest="0" * 64)
    budget_calibration = None

    def __init__(self, held: bool = False) -> None:
        self.turns = threading.Semaphore(0 if held else 1_000_000)
        self.begun = threading.Semaphore(0)
        self.judged: list[str] = []

    def run(self, requests: Iterable[Any]) -> Iterator[Verdict | Failure]:
        for request in requests:
            self.begun.release()
            self.turns.acquire()
            yield self.verdict(request.picture)

    def verdict(self, source: Any) -> Verdict | Failure:
        try:
            picture = read_picture(source)
        except PictureError as error:
            return Failure(error=error.code, message=str(error))
        self.judged.append(picture.sha256 or "")
        return Verdict(
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            label="real",
            probabilities=Probabilities(real=0.8, full_synthetic=0.1, tampered=0.1),
            model=self.model,
            seconds=0.0,
        )

    def chat(
        self,
        picture: Any,
        history: Any = (),
        verdict: Verdict | None = None,
        max_false_positives: float | None = None,
    ) -> "Said":
        verdict = verdict or self.verdict(picture)
        if isinstance(verdict, Failure):
            raise PictureError(verdict.message, verdict.error)
        return Said(verdict, list(history))


class Said:
    """A conversation whose answers say what was asked."""

    talks = True
    complete = True

    def __init__(self, verdict: Verdict, history: list[tuple[str, str]]) -> None:
        self.verdict, self.history = verdict, history
        self.closed = False

    def ask(self, text: str) -> Iterator[str]:
        if not text.strip():
            raise InputError("found no question")
        self.complete = text != "long"
        yield f"After {len(self.history)} turns "
        if text == "fail":
            raise RuntimeError("broken")
        yield f"you ask: {text}"
