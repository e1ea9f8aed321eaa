"""How pictures are dealt into passes, and what becomes of passes that do not fit into memory."""

import gc
import weakref
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.errors import PictureError
from sida.image.read import Picture
from sida.inference.memory import PIXELS, fitting, fitting_batch, micro_batches, within_memory

MEGA = 10**6


def picture(pixels: int) -> Picture:
    """Of so many pixels, which take no memory."""
    return Picture(np.broadcast_to(np.uint8(0), (1, pixels, 3)))


@dataclass(eq=False)
class FakeRequest:
    picture: Picture | PictureError
    fits_with: int = 9
    """Results that can be had together with this one."""


@pytest.mark.parametrize(
    ("megapixels", "batches"),
    [
        ([1] * 6, [4, 2]),
        ([12] * 5, [4, 1]),
        ([24] * 5, [2, 2, 1]),
        ([100] * 4, [1, 1, 1, 1]),
        ([1, 1, 100, 1], [2, 1, 1]),
        ([49, 1, 1], [2, 1]),
        ([], []),
    ],
)
def test_a_pass_holds_four_pictures_and_fifty_megapixels(megapixels, batches):
    dealt = list(micro_batches([FakeRequest(picture(item * MEGA)) for item in megapixels], 4))
    assert [len(batch) for batch in dealt] == batches


Sizes = st.lists(st.none() | st.integers(1, 4 * PIXELS), max_size=30)


@settings(max_examples=40, deadline=None)
@given(Sizes, st.integers(1, 5))
def test_all_come_once_in_order_and_within_the_rule(sizes, size):
    pictures = [PictureError("broken") if item is None else picture(item) for item in sizes]
    requests = [FakeRequest(item) for item in pictures]
    batches = list(micro_batches(requests, size))
    assert [id(item) for batch in batches for item in batch] == [id(item) for item in requests]
    for batch in batches:
        pixels = [item.picture.width for item in batch if isinstance(item.picture, Picture)]
        assert 1 <= len(batch) <= size
        assert len(pixels) <= 1 or sum(pixels) <= size * PIXELS


def test_a_full_pass_does_not_wait_for_another_picture():
    taken = []
    coming = (taken.append(i) or FakeRequest(picture(1)) for i in range(9))
    next(micro_batches(coming, 3))
    assert taken == [0, 1, 2]


def requests_of(*fits_with: int) -> list[FakeRequest]:
    return [FakeRequest(picture(7), item) for item in fits_with]


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_a_pass_that_fails_as_a_whole_is_halved(error, caplog):
    sizes = []

    def work(part):
        sizes.append(len(part))
        if len(part) > min(item.fits_with for item in part):
            raise error
        yield from part

    pictures = requests_of(9, 9, 9, 1, 0, 2)
    results = list(within_memory(work, pictures))
    assert sizes == [6, 3, 3, 2, 1, 1, 1]
    assert [r is p for r, p in zip(results, pictures, strict=True)] == [
        *(True, True, True, True, False, True)
    ]
    assert results[4].code == "out_of_memory"
    assert "a picture of 7 x 1" in str(results[4])
    assert "6 pictures at once; halving" in caplog.text


def test_what_was_given_before_memory_was_short_is_not_made_again():
    """As an explanation that does not fit beside those of the same pass."""
    made = []

    def work(part):
        for index, item in enumerate(part):
            if index >= item.fits_with:
                raise torch.OutOfMemoryError("no room")
            made.append(item)
            yield item

    pictures = requests_of(9, 9, 2, 1, 0)
    results = list(within_memory(work, pictures))
    assert made == pictures[:4]
    assert results[:4] == pictures[:4]
    assert isinstance(results[4], PictureError)


def test_other_errors_are_not_a_lack_of_memory():
    def work(part):
        yield part[0]
        raise RuntimeError("shapes")

    results = within_memory(work, requests_of(1, 1))
    next(results)
    with pytest.raises(RuntimeError, match="shapes"):
        next(results)


def test_the_failed_pass_is_let_go_before_the_next_one():
    alive = []

    def work(part):
        big = np.zeros(1)
        assert all(earlier() is None for earlier in alive)
        alive.append(weakref.ref(big))
        if len(part) > 1:
            raise MemoryError
        yield part[0]

    gc.disable()
    try:
        assert len(list(within_memory(work, requests_of(1, 1, 1, 1)))) == 4
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("free", "taken", "size"),
    [
        (100, 10, 8),
        (100, 40, 2),
        (100, 79, 1),
        (100, 300, 1),
        (0, 10, 1),
        (10**9, 1, 64),
        (5, 0, 4),
    ],
)
def test_a_batch_is_the_largest_power_of_two_that_fits(free, taken, size):
    assert fitting(free, taken) == size


def test_what_one_picture_takes_is_measured_on_cuda(monkeypatch):
    memory = {"now": 5, "peak": 0}

    def judge():
        memory["peak"] = max(memory["peak"], memory["now"] + 10)

    cuda = torch.cuda
    monkeypatch.setattr(
        cuda, "reset_peak_memory_stats", lambda _: memory.update(peak=memory["now"])
    )
    monkeypatch.setattr(cuda, "memory_allocated", lambda _: memory["now"])
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda _: memory["peak"])
    monkeypatch.setattr(cuda, "memory_reserved", lambda _: 25)
    monkeypatch.setattr(cuda, "mem_get_info", lambda _: (180, 400))
    assert fitting_batch(torch.device("cuda"), judge) == fitting(200, 10) == 16
    assert fitting_batch(torch.device("cpu"), lambda: pytest.fail("not measured there")) == 2
