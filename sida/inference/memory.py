"""How much goes into one pass, and what happens where memory does not suffice for it."""

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
"""What a picture of a micro-batch may have on average: those of a telephone's photograph."""

BATCH = 2
"""Pictures a pass on the CPU; more of them bring nothing there (`docs/performance.md`)."""
MOST = 64
SHARE = 0.8
"""Of the free memory that passes may take."""

log = logging.getLogger(__name__)


class HasPicture(Protocol):
    """Anything that is about one picture, or what was wrong with it."""

    @property
    def picture(self) -> Picture | PictureError: ...


Asked = TypeVar("Asked", bound=HasPicture)
Result = TypeVar("Result")


def fitting_batch(device: torch.device, judge_one: Callable[[], object]) -> int:
    """Pictures a pass that free memory suffices for.

    Args:
        judge_one: judges one large picture with mask and text; on CUDA what it takes is measured.
    """
    if device.type != "cuda":
        return BATCH
    judge_one()  # what is allocated once is not counted to the picture
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    judge_one()
    taken = torch.cuda.max_memory_allocated(device) - before
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - before
    return fitting(free, taken)


def fitting(free: int, taken: int) -> int:
    """The largest power of two, at most 64, that `SHARE` of the free bytes suffices for."""
    fits = int(SHARE * free / max(1, taken))
    return 1 << min(max(fits, 1), MOST).bit_length() - 1


def micro_batches(asked: Iterable[Asked], size: int) -> Iterator[list[Asked]]:
    """Pictures in their order, in lists for one pass each.

    The rule: at most `size` pictures, and together at most `size` times 12.5 megapixels; a picture
    larger than that goes alone. Memory for masks grows with the pixels of the originals and is
    bounded so; that for windows is bounded by their number, which each model limits by itself.

    Args:
        asked: those that could not be read come along, and count no pixels.
        size: at least 1.
    """
    batch: list[Asked] = []
    pixels = 0
    for each in asked:
        picture = each.picture
        own = picture.height * picture.width if isinstance(picture, Picture) else 0
        if batch and pixels + own > size * PIXELS:
            yield batch
            batch, pixels = [], 0
        batch.append(each)
        pixels += own
        if len(batch) == size:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def within_memory(
    work: Callable[[Sequence[Asked]], Iterator[Result]], asked: Sequence[Asked]
) -> Iterator[Result | PictureError]:
    """What `work` makes of a micro-batch; where memory does not suffice, of its halves.

    Args:
        work: gives one result for each that it is asked, in their order. It may fail in the midst
            of them: what it has given stays, and only the rest is asked for again.
        asked: down to one picture; one that does not fit alone gives a PictureError with the code
            `out_of_memory`.
    """
    done = 0
    try:
        for result in work(asked):
            done += 1
            yield result
        return
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    # Only out here is the error gone, and with it the tensors that its traceback holds.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # cuBLAS and cuDNN get nothing of what torch keeps for itself
    if len(asked) == 1:
        picture = asked[0].picture
        size = f" of {picture.width} x {picture.height}" if isinstance(picture, Picture) else ""
        message = f"memory does not suffice for a picture{size}: reduce it, or free memory"
        yield PictureError(message, "out_of_memory")
        return
    log.warning("memory does not suffice for %d pictures at once; halving", len(asked))
    rest = asked[done:]
    half = (len(rest) + 1) // 2
    for part in filter(None, (rest[:half], rest[half:])):
        yield from within_memory(work, part)
