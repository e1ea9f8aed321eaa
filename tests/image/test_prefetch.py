"""Reading many: in order, bounded, and without a thread left behind."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sida.errors import PictureError
from sida.image.prefetch import prefetch_pictures
from sida.image.read import Picture
from tests.pictures import encoded, file_bytes, photo


def readers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("sida-read")]


def test_results_come_in_order_whatever_the_threads_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_at_first(source: int, max_pixels: int) -> Picture:
        time.sleep(0.002 * (10 - source) * (source % 2))
        return Picture(photo(1, source + 1))

    monkeypatch.setattr("sida.image.prefetch.read_picture", slow_at_first)
    widths = [picture.width for picture in prefetch_pictures(range(10), workers=4, buffer_size=4)]
    assert widths == list(range(1, 11))


def test_bad_pictures_are_results_like_others(tmp_path: Path) -> None:
    sources = [file_bytes("png"), b"text", tmp_path / "no.jpg", file_bytes("jpeg"), 7]
    results = list(prefetch_pictures(sources))
    assert [type(result) for result in results] == [
        Picture, PictureError, PictureError, Picture, PictureError,
    ]  # fmt: skip
    assert [r.code for r in results if isinstance(r, PictureError)] == [
        "unreadable_image", "not_found", "unreadable_image",
    ]  # fmt: skip
    assert np.array_equal(results[0].pixels, photo())


def test_no_memory_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_: object, max_pixels: int) -> Picture:
        raise MemoryError

    monkeypatch.setattr("sida.image.prefetch.read_picture", greedy)
    (result,) = prefetch_pictures([b"x"])
    assert isinstance(result, PictureError)
    assert result.code == "out_of_memory"


@pytest.mark.parametrize("held", [1, 3, 8])
def test_sources_are_drawn_no_further_than_asked(held: int) -> None:
    drawings = 0

    def sources() -> Iterator[bytes]:
        nonlocal drawings
        while True:
            drawings += 1
            yield file_bytes("png")

    pictures = prefetch_pictures(sources(), workers=2, buffer_size=held)
    for handed_out in range(1, 20):
        next(pictures)
        assert drawings == handed_out + held
    pictures.close()


def test_closing_early_leaves_no_thread() -> None:
    pictures = prefetch_pictures([encoded(photo(200, 200), "PNG")] * 100, workers=3, buffer_size=20)
    next(pictures)
    assert readers()
    pictures.close()
    assert readers() == []


def test_a_finished_iterator_leaves_no_thread() -> None:
    assert len(list(prefetch_pictures([file_bytes("png")] * 5))) == 5
    assert list(prefetch_pictures([])) == []
    assert readers() == []


def test_an_error_of_the_sources_is_raised_and_leaves_no_thread() -> None:
    def sources() -> Iterator[bytes]:
        yield file_bytes("png")
        raise RuntimeError("the list broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        list(prefetch_pictures(sources()))
    assert readers() == []
