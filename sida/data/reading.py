"""`read`: the samples of a set with their pixels, read ahead in threads; broken ones left out."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sida.data.sample import Labelled, Sample, stored_bytes
from sida.errors import PictureError
from sida.files import Input
from sida.image.ahead import read_ahead
from sida.image.read import Source

__all__ = ["read"]


def read(samples: Iterable[Sample], workers: int | None = None) -> Iterator[Labelled]:
    """Every sample that can be read, in order, with its picture and mask.

        data = sida.data.open("pictures/train")
        for labelled in sida.data.read(data):
            labelled.picture.pixels, labelled.mask, labelled.sample.label
        print(data.report.counts())

    What cannot be read is left out and stands in the set's report; nothing is raised. Memory stays
    flat however long the set is.

    Args:
        samples: a data set, or any samples; a streamed set is drawn from no faster than is read.
        workers: threads that decode; as many as there are processors if not given.
    """
    count = workers or os.cpu_count() or 1
    drawn: deque[Sample] = deque()
    for result in read_ahead(_sources(samples, drawn), workers=count, ahead=2 * count):
        sample = drawn.popleft()
        if isinstance(result, PictureError):
            sample.report.add("unreadable", sample.name, str(result))
            continue
        picture = replace(result, name=sample.name or result.name)
        yield Labelled(sample, picture, sample.read_mask((picture.height, picture.width)))


def _sources(samples: Iterable[Sample], drawn: deque[Sample]) -> Iterator[Source]:
    """What each sample is read from; bytes are fetched here, in the order of the samples."""
    for sample in samples:
        drawn.append(sample)
        if isinstance(sample.picture, Path):
            name = sample.name or str(sample.picture)
            yield Input(sample.picture, name, PurePosixPath(name))
            continue
        try:
            yield stored_bytes(sample.picture)
        except PictureError as error:
            sample.report.add("unreadable", sample.name, str(error))
            yield b""  # comes back as unreadable, which is reported already
