"""The model's thread: order, batches, what is taken back, and its end."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sida.detector import Request
from sida.serve.backend import ChatTurn, ModelThread
from tests.serve.conftest import picture, sha256, waits
from tests.serve.held import Held
from tests.small import small_detector


@pytest.fixture
def held() -> Held:
    return Held(held=True)


@pytest.fixture
def thread(held: Held) -> Iterator[ModelThread]:
    thread = ModelThread(held, 0.0)  # type: ignore[arg-type]
    yield thread
    held.turns.release(1000)
    thread.close()


def test_each_gets_its_own_answer() -> None:
    thread = ModelThread(small_detector(), 0.01)
    pictures = [picture(seed) for seed in range(20)]
    futures = [thread.submit(Request(item)) for item in pictures]
    assert [future.result(60).sha256 for future in futures] == [sha256(item) for item in pictures]
    thread.close()


def test_a_first_batch_waits_to_be_full(monkeypatch) -> None:
    detector, sizes = small_detector(batch_size=4), []
    infer_each = detector.engine.infer_each

    def noted(pictures: Any, *wishes: Any) -> Any:
        sizes.append(len(pictures))
        return infer_each(pictures, *wishes)

    monkeypatch.setattr(detector.engine, "infer_each", noted)
    thread = ModelThread(detector, 0.5)
    futures = [thread.submit(Request(picture(seed))) for seed in range(8)]
    for future in futures:
        future.result(60)
    thread.close()
    assert sizes[0] == 4
    assert sum(sizes) == 8


def test_what_is_taken_back_is_never_begun(held: Held, thread: ModelThread) -> None:
    first = thread.submit(Request(picture(0)))
    held.begun.acquire()
    second, third = (thread.submit(Request(picture(seed))) for seed in (1, 2))
    assert thread.queued == 2
    assert second.cancel()
    assert thread.queued == 1
    held.turns.release(3)
    assert first.result(10)
    assert third.result(10)
    assert held.judged == [sha256(picture(0)), sha256(picture(2))]


def test_a_defect_costs_only_those_that_were_begun(caplog) -> None:
    class Broken(Held):
        def run(self, requests: Any) -> Any:
            next(iter(requests))
            self.run = super().run  # type: ignore[method-assign]
            raise RuntimeError("shapes")

    thread = ModelThread(Broken(), 0.0)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="shapes"):
        thread.submit(Request(picture())).result(10)
    assert thread.submit(Request(picture())).result(10).label == "real"
    assert "the detector failed" in caplog.text
    thread.close()


def test_closing_finishes_what_waits(held: Held) -> None:
    thread = ModelThread(held, 0.0)  # type: ignore[arg-type]
    futures = [thread.submit(Request(picture(seed))) for seed in range(5)]
    events: list[Any] = []
    thread.chat(ChatTurn(picture(), [], "why", events.append))
    closing = threading.Thread(target=thread.close)
    closing.start()
    waits(lambda: not thread.alive)
    held.turns.release(5)
    closing.join(10)
    assert not closing.is_alive()
    assert all(future.done() for future in futures)
    assert events[1:] == ["After 0 turns ", "you ask: why", None]


def test_pictures_and_a_conversation_take_turns(held: Held, thread: ModelThread) -> None:
    """While pictures keep coming a conversation goes on, and the other way round."""
    events: list[Any] = []
    futures = [thread.submit(Request(picture(seed))) for seed in range(40)]
    thread.chat(ChatTurn(picture(), [], "why", events.append))
    held.turns.release(8)
    waits(lambda: events and events[-1] is None)
    assert not futures[-1].done()


def test_a_conversation_that_nobody_hears_ends(held: Held, thread: ModelThread) -> None:
    events: list[Any] = []
    talk = ChatTurn(picture(), [], "why", events.append)
    talk.stop()
    thread.chat(talk)
    held.turns.release()
    thread.submit(Request(picture())).result(10)
    assert events == []
