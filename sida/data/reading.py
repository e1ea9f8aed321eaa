"""`read`: the samples of a set with their pixels, read ahead in threads; broken ones left out."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sida.data.conversions import note_conversion
from sida.data.sample import Labelled, Sample, stored_bytes
from sida.errors import PictureError
from sida.files import Input
from sida.image.prefetch import prefetch_pictures
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
    pending: deque[tuple[Sample, Sample]] = deque()
    for result in prefetch_pictures(
        _sources(samples, pending), workers=count, buffer_size=2 * count
    ):
        sample, in_memory = pending.popleft()
        # Results come in the order of the sources, so the oldest pending sample is this one's.
        if isinstance(result, PictureError):
            sample.report.add("unreadable", sample.name, str(result))
            continue
        picture = replace(result, name=sample.name or result.name)
        note_conversion(in_memory, picture)
        mask = in_memory.read_mask((picture.height, picture.width))
        yield Labelled(sample, picture, mask, in_memory)


def _sources(samples: Iterable[Sample], pending: deque[tuple[Sample, Sample]]) -> Iterator[Source]:
    """Sources of the samples; `pending` gets each sample as it is, and with its bytes."""
    for sample in samples:
        if isinstance(sample.picture, Path):
            pending.append((sample, sample))
            name = sample.name or str(sample.picture)
            yield Input(sample.picture, name, PurePosixPath(name))
            continue
        try:
            in_memory = _fetched(sample)
        except PictureError as error:
            sample.report.add("unreadable", sample.name, str(error))
            in_memory = replace(sample, picture=b"")  # unreadable as well, and reported already
        pending.append((sample, in_memory))
        yield stored_bytes(in_memory.picture)


def _fetched(sample: Sample) -> Sample:
    """The sample with its files' bytes, fetched now: a table is best read in its own order."""
    mask = sample.mask
    if mask is not None and not isinstance(mask, Path):
        mask = stored_bytes(mask)
    return replace(sample, picture=stored_bytes(sample.picture), mask=mask)
