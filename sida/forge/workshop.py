"""Workshop of a process: the photographs, and the models, each loaded when first used."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.errors import DataError, PictureError
from sida.forge.autoencoder import load_codec
from sida.forge.codecs import load_codecs
from sida.forge.job import Job
from sida.forge.photographs import Object, Photograph
from sida.forge.regions import Finder, ObjectMask
from sida.forge.synthesize import Generator
from sida.forge.tamper import Codec, Painter
from sida.image.arrays import Pixels

__all__ = ["SMALLEST", "Cut", "Workshop"]


SMALLEST = 64
"""Shortest side of a photograph that is used, pixels."""


@dataclass(frozen=True)
class Cut:
    """A part of a photograph.

    Attributes:
        pixels: (height, width, 3) uint8.
        box: left, top, width, height, in pixels of the photograph made smaller by `scale`.
        objects: masks of what is known to be in it.
        sha256: of the photograph's file.
    """

    photograph: Photograph
    pixels: Pixels
    box: tuple[int, int, int, int]
    scale: float
    objects: Sequence[ObjectMask]
    sha256: str | None


class Workshop:
    """Photographs in a seeded order, and the models of one process."""

    def __init__(self, job: Job) -> None:
        self.job, self.config = job, job.config
        self._orders: dict[int, NDArray[np.intp]] = {}

    @cached_property
    def codecs(self) -> Sequence[Codec]:
        """The autoencoders, in the order of the configuration."""
        return [self._codec(index) for index in range(len(self.config.autoencoders))]

    @cached_property
    def region_codecs(self) -> Sequence[Codec]:
        """The autoencoders, then those of the folder `codecs`."""
        from sida.forge.diffusion import device_of

        if self.config.codecs is None:
            return self.codecs
        return [*self.codecs, *load_codecs(self.config.codecs, device_of(self.config.device))]

    def _codec(self, index: int) -> Codec:
        from sida.forge.diffusion import PretrainedCodec, device_of

        autoencoder = self.config.autoencoders[index]
        if autoencoder.pretrained is not None:
            return PretrainedCodec(autoencoder, self.config.device)
        return load_codec(
            autoencoder, self.job.weights / autoencoder.name, device_of(self.config.device)
        )

    @cached_property
    def painters(self) -> Sequence[Painter]:
        """The inpainting pipelines."""
        from sida.forge.diffusion import DiffusionPainter

        return [
            DiffusionPainter(pipeline, self.config.device) for pipeline in self.config.inpainting
        ]

    @cached_property
    def generators(self) -> Sequence[Generator]:
        """The text-to-image pipelines."""
        from sida.forge.diffusion import TextToImage

        return [TextToImage(pipeline, self.config.device) for pipeline in self.config.text_to_image]

    @cached_property
    def finder(self) -> Finder | None:
        """The promptable segmenter, if there is one."""
        if self.config.segmenter is None:
            return None
        from sida.forge.segmenter import SamFinder

        return SamFinder(self.config.segmenter, self.config.device)

    def cut(self, unit: int, rng: np.random.Generator) -> Cut:
        """The part that a unit is made of.

        Photographs come in a shuffled order, all of them before any comes again. One that cannot
        be read or is too small gives way to the next, the same one in every run.

        Raises DataError where none of many can be used.
        """
        photographs = self.job.photographs
        count = len(photographs)
        # By number instead of by draws: a unit finds its photograph without those before it.
        for later in range(min(count, 200)):
            epoch, index = divmod(unit + later, count)
            if (cut := self._cut(photographs[self._order(epoch)[index]], rng)) is not None:
                return cut
        raise DataError(
            f"none of {min(count, 200)} photographs tried can be used: expected readable pictures "
            f"at least {SMALLEST} pixels wide and high"
        )

    def _order(self, epoch: int) -> NDArray[np.intp]:
        if epoch not in self._orders:
            rng = np.random.default_rng([self.config.seed, epoch])
            # One epoch is kept; a million photographs have an order of 8 MB.
            self._orders = {epoch: rng.permutation(len(self.job.photographs))}
        return self._orders[epoch]

    def _cut(self, photograph: Photograph, rng: np.random.Generator) -> Cut | None:
        storage = self.config.storage
        low, high = storage.sides
        short = int(rng.integers(low, high + 1))
        long = min(high, round(short * float(rng.uniform(1, storage.aspect))))
        wide = bool(rng.random() < 0.5)
        size = (short, long) if wide else (long, short)
        return cut_from(photograph, size, rng)

    def donor(self, group: str, size: tuple[int, ...], rng: np.random.Generator) -> Cut:
        """A part of that (height, width) of a photograph of another group, if there is another."""
        photographs = self.job.photographs
        fallback: Cut | None = None
        for _ in range(40):
            photograph = photographs[int(rng.integers(len(photographs)))]
            # A group shares an original, so its members would be spliced into themselves.
            if photograph.group == group and fallback is not None:
                continue
            if (cut := cut_from(photograph, (size[0], size[1]), rng, enlarge=True)) is None:
                continue
            if photograph.group != group:
                return cut
            fallback = cut
        if fallback is None:
            raise DataError(
                "no second photograph could be read: expected several readable pictures at least "
                f"{SMALLEST} pixels wide and high"
            )
        return fallback


def cut_from(
    photograph: Photograph,
    size: tuple[int, int],
    rng: np.random.Generator,
    enlarge: bool = False,
) -> Cut | None:
    """A random part of about (height, width), at a random scale up to 1; None if it cannot be had.

    A photograph that is smaller gives a smaller part, its sides multiples of 16; with `enlarge` it
    is scaled up to give the full size.
    """
    try:
        picture = photograph.read()
    except PictureError:
        return None
    if min(picture.height, picture.width) < SMALLEST:
        return None
    cover = max(size[0] / picture.height, size[1] / picture.width)
    scale = max(1.0, cover) if enlarge else 1.0
    if cover < 0.7 and rng.random() < 0.5:
        # Even on a logarithmic scale, so that small scales come as often as large ones.
        scale = float(np.exp(rng.uniform(np.log(cover), 0)))
    pixels = _scaled(picture.pixels, scale, size if cover < 1 or enlarge else (1, 1))
    height, width = (
        side if side <= length else length // 16 * 16
        for side, length in zip(size, pixels.shape[:2], strict=True)
    )
    top, left = (
        int(rng.integers(length - side + 1))
        for length, side in zip(pixels.shape[:2], (height, width), strict=True)
    )
    part = np.s_[top : top + height, left : left + width]
    return Cut(
        photograph,
        np.ascontiguousarray(pixels[part]),
        (left, top, width, height),
        round(scale, 4),
        _objects_in(photograph.objects, picture.pixels.shape, pixels.shape, part),
        picture.sha256,
    )


def _scaled(pixels: Pixels, scale: float, least: tuple[int, int]) -> Pixels:
    """`least` (height, width) is kept whatever rounding does."""
    if scale == 1:
        return pixels
    height, width = (
        max(small, round(length * scale))
        for small, length in zip(least, pixels.shape[:2], strict=True)
    )
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _objects_in(
    objects: Sequence[Object],
    original: tuple[int, ...],
    scaled: tuple[int, ...],
    part: tuple[slice, slice],
) -> list[ObjectMask]:
    """Masks of the objects of a photograph in a part of it; those that cannot be read are none."""
    masks: list[ObjectMask] = []
    for item in objects:
        try:
            mask = item.mask(original[0], original[1])
        except PictureError:
            continue
        if scaled[:2] != original[:2]:
            image = Image.fromarray(mask).resize((scaled[1], scaled[0]), Image.Resampling.NEAREST)
            mask = np.array(image)
        masks.append((mask[part], item.word))
    return masks
