"""Hidden states of a frozen model where class and mask prompt are read: computed once, stored."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

import sida.data
from sida.data.sample import Labelled, Sample
from sida.errors import PictureError
from sida.files import write_bytes
from sida.image.perturbation import random_chain
from sida.image.read import Picture
from sida.inference.engine import Engine
from sida.inference.memory import micro_batches, within_memory
from sida.model.encoders import EncoderState
from sida.model.prompt import conversation
from sida.train.cache import FeatureCache
from sida.train.stop_request import StopRequest
from sida.verdict import LABELS

__all__ = [
    "NamedPicture",
    "VectorStore",
    "Vectors",
    "collect",
    "group_numbers",
    "identity",
    "read_batches",
]

log = logging.getLogger(__name__)

IDENTITY_KEY = "sida.vectors/2"
"""Of the file's metadata; its value is the identity, all that vectors depend on beside pictures."""
WRITE_INTERVAL = 60.0
"""Seconds between two writes of the store, the most that a kill costs."""
NAMED = 10
"""Pictures that cannot be read that are named."""
ANSWERS_PER_CLASS = 16
"""Pictures whose answers the rows of the language head are fitted to; they hardly differ."""


class Vectors(NamedTuple):
    """Hidden states of a frozen model, in the order of the pictures.

    Attributes:
        classes: (pictures, views, dim) float32 at the token before `[CLS]`; the first view is the
            picture itself.
        masks: the same at the token before `[SEG]`.
        evidence: (pictures, views, 3) float32 logits that the class head adds to: the encoder's.
        labels: (pictures,) int64 class numbers.
        groups: (pictures,) int64, the same for pictures that have an original in common.
        answers: label -> (pictures, answer ids + 1, dim) of the first few pictures of a class, from
            the token before `[CLS]` on; empty where `collect` ran without `answers`.
        grouped: True where the data name originals.
    """

    classes: torch.Tensor
    masks: torch.Tensor
    evidence: torch.Tensor
    labels: np.ndarray
    groups: np.ndarray
    answers: dict[str, torch.Tensor]
    grouped: bool


class VectorStore:
    """Vectors by name in one safetensors file, which is read whole and written whole.

    Args:
        identity: all that vectors depend on beside their pictures; a file of another is set aside.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        self.vectors = self._read() if path.is_file() else {}
        self.write_time = time.monotonic()
        self.changed = False

    def _read(self) -> dict[str, torch.Tensor]:
        try:
            with safe_open(self.path, framework="pt") as file:
                if (file.metadata() or {}).get(IDENTITY_KEY) == self.identity:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            reason = "its vectors are of other weights"
        except (SafetensorError, OSError) as error:
            reason = str(error)
        log.warning("%s is made again: %s", self.path, reason)
        return {}

    def add(self, name: str, vectors: torch.Tensor) -> None:
        """Add vectors; from time to time all of them are written."""
        self.vectors[name] = vectors
        self.changed = True
        if time.monotonic() - self.write_time > WRITE_INTERVAL:
            self.write()

    def write(self) -> None:
        """Bring everything to the disk, whole or not at all."""
        if self.changed:
            write_bytes(self.path, save(self.vectors, metadata={IDENTITY_KEY: self.identity}))
        self.write_time, self.changed = time.monotonic(), False


class NamedPicture(NamedTuple):
    """A picture or a view of it, and the name of its vectors."""

    name: str
    picture: Picture


class _Collection:
    """A pass of a frozen model over samples."""

    def __init__(
        self, engine: Engine, store: VectorStore, view_count: int, seed: int, answers: bool
    ) -> None:
        self.engine, self.store, self.view_count, self.seed = engine, store, view_count, seed
        self.answer_count = ANSWERS_PER_CLASS if answers else 0
        self.answers: dict[str, list[torch.Tensor]] = {label: [] for label in LABELS}

    def add(self, batch: Sequence[Labelled]) -> Iterator[tuple[Sample, str]]:
        """The samples of a micro-batch with vectors, and the key of their picture.

        Vectors in the store are not computed again.
        """
        keys = [FeatureCache.key(labelled.picture.pixels) for labelled in batch]
        missing = {
            item.name: item
            for key, labelled in zip(keys, batch, strict=True)
            for item in self._missing(key, labelled.picture)
        }
        # In parts as large as the batch, which memory was planned for; with views there are more.
        while missing:
            part = [missing.pop(name) for name in list(missing)[: len(batch)]]
            for item, vectors in zip(part, within_memory(self._prefill, part), strict=True):
                if not isinstance(vectors, PictureError):
                    self.store.add(item.name, vectors)
        for key, labelled in zip(keys, batch, strict=True):
            names, stored = _names(key, self.view_count), self.store.vectors
            if not all(name in stored for name in names):
                log.warning("%s is left out: not enough memory", labelled.sample.name)
            elif not all(bool(stored[name].isfinite().all()) for name in names):
                log.warning("%s is left out: its vectors are not finite", labelled.sample.name)
            else:
                self._add_answer(key, labelled)
                yield labelled.sample, key

    def _missing(self, key: str, picture: Picture) -> Iterator[NamedPicture]:
        for index, name in enumerate(_names(key, self.view_count)):
            if name not in self.store.vectors:
                yield NamedPicture(
                    name, picture if index == 0 else self._perturb(key, picture, index)
                )

    def _perturb(self, key: str, picture: Picture, index: int) -> Picture:
        """A picture as it might come back from social media; the same at every call."""
        # By the pixels, not by the position in the data: stored views stay valid as data grow.
        rng = np.random.default_rng([self.seed, index, int(key[:16], 16)])
        return replace(picture, pixels=random_chain(picture.pixels, None, rng)[0])

    @torch.no_grad()
    def _prefill(self, items: Sequence[NamedPicture]) -> Iterator[torch.Tensor]:
        """Of each picture (2 * dim + 3,): where class and mask prompt are read, and evidence."""
        hidden, state = self._run([item.picture for item in items], self.engine.ids)
        classes, masks = hidden[:, self.engine.prompt_length - 1], hidden[:, -1]
        evidence = self.engine.model.evidence(classes, state)
        for row in torch.cat([classes, masks, evidence], 1).float().cpu():
            yield row.clone()  # a slice would keep the whole micro-batch in memory

    @torch.no_grad()
    def _add_answer(self, key: str, labelled: Labelled) -> None:
        """Add the hidden states along a picture's true answer, until its class has enough."""
        label, name = labelled.sample.label, f"{key}.answer"
        if len(self.answers[label]) == self.answer_count:
            return
        if name not in self.store.vectors:
            ids = conversation(self.engine.processor.tokenizer, label).input_ids
            hidden, _ = self._run([labelled.picture], ids)
            row = hidden[0, self.engine.prompt_length - 1 :]
            self.store.add(name, row.float().cpu().clone())
        self.answers[label].append(self.store.vectors[name])

    def _run(
        self, pictures: Sequence[Picture], ids: Sequence[int]
    ) -> tuple[torch.Tensor, EncoderState]:
        """Hidden states (pictures, tokens, dim) along some ids, and the encoder's state."""
        model = self.engine.model
        inputs, _ = self.engine.processor(pictures, masks=False)
        tokens, state = model.image_tokens(inputs.to(model.device, model.dtype))
        rows = torch.tensor([list(ids)], device=model.device).expand(len(pictures), -1)
        return model.prefill(model.embed(rows, tokens)), state


def collect(
    engine: Engine,
    samples: Sequence[Sample],
    store: VectorStore,
    stop: StopRequest,
    *,
    view_count: int = 0,
    seed: int = 0,
    answers: bool = False,
    batch_size: int = 4,
    on_progress: Callable[[int, int], None] = lambda count, total: None,
) -> Vectors:
    """Run a frozen model once over whole pictures, as a user gives them.

    Args:
        store: its vectors are not computed again; new ones are added and written.
        stop: on its signal the vectors so far are written, and the run ends.
        view_count: perturbed views beside each picture.
        answers: True to add the states along the answers of some pictures.
        batch_size: pictures a pass, and 12.5 megapixels for each of them.
    """
    collection = _Collection(engine, store, view_count, seed, answers)
    collected: list[tuple[Sample, str]] = []
    count = 0
    for batch in read_batches(samples, batch_size):
        collected += collection.add(batch)
        count += len(batch)
        on_progress(count, len(samples))
        if stop.signal_number:
            store.write()
            stop.raise_signal()
    store.write()
    rows = [
        torch.stack([store.vectors[name] for name in _names(key, view_count)])
        for _, key in collected
    ]
    dim = engine.model.config.language.hidden_size
    sizes = [dim, dim, len(LABELS)]
    stacked = torch.stack(rows) if rows else torch.zeros(0, view_count + 1, sum(sizes))
    classes, masks, evidence = stacked.split(sizes, 2)
    return Vectors(
        classes=classes,
        masks=masks,
        evidence=evidence,
        labels=np.array([LABELS.index(sample.label) for sample, _ in collected], np.int64),
        groups=group_numbers(collected),
        answers={label: torch.stack(x) for label, x in collection.answers.items() if x},
        grouped=any(sample.group is not None for sample, _ in collected),
    )


def identity(digest: str, precision: str, seed: int, ids: Sequence[int]) -> str:
    """SHA-256 of all that vectors depend on beside their pictures, for `VectorStore`."""
    content = json.dumps([digest, precision, seed, list(ids)])
    return hashlib.sha256(content.encode()).hexdigest()


def _names(key: str, view_count: int) -> list[str]:
    """Names of a picture's vectors in the store: its own, then those of its views."""
    return [f"{key}.{index}" for index in range(view_count + 1)]


def read_batches(samples: Sequence[Sample], size: int) -> Iterator[list[Labelled]]:
    """Readable samples, prefetched, in lists for one pass each; the others are named in the log."""
    yield from micro_batches(sida.data.read(samples), size)
    unreadable = [
        problem.line
        for sample in samples
        for problem in sample.report.of(sample.name)
        if problem.code == "unreadable"
    ]
    for line in unreadable[:NAMED]:
        log.warning("left out: %s", line)
    if len(unreadable) > NAMED:
        log.warning("... and %d more", len(unreadable) - NAMED)


def group_numbers(collected: Sequence[tuple[Sample, str]]) -> np.ndarray:
    """Number of each picture's original; without one it is its own, shared by equal pixels."""
    names = [key if sample.group is None else f"group {sample.group}" for sample, key in collected]
    return np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
