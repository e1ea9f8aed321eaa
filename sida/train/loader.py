"""From labelled samples to batches: balanced, cropped at native resolution, seeded by the step.

What is in a batch depends on the seed and its step alone: not on the process that makes it, nor on
how it is cut into micro-batches. So a resumed run goes on where it stopped, and several devices
see what one would.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from sida.data.sample import Sample
from sida.errors import ConfigError, DataError, PictureError, SidaError
from sida.explanation.cues import measure
from sida.explanation.wording import facts_of, facts_text, write
from sida.forge.codecs import load_codecs
from sida.forge.photographs import Photograph
from sida.image.arrays import altered_pixels
from sida.image.perturbation import random_chain
from sida.model.config import SidaConfig
from sida.model.inputs import Features, Inputs
from sida.model.processor import SidaProcessor
from sida.model.prompt import IGNORED, Embedded, EncodedConversation, conversation
from sida.train.alterations import Alterations, AlteredPair
from sida.train.cache import FeatureCache
from sida.train.config import TrainConfig
from sida.verdict import LABELS

__all__ = ["Batch", "Batches", "Collator", "Crop", "Guarded", "crop_sample"]

log = logging.getLogger(__name__)


class Crop(NamedTuple):
    """A labelled crop.

    Attributes:
        pixels: (height, width, 3) uint8.
        mask: (height, width) uint8, or None.
        description: its text in the data.
    """

    pixels: np.ndarray
    mask: np.ndarray | None
    label: str
    description: str | None = None


class Batch(NamedTuple):
    """Inputs and targets of a forward pass; shapes as `Sida.forward` names them.

    Attributes:
        labels: (pictures,) class numbers.
        text_labels: (pictures, embedded tokens), `IGNORED` where nothing is to be learned.
        masks: (windows, height, width) true masks of the pictures with a mask position.
        inside: the same shape, False in the padding.
        keys: of the pictures in the cache, where there is one.
    """

    inputs: Inputs
    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    class_positions: torch.Tensor
    mask_positions: torch.Tensor
    labels: torch.Tensor
    text_labels: torch.Tensor
    masks: torch.Tensor
    inside: torch.Tensor
    keys: tuple[str, ...] = ()


class Batches(torch.utils.data.Dataset[Batch]):
    """Micro-batch number n of a run: a third of each batch a class, shared equally by the sets.

    Each sample of a class and set comes once before any comes again, unless `source_power` draws
    them by source; one that cannot be read is logged, and the next takes its place.
    """

    def __init__(
        self,
        sets: Sequence[Sequence[Sample]],
        collator: "Collator",
        config: TrainConfig,
        micro_batch_size: int,
    ) -> None:
        if config.source_power < 1:
            sets = [[sample for samples in sets for sample in samples]]
        self.pools = [_pools(sets, label) for label in LABELS]
        self.collator, self.config = collator, config
        self.micro_batch_size = micro_batch_size
        self.broken: set[str] = set()
        photographs = [x for pool in self.pools[LABELS.index("real")] for x in pool]
        self.alterations: Alterations | None = None
        self._pair: tuple[int, AlteredPair] | None = None  # of the last turn, which asks twice
        if config.forged:
            codecs = load_codecs(config.codecs) if config.codecs is not None else ()
            self.alterations = Alterations(
                [_photograph(x) for x in photographs], config.seed, codecs=codecs
            )

    def __getitem__(self, index: int) -> Batch:
        """Micro-batch `index`, counted over all steps."""
        slots = range(index * self.micro_batch_size, (index + 1) * self.micro_batch_size)
        step = slots[0] // self.config.batch_size
        side = self._side(step)
        # A generator for each slot, seeded by its number over all steps: a picture stays the same
        # whatever process reads it and however the batch is cut. The second number keeps apart the
        # draws for sides (0), crops (1), orders (2) and forged pictures (3).
        rngs = [np.random.default_rng([self.config.seed, 1, slot]) for slot in slots]
        crops = [self._crop(slot, side, rng) for slot, rng in zip(slots, rngs, strict=True)]
        text = bool(self.config.loss.text) and step % self.config.text_every == 0
        return self.collator(crops, rngs, text)

    def every_view(self) -> Iterator[tuple[Sample, Inputs, str]]:
        """Each readable sample in each of its views, with its windows and its key in the cache."""
        for sample in (x for pools in self.pools for pool in pools for x in pool):
            for index in range(self.config.views + 1):
                try:
                    pixels = view_sample(sample, index).pixels
                except PictureError:
                    break
                inputs, _ = self.collator.processor([pixels], masks=False)
                yield sample, inputs, FeatureCache.key(pixels)

    def _side(self, step: int) -> int | None:
        if not self.config.crops:
            return None
        # By the step, not the micro-batch: how a batch is cut must not change its crops.
        return int(np.random.default_rng([self.config.seed, 0, step]).choice(self.config.crops))

    def _crop(self, slot: int, side: int | None, rng: np.random.Generator) -> Crop:
        """The crop of one slot, counted over all steps."""
        # Slots go through the classes in turn, turns through the sets, and those through epochs.
        turn, label = divmod(slot, len(LABELS))
        forged = self._forged(turn, LABELS[label], side)
        if forged is not None:
            return forged
        turn, pool = divmod(turn, len(self.pools[label]))
        members = self.pools[label][pool]
        epoch, start = divmod(turn, len(members))
        order = self._order(epoch, label, pool)
        for offset in range(len(members)):
            sample = members[int(order[(start + offset) % len(members)])]
            try:
                if self.config.views:
                    return view_sample(sample, int(rng.integers(self.config.views + 1)))
                return crop_sample(sample, side, self.config.post_process, rng)
            except PictureError as error:
                if sample.name not in self.broken:  # it comes again every epoch
                    log.warning("%s is left out: %s", sample.name, error)
                self.broken.add(sample.name)
        raise DataError(f"No {LABELS[label]} picture of the data can be read.")

    def _forged(self, turn: int, label: str, side: int | None) -> Crop | None:
        """An altered photograph, or its original: a turn has both or none, cut alike."""
        if self.alterations is None or label == "full_synthetic":
            return None
        # By the turn alone: its real and its tampered slot make the same draws, and so show the
        # same crop of one pair, with and without the alteration.
        rng = np.random.default_rng([self.config.seed, 3, turn])
        if rng.random() >= self.config.forged:
            return None
        if self._pair is None or self._pair[0] != turn:
            self._pair = turn, self.alterations[turn]
        pair = self._pair[1]
        if not pair.mask.any():  # nothing that can be seen was changed
            return None
        pixels = pair.altered if label == "tampered" else pair.original
        mask: np.ndarray | None = pair.mask.astype(np.uint8) * 255
        if side is not None:
            pixels, mask = _cut(pixels, mask, side, rng)
        return Crop(pixels, None if label == "real" else _unless_empty(mask), label)

    def _order(self, epoch: int, label: int, pool: int) -> np.ndarray:
        """Indices of an epoch's pictures, of one class and set."""
        rng = np.random.default_rng([self.config.seed, 2, epoch, label, pool])
        members = self.pools[label][pool]
        if self.config.source_power == 1:
            return rng.permutation(len(members))
        sizes = Counter(sample.source for sample in members)
        shares = np.array([sizes[x.source] ** (self.config.source_power - 1) for x in members])
        return rng.choice(len(members), len(members), p=shares / shares.sum())


class Guarded(torch.utils.data.Dataset[Batch | SidaError]):
    """Batches, or the error of one as a value: a worker raises errors with their traceback."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, index: int) -> Batch | SidaError:
        """Micro-batch `index`."""
        try:
            return self.batches[index]
        except SidaError as error:
            return error


def _pools(sets: Sequence[Sequence[Sample]], label: str) -> list[list[Sample]]:
    """The samples of a class, one list for each set that has any."""
    pools = [[sample for sample in samples if sample.label == label] for samples in sets]
    return [pool for pool in pools if pool]


def crop_sample(
    sample: Sample, side: int | None, perturbation_rate: float, rng: np.random.Generator
) -> Crop:
    """A random square of a sample that shows something of its mask, turned, and sometimes shared.

    Args:
        side: of the square; a smaller picture is taken whole, and with None any is, unturned.
        perturbation_rate: share of the crops that are perturbed as on social media.
    """
    pixels, mask = _read(sample)
    if side is not None:
        # Twice the side first: a chain over all of a large picture is slow, and one may shrink it
        # before the second cut.
        pixels, mask = _cut(pixels, mask, 2 * side, rng)
    if rng.random() < perturbation_rate:
        pixels, mask = random_chain(pixels, mask, rng)
        mask = _unless_empty(mask)  # a small one can be lost on the way
    if side is not None:
        pixels, mask = _cut(pixels, mask, side, rng)
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        pixels = _turn(pixels, turns, flip)
        mask = None if mask is None else _turn(mask, turns, flip)
    return Crop(pixels, mask, sample.label, sample.description)


def _photograph(sample: Sample) -> Photograph:
    return Photograph(sample.picture, sample.name, sample.group or sample.name, sample.source or "")


def view_sample(sample: Sample, index: int) -> Crop:
    """A whole picture at index 0, else one of its views as it might come back from social media.

    A view is the same at every call, so that its features can be cached.
    """
    pixels, mask = _read(sample)
    if index:
        # By the name, not the run's seed, so that runs of other seeds share the cache.
        rng = np.random.default_rng([index, crc32(sample.name.encode())])
        pixels, mask = random_chain(pixels, mask, rng)
    return Crop(pixels, _unless_empty(mask), sample.label, sample.description)


def _read(sample: Sample) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels of a sample, and its mask where it is tampered and the mask shows where."""
    pixels = sample.read().pixels
    return pixels, _unless_empty(sample.read_mask() if sample.label == "tampered" else None)


def _unless_empty(mask: np.ndarray | None) -> np.ndarray | None:
    return mask if mask is not None and mask.any() else None


def _cut(
    pixels: np.ndarray, mask: np.ndarray | None, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """A random square, or all of a smaller picture."""
    top, left = _corner(pixels.shape[:2], mask, side, rng)
    window = np.s_[top : top + side, left : left + side]
    return pixels[window], None if mask is None else mask[window]


def _corner(
    size: tuple[int, ...], mask: np.ndarray | None, side: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Top and left of a square; one that holds a random altered pixel where there is a mask."""
    limits = [max(0, length - side) for length in size]
    if mask is None:
        return int(rng.integers(limits[0] + 1)), int(rng.integers(limits[1] + 1))
    altered = np.flatnonzero(altered_pixels(mask))
    if not len(altered):
        altered = np.flatnonzero(mask)
    # A pixel of the mask, and any position of it in the square: were it always the centre, the
    # position alone would give the region away.
    pixel = np.unravel_index(rng.choice(altered), mask.shape)
    corner = [int(c) - int(rng.integers(side)) for c in pixel]
    return min(max(corner[0], 0), limits[0]), min(max(corner[1], 0), limits[1])


def _turn(values: np.ndarray, turns: int, flip: bool) -> np.ndarray:
    turned = np.rot90(values, turns)
    return np.ascontiguousarray(turned[:, ::-1] if flip else turned)


class Collator:
    """Labelled crops -> a `Batch`: windows, conversation with its answer, true masks."""

    def __init__(
        self,
        processor: SidaProcessor,
        model: SidaConfig,
        image_tokens: int,
        config: TrainConfig,
        cache: FeatureCache | None = None,
    ) -> None:
        self.processor, self.image_tokens, self.config = processor, image_tokens, config
        self.cache = cache
        self.facts = model.facts
        self.question = conversation(processor.tokenizer)
        self._require_length([self.question.embedded(image_tokens)])

    def __call__(
        self, crops: Sequence[Crop], rngs: Sequence[np.random.Generator], text: bool
    ) -> Batch:
        """Collate crops of any mixture of classes.

        Without `text` every row is the fixed conversation that verdicts are read from; with it,
        each row has the answer to its own picture.

        Args:
            rngs: one a crop, which the wording of its text is drawn from.
        """
        truths = [self._truth(crop, text) for crop in crops]
        keys, features = self._cached(crops, truths)
        # Cached features need no pixels of the mask encoder, the largest tensor of a batch.
        needs_masks = features is None or (
            features.mask is None and any(truth is not None for truth in truths)
        )
        inputs, frames = self.processor([crop.pixels for crop in crops], masks=needs_masks)
        rows = [
            self._with_answer(crop, rng) if text else self.question
            for crop, rng in zip(crops, rngs, strict=True)
        ]
        embedded = [row.embedded(self.image_tokens) for row in rows]
        self._require_length(embedded)
        # The one id of the image becomes `image_tokens` embedded tokens.
        max_embedded = self.config.max_tokens
        max_ids = max_embedded - self.image_tokens + 1
        masked = [i for i, truth in enumerate(truths) if truth is not None]
        masks = [frames[i].project(truth) for i, truth in enumerate(truths) if truth is not None]
        inside = [_inside(mask, frames[i].sizes) for mask, i in zip(masks, masked, strict=True)]
        empty = torch.zeros(0, *frames[0].windows[0].canvas)
        lengths = torch.tensor([len(row.input_ids[:max_ids]) for row in rows])
        ids = _padded([row.input_ids[:max_ids] for row in rows], 0)
        return Batch(
            inputs=inputs._replace(features=features),
            input_ids=ids,
            attention_mask=(torch.arange(ids.shape[1]) < lengths[:, None]).long(),
            class_positions=torch.tensor([row.class_position for row in embedded]),
            mask_positions=torch.tensor(
                [
                    -1 if truth is None else row.mask_position
                    for row, truth in zip(embedded, truths, strict=True)
                ]
            ),
            labels=torch.tensor([LABELS.index(crop.label) for crop in crops]),
            text_labels=_padded([row.labels[:max_embedded] for row in embedded], IGNORED),
            masks=torch.cat([empty, *masks]),
            inside=torch.cat([empty.bool(), *inside]),
            keys=keys,
        )

    def _require_length(self, rows: Sequence[Embedded]) -> None:
        """Raise ConfigError where a position that is read would be cut off."""
        needed = 1 + max(max(row.class_position, row.mask_position) for row in rows)
        if self.config.max_tokens < needed:
            raise ConfigError(
                f"max_tokens is {self.config.max_tokens}, and [CLS] and [SEG] need {needed}: set "
                "it to more."
            )

    def _cached(
        self, crops: Sequence[Crop], truths: Sequence[np.ndarray | None]
    ) -> tuple[tuple[str, ...], Features | None]:
        """Keys of the pictures in the cache, and their features where it has all of them."""
        if self.cache is None:
            return (), None
        keys = tuple(self.cache.key(crop.pixels) for crop in crops)
        return keys, self.cache.read(keys, [truth is not None for truth in truths])

    def _truth(self, crop: Crop, text: bool) -> np.ndarray | None:
        """The mask that a crop teaches; none in a row whose answer has no place for one."""
        loss = self.config.loss
        if not (loss.mask_bce or loss.mask_dice or loss.local):
            return None
        if self.config.empty_masks and not text and crop.label == "real":
            return np.zeros(crop.pixels.shape[:2], np.uint8)
        return crop.mask

    def _with_answer(self, crop: Crop, rng: np.random.Generator) -> EncodedConversation:
        """The question with the answer to a crop."""
        tokenizer = self.processor.tokenizer
        mask = None if crop.mask is None else altered_pixels(crop.mask)
        measured = self.facts or self.config.texts == "measured"
        cues = measure(crop.pixels, mask) if measured and mask is not None else ()
        facts = facts_of(crop.label, mask, cues)
        facts_in_prompt = facts_text(facts) if self.facts else None
        text = (crop.description or "") if self.config.texts == "data" else write(facts, rng)
        return conversation(tokenizer, crop.label, facts_in_prompt, text)


def _padded(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of ids -> (rows, longest), filled up on the right."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def _inside(masks: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> torch.Tensor:
    inside = torch.zeros(masks.shape, dtype=torch.bool)
    for row, (height, width) in zip(inside, sizes, strict=True):
        row[:height, :width] = True
    return inside
