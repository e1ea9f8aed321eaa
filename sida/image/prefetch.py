"""Reading many pictures in worker threads, in the order of the inputs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from sida.errors import PictureError
from sida.image.read import MAX_PIXELS, Picture, Source, read_picture

__all__ = ["prefetch", "prefetch_pictures", "read_or_error"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch_pictures(
    sources: Iterable[Source], workers: int = 4, buffer_size: int = 8
) -> Iterator[Picture | PictureError]:
    """Read pictures in threads while the caller works on earlier ones, as `prefetch`.

    A picture that cannot be read comes as its PictureError and does not stop the others.

    Args:
        sources: anything that `read_picture` takes.
        workers: threads; Pillow's decoders let them run side by side.
        buffer_size: pictures held, at least 1.
    """
    return prefetch(read_or_error, sources, workers, buffer_size)


def prefetch(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int = 4, buffer_size: int = 8
) -> Iterator[Result]:
    """Do the work in threads while the caller uses earlier results; what it raises is raised here.

    One result comes for each item, in the order of the items. At most `buffer_size` results are
    being made or wait beside the one that was handed out, and `items` is drawn from no faster, so
    memory stays flat however many there are. Closing the iterator early waits only for the work
    that has begun.
    """
    waiting: deque[Future[Result]] = deque()
    coming = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sida-read")
    try:
        waiting.extend(pool.submit(work, item) for item in islice(coming, max(1, buffer_size)))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(coming, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def read_or_error(source: Source, max_pixels: int = MAX_PIXELS) -> Picture | PictureError:
    """Read a picture; what is wrong with it is returned."""
    try:
        return read_picture(source, max_pixels=max_pixels)
    except PictureError as error:
        return error
    except MemoryError:
        return PictureError(
            "there is not enough memory to decode the picture: make it smaller, or read fewer "
            "pictures at a time",
            "out_of_memory",
        )
