"""What a frozen model makes of pictures where class and mask prompt are read: once, and kept."""

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
from sida.model.prompt import conversation
from sida.train.cache import FeatureCache
from sida.train.stop import StopRequest
from sida.verdict import LABELS

__all__ = ["VectorStore", "Vectors", "collect", "identity"]

log = logging.getLogger(__name__)

KEY = "sida.vectors/1"
"""Of the one entry of the file's metadata: what the vectors depend on beside the pictures."""
SECONDS = 60.0
"""Between two writes of the store: what a kill costs at most."""
ANSWERED = 16
"""Pictures of each class whose answers teach rows of the language head; they hardly differ."""

Show = Callable[[int, int], None]


class Vectors(NamedTuple):
    """Hidden states of a frozen model, in the order of the pictures.

    Attributes:
        classes: (pictures, views, dim) float32 at the token before `[CLS]`; the first view is the
            picture itself.
        masks: the same at the token before `[SEG]`.
        labels: (pictures,) int64 class numbers.
        groups: (pictures,) int64, the same for pictures that have an original in common.
        answers: label -> (pictures, answer ids + 1, dim) of the first few pictures of a class, from
            the token before `[CLS]` on; empty where they were not asked for.
        grouped: whether the data name originals.
    """

    classes: torch.Tensor
    masks: torch.Tensor
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
        self.held = self._read() if path.is_file() else {}
        self.written = time.monotonic()
        self.changed = False

    def _read(self) -> dict[str, torch.Tensor]:
        try:
            with safe_open(self.path, framework="pt") as file:
                if (file.metadata() or {}).get(KEY) == self.identity:
                    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            reason = "its vectors are of other weights"
        except (SafetensorError, OSError) as error:
            reason = str(error)
        log.warning("%s is made again: %s", self.path, reason)
        return {}

    def add(self, name: str, vectors: torch.Tensor) -> None:
        """Keep vectors; from time to time all of them are written."""
        self.held[name] = vectors
        self.changed = True
        if time.monotonic() - self.written > SECONDS:
            self.write()

    def write(self) -> None:
        """Bring everything to the disk, whole or not at all."""
        if self.changed:
            write_bytes(self.path, save(self.held, metadata={KEY: self.identity}))
        self.written, self.changed = time.monotonic(), False


class _Asked(NamedTuple):
    """A picture or a view of it, and the name of its vectors."""

    name: str
    picture: Picture


class _Run:
    """One pass of a frozen model over samples."""

    def __init__(
        self, engine: Engine, store: VectorStore, views: int, seed: int, answers: bool
    ) -> None:
        self.engine, self.store, self.views, self.seed = engine, store, views, seed
        self.wanted = ANSWERED if answers else 0
        self.answered: dict[str, list[torch.Tensor]] = {label: [] for label in LABELS}

    def take(self, batch: Sequence[Labelled]) -> Iterator[tuple[Sample, str]]:
        """The samples of a micro-batch whose vectors could be had, with the name of their picture.

        What is stored already is not computed again.
        """
        keys = [FeatureCache.key(each.picture.pixels) for each in batch]
        asked = {
            item.name: item
            for key, each in zip(keys, batch, strict=True)
            for item in self._asked(key, each.picture)
        }
        while asked:  # views come in passes of their own
            part = [asked.pop(name) for name in list(asked)[: len(batch)]]
            for item, found in zip(part, within_memory(self._prefill, part), strict=True):
                if not isinstance(found, PictureError):
                    self.store.add(item.name, found)
        for key, each in zip(keys, batch, strict=True):
            names = _names(key, self.views)
            if not all(name in self.store.held for name in names):
                log.warning("%s is left out: memory does not suffice for it", each.sample.name)
            elif not all(bool(self.store.held[name].isfinite().all()) for name in names):
                log.warning("%s is left out: its vectors are not finite", each.sample.name)
            else:
                self._answer(key, each)
                yield each.sample, key

    def _asked(self, key: str, picture: Picture) -> Iterator[_Asked]:
        for view, name in enumerate(_names(key, self.views)):
            if name not in self.store.held:
                yield _Asked(name, picture if view == 0 else self._view(key, picture, view))

    def _view(self, key: str, picture: Picture, view: int) -> Picture:
        """A picture as it might come back from social media; the same at every call."""
        rng = np.random.default_rng([self.seed, view, int(key[:16], 16)])
        return replace(picture, pixels=random_chain(picture.pixels, None, rng)[0])

    @torch.no_grad()
    def _prefill(self, asked: Sequence[_Asked]) -> Iterator[torch.Tensor]:
        """Vectors (2, dim) of each: where the class is read, and where the mask prompt is."""
        hidden = self._hidden([each.picture for each in asked], self.engine.ids)
        for row in hidden[:, [self.engine.prompt_length - 1, -1]].float().cpu():
            yield row.clone()

    @torch.no_grad()
    def _answer(self, key: str, labelled: Labelled) -> None:
        """Add what a picture's own answer passes through, where some more are wanted."""
        label, name = labelled.sample.label, f"{key}.answer"
        if len(self.answered[label]) == self.wanted:
            return
        if name not in self.store.held:
            ids = conversation(self.engine.processor.tokenizer, label).input_ids
            hidden = self._hidden([labelled.picture], ids)[0, self.engine.prompt_length - 1 :]
            self.store.add(name, hidden.float().cpu().clone())
        self.answered[label].append(self.store.held[name])

    def _hidden(self, pictures: Sequence[Picture], ids: Sequence[int]) -> torch.Tensor:
        model = self.engine.model
        inputs, _ = self.engine.processor(pictures, masks=False)
        tokens, _ = model.image_tokens(inputs.to(model.device, model.dtype))
        rows = torch.tensor([list(ids)], device=model.device).expand(len(pictures), -1)
        hidden: torch.Tensor = model.prefill(model.embed(rows, tokens))
        return hidden


def collect(
    engine: Engine,
    samples: Sequence[Sample],
    store: VectorStore,
    stop: StopRequest,
    *,
    views: int = 0,
    seed: int = 0,
    answers: bool = False,
    batch_size: int = 4,
    show: Show = lambda done, total: None,
) -> Vectors:
    """Run a frozen model once over whole pictures, as a user gives them.

    Args:
        store: what it holds is not computed again; what is new is added and written.
        stop: where it is asked for, what there is so far is written, and the run ends.
        views: how many post-processed views of each picture are added to it.
        answers: whether states along the answers of some pictures are wanted as well.
        batch_size: pictures a pass, and 12.5 megapixels for each of them.
    """
    run = _Run(engine, store, views, seed, answers)
    found: list[tuple[Sample, str]] = []
    done = 0
    for batch in _batches(samples, batch_size):
        found += run.take(batch)
        done += len(batch)
        show(done, len(samples))
        if stop.asked:
            store.write()
            stop.obey()
    store.write()
    both = [torch.stack([store.held[n] for n in _names(key, views)]) for _, key in found]
    shape = (0, views + 1, 2, engine.model.config.language.hidden_size)
    stacked = torch.stack(both) if both else torch.zeros(shape)
    return Vectors(
        classes=stacked[:, :, 0],
        masks=stacked[:, :, 1],
        labels=np.array([LABELS.index(sample.label) for sample, _ in found], np.int64),
        groups=_groups(found),
        answers={label: torch.stack(rows) for label, rows in run.answered.items() if rows},
        grouped=any(sample.group is not None for sample, _ in found),
    )


def identity(digest: str, precision: str, seed: int, ids: Sequence[int]) -> str:
    """What vectors depend on beside their pictures, for `VectorStore`."""
    told = json.dumps([digest, precision, seed, list(ids)])
    return hashlib.sha256(told.encode()).hexdigest()


def _names(key: str, views: int) -> list[str]:
    """What the vectors of a picture are stored under: itself, then its views."""
    return [f"{key}.{view}" for view in range(views + 1)]


def _batches(samples: Sequence[Sample], size: int) -> Iterator[list[Labelled]]:
    """Those that can be read, read ahead, in lists for one pass each."""
    return micro_batches(sida.data.read(samples), size)


def _groups(found: Sequence[tuple[Sample, str]]) -> np.ndarray:
    """A number for each original; pictures without one are their own, and the same pixels share."""
    names = [key if sample.group is None else f"group {sample.group}" for sample, key in found]
    return np.unique(names, return_inverse=True)[1].reshape(-1).astype(np.int64)
