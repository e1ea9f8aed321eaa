"""Traits of every picture that checks compare: container, size, mask, fingerprints."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.data.reading import read
from sida.data.sample import Labelled, Sample, stored_bytes
from sida.errors import optional_package
from sida.image.arrays import altered_pixels

__all__ = ["Traits", "look_hash", "survey"]

FLAT = 3.0  # below this deviation of grey levels a picture has nothing to recognise it by


@dataclass(frozen=True)
class Traits:
    """Traits of a readable picture.

    Attributes:
        format: of its container, "JPEG", "PNG", …
        width, height: pixels, upright.
        bytes: of its file.
        quality: of a JPEG, 1 to 100, by its quantisation tables; None for others.
        coding: chroma sampling and order of a JPEG, such as "4:2:0" or "4:4:4 progressive".
        has_exif, has_icc: whether the file carries them.
        mask_area: share of the picture that is altered; None where there is no mask.
        sha256: of the file.
        fingerprint: 64 bits that hardly change when a picture is re-compressed or resized; None
        where they were not asked for, or the picture is flat.
    """

    name: str
    split: str | None
    label: str
    source: str | None
    group: str | None
    format: str
    width: int
    height: int
    bytes: int
    quality: int | None
    coding: str | None
    has_exif: bool
    has_icc: bool
    mask_area: float | None
    sha256: str
    fingerprint: int | None


def survey(
    samples: Iterable[Sample],
    split: str | None = None,
    looks: bool = False,
    on_sample: Callable[[Labelled], None] = lambda labelled: None,
) -> Iterator[Traits]:
    """The traits of every picture that can be read, in order.

    Args:
        samples: of one split; problems go to their report.
        split: its name.
        looks: whether the 64 bits of `fingerprint` are wanted; needs the extra `data`.
        on_sample: called with each picture that was read.

    Raises:
        MissingExtra: `looks` without imagehash.
    """
    for labelled in read(samples):
        on_sample(labelled)
        yield _traits(labelled, split, look_hash(labelled.picture.pixels) if looks else None)


def _traits(labelled: Labelled, split: str | None, fingerprint: int | None) -> Traits:
    sample, picture, mask = labelled.sample, labelled.picture, labelled.mask
    coding = picture.metadata.get("jpeg")
    order = " progressive" if coding and coding.progressive else ""
    return Traits(
        name=sample.name,
        split=split,
        label=sample.label,
        source=sample.source,
        group=sample.group,
        format=picture.format or "unknown",
        width=picture.width,
        height=picture.height,
        bytes=_file_size(labelled.in_memory),
        quality=coding.quality if coding else None,
        coding=f"{coding.subsampling or 'grey'}{order}" if coding else None,
        has_exif="exif" in picture.metadata,
        has_icc="icc" in picture.metadata,
        mask_area=None if mask is None else float(altered_pixels(mask).mean()),
        sha256=picture.sha256 or "",
        fingerprint=fingerprint,
    )


def _file_size(sample: Sample) -> int:
    if isinstance(sample.picture, Path):
        return os.path.getsize(sample.picture)
    return len(stored_bytes(sample.picture))


def look_hash(pixels: NDArray[np.uint8]) -> int | None:
    """The perceptual hash of `imagehash` (DCT of 32 x 32 grey levels) as 64 bits.

    None for flat pictures: their bits would be noise. Raises MissingExtra.
    """
    with optional_package("imagehash", "data", "Finding pictures that look alike"):
        import imagehash
    image = Image.fromarray(pixels).convert("L")
    image = image.reduce(max(1, min(image.size) // 256))  # fewer pixels, the same picture
    if np.asarray(image.resize((32, 32), Image.Resampling.BOX)).std() < FLAT:
        return None
    return int(str(imagehash.phash(image)), 16)
