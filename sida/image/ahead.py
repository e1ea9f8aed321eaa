"""Reading many pictures in worker threads, in the order of the inputs."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from sida.errors import PictureError
from sida.image.read import Picture, Source, read_picture

__all__ = ["read_ahead"]


def read_ahead(
    sources: Iterable[Source], workers: int = 4, ahead: int = 8
) -> Iterator[Picture | PictureError]:
    """Read pictures in threads while the caller works on earlier ones.

    One result comes for each source, in the order of the sources; a picture that cannot be read
    comes as its PictureError and does not stop the others. At most `ahead` pictures are being read
    or wait beside the one that was handed out, and `sources` is drawn from no faster, so memory
    stays flat however many there are. Closing the iterator early waits only for the reads that
    have begun.

    Args:
        sources: anything that `read_picture` takes.
        workers: threads; Pillow's decoders let them run side by side.
        ahead: pictures held, at least 1.
    """
    waiting: deque[Future[Picture | PictureError]] = deque()
    coming = iter(sources)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="sida-read")
    try:
        waiting.extend(pool.submit(_read, source) for source in islice(coming, max(1, ahead)))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(_read, source) for source in islice(coming, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(source: Source) -> Picture | PictureError:
    try:
        return read_picture(source)
    except PictureError as error:
        return error
    except MemoryError:
        return PictureError(
            "there is not enough memory to decode the picture: make it smaller, or read fewer "
            "pictures at a time",
            "out_of_memory",
        )
