"""Alterations without end: a new forged picture at every index, beside its untouched original."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from sida.errors import DataError
from sida.forge.alter import Alteration, alter
from sida.forge.decorate import decorate
from sida.forge.photographs import Photograph
from sida.forge.processes import quiet_process
from sida.forge.redeliver import redeliver_pair
from sida.forge.tamper import Codec
from sida.forge.workshop import Cut, cut_from
from sida.image.arrays import Mask, Pixels

__all__ = ["Alterations", "AlteredPair"]

log = logging.getLogger(__name__)

MAX_DELIVERIES = 3
"""Ways to deliver that are tried until the alteration is still there; else none is applied."""
MIN_DIFFERENCE = 1.0
"""Levels by which the delivered pair must differ in the mask on average."""


@dataclass(frozen=True)
class AlteredPair:
    """A forged picture as a reader gets it.

    Attributes:
        altered: (height, width, 3) uint8.
        original: the same photograph, delivered in the same way, without the alteration.
        mask: (height, width) bool, true where they differ by more than a coder's rounding.
        operations: names of `sida.forge.operations.OPERATIONS`.
        decoration: a name of `sida.forge.decorate.DECORATIONS`, which both pictures have.
        photograph: its name.
    """

    altered: Pixels
    original: Pixels
    mask: Mask
    operations: tuple[str, ...]
    decoration: str | None
    photograph: str


class Alterations(torch.utils.data.Dataset[AlteredPair]):
    """Pair number n of a run, for any n.

    A pair depends on the seed and its number alone: not on the process that makes it, nor on those
    made before. So a resumed run goes on with `sampler=range(start, stop)`, and any number of
    workers gives the same pairs. Photographs come in a shuffled order, all of them before any comes
    again; one that cannot be read is logged, and the next takes its place.

    Args:
        photographs: two at least, of two groups; a donor is never of the picture's own group.
        side: longest side of a picture, pixels; larger photographs give a part.
        decorated: share of the photographs that get a legitimate difference first.
        codecs: autoencoders that regenerate regions; see `sida.forge.codecs.load_codecs`.
    """

    def __init__(
        self,
        photographs: Sequence[Photograph],
        seed: int,
        side: int = 384,
        decorated: float = 0.3,
        codecs: Sequence[Codec] = (),
    ) -> None:
        if len({photograph.group for photograph in photographs}) < 2:
            raise DataError("Splices need a donor: expected photographs of two groups at least.")
        self.photographs, self.seed, self.side = photographs, seed, side
        self.decorated, self.codecs = decorated, codecs
        self.broken: set[str] = set()

    def __getitem__(self, index: int) -> AlteredPair:
        cv2.setNumThreads(1)  # workers share the cores
        rng = np.random.default_rng([self.seed, index])
        # One generator for all draws of a pair: another order of the calls below is another pair.
        cut = self._cut(index, rng)
        donor = self._donor(cut.photograph.group, rng)
        pixels, decoration, objects = cut.pixels, None, cut.objects
        if rng.random() < self.decorated:
            pixels, decoration = decorate(pixels, rng)
            objects = ()  # a screen shows them elsewhere
        with quiet_process():  # the process without workers may compute in several threads
            alteration = alter(pixels, rng, [donor.pixels], objects, self.codecs)
        altered, original, mask = self._deliver(alteration, rng)
        return AlteredPair(
            altered, original, mask, alteration.operations, decoration, cut.photograph.name
        )

    def _cut(self, index: int, rng: np.random.Generator) -> Cut:
        """The part of a photograph that a pair is made of."""
        epoch, start = divmod(index, len(self.photographs))
        # Not `rng`: all pairs of an epoch must see the same order, whichever process makes them.
        order = np.random.default_rng([self.seed, 0, epoch]).permutation(len(self.photographs))
        for offset in range(len(order)):
            photograph = self.photographs[order[(start + offset) % len(order)]]
            if (cut := self._read(photograph, rng)) is not None:
                return cut
        raise DataError(
            "No photograph can be read: expected pictures of 64 pixels a side at least."
        )

    def _donor(self, group: str, rng: np.random.Generator) -> Cut:
        """A part of a photograph of another group."""
        for candidate in rng.permutation(len(self.photographs)):
            photograph = self.photographs[candidate]
            if photograph.group != group and (cut := self._read(photograph, rng)) is not None:
                return cut
        raise DataError(f"No photograph can be read but those of the group {group!r}.")

    def _read(self, photograph: Photograph, rng: np.random.Generator) -> Cut | None:
        cut = cut_from(photograph, (self.side, self.side), rng)
        if cut is None and photograph.name not in self.broken:  # it comes again every epoch
            log.warning("%s is left out: it cannot be read, or is too small", photograph.name)
            self.broken.add(photograph.name)
        return cut

    def _deliver(
        self, alteration: Alteration, rng: np.random.Generator
    ) -> tuple[Pixels, Pixels, Mask]:
        """Altered picture, original and mask as a reader gets them, the alteration visible."""
        for _ in range(MAX_DELIVERIES):
            altered, original, mask = redeliver_pair(
                alteration.pixels,
                alteration.original,
                alteration.mask,
                rng,
                (self.side // 3, self.side),
            )
            if _is_visible(altered, original, mask):
                return altered, original, mask
        return alteration.pixels, alteration.original, alteration.mask


def _is_visible(altered: Pixels, original: Pixels, mask: Mask) -> bool:
    """True where the pair differs in the mask, and more so than around it.

    Strong codings wash a weak alteration out; WebP answers one anywhere with noise everywhere.
    """
    if not mask.any():
        return False
    difference = cv2.absdiff(altered, original).mean(axis=2)
    around = float(difference[~mask].mean()) if not mask.all() else 0.0
    return float(difference[mask].mean()) >= max(MIN_DIFFERENCE, 2 * around)
