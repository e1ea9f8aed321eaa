"""Micro-batches for one forward pass, halved where memory does not suffice for them."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import torch

from sida.errors import PictureError
from sida.image.read import Picture
from sida.inference.device import out_of_memory

__all__ = [
    "PIXELS",
    "fitting",
    "fitting_batch",
    "micro_batches",
    "within_memory",
]

PIXELS = 12_500_000
"""Pixels that a picture of a micro-batch has at most on average: those of a phone's photograph."""

CPU_BATCH = 2
"""Pictures in one pass on the CPU; more of them bring nothing there (`docs/performance.md`)."""
MAX_BATCH = 64
MEMORY_SHARE = 0.8
"""Of the free memory that passes may take."""

log = logging.getLogger(__name__)


class HasPicture(Protocol):
    """Anything about one picture, or about why it cannot be read."""

    @property
    def picture(self) -> Picture | PictureError: ...


Item = TypeVar("Item", bound=HasPicture)
Output = TypeVar("Output")


def fitting_batch(device: torch.device, run_one: Callable[[], object]) -> int:
    """Pictures in one pass that free memory suffices for.

    Args:
        run_one: runs one large picture with mask and text; on CUDA the memory it takes is measured.
    """
    if device.type != "cuda":
        return CPU_BATCH
    run_one()  # allocations that stay are made here, and do not count
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run_one()
    peak = torch.cuda.max_memory_allocated(device) - before
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - before
    return fitting(free, peak)


def fitting(free: int, peak: int) -> int:
    """The largest power of two, at most 64, that `MEMORY_SHARE` of the free bytes suffices for."""
    count = int(MEMORY_SHARE * free / max(1, peak))
    return 1 << min(max(count, 1), MAX_BATCH).bit_length() - 1


def micro_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Pictures in their order, in lists for one forward pass each.

    The rule: at most `size` pictures, and together at most `size` times 12.5 megapixels; a picture
    larger than that goes alone. Memory for masks grows with the pixels of the originals and is
    bounded so; that for windows is bounded by their number, which each model limits by itself.

    Args:
        items: those that could not be read come along, and count no pixels.
        size: at least 1.
    """
    batch: list[Item] = []
    pixels = 0
    for item in items:
        picture = item.picture
        area = picture.height * picture.width if isinstance(picture, Picture) else 0
        if batch and pixels + area > size * PIXELS:
            yield batch
            batch, pixels = [], 0
        batch.append(item)
        pixels += area
        if len(batch) == size:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def within_memory(
    work: Callable[[Sequence[Item]], Iterator[Output]], items: Sequence[Item]
) -> Iterator[Output | PictureError]:
    """Results of `work` for a micro-batch; where memory does not suffice, for its halves.

    Args:
        work: yields one result for each item, in their order. It may fail in the midst of them:
            results that were yielded stay, and only the remaining items are given to it again.
        items: down to one picture; one that does not fit alone gives a PictureError with the code
            `out_of_memory`.
    """
    finished = 0
    try:
        for result in work(items):
            finished += 1
            yield result
        return
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Only out here is the error gone, and with it the tensors that its traceback holds.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # cuBLAS and cuDNN get nothing of what torch keeps for itself
    if len(items) == 1:
        picture = items[0].picture
        size = f" of {picture.width} x {picture.height}" if isinstance(picture, Picture) else ""
        message = f"there is not enough memory for a picture{size}: make it smaller, or free memory"
        yield PictureError(message, "out_of_memory")
        return
    log.warning("not enough memory for %d pictures at once; halving", len(items))
    remaining = items[finished:]
    half = (len(remaining) + 1) // 2
    for part in filter(None, (remaining[:half], remaining[half:])):
        yield from within_memory(work, part)
