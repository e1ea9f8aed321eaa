"""Features and logits of a frozen model, from which a correction of its logits is fitted."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sida.data.sample import Labelled, Sample
from sida.errors import PictureError
from sida.files import user_folder
from sida.inference.engine import Engine
from sida.inference.memory import within_memory
from sida.model.checkpoint import Loaded
from sida.train.cache import FeatureCache
from sida.train.stop_request import StopRequest
from sida.train.vectors import (
    NamedPicture,
    VectorStore,
    group_numbers,
    identity,
    read_batches,
)
from sida.verdict import LABELS

__all__ = ["ClassFeatures", "FeatureReader"]

log = logging.getLogger(__name__)

BATCH_SIZE = 2
"""Pictures that the frozen model takes at once, and 12.5 megapixels for each of them."""


class ClassFeatures(NamedTuple):
    """The frozen model's outputs for labelled pictures.

    Attributes:
        features: (pictures, count) float32, as `Sida.class_features` gives them.
        logits: (pictures, 3) float32 class logits.
        labels: (pictures,) int64 class numbers.
        groups: (pictures,) int64, the same for pictures that have an original in common.
    """

    features: torch.Tensor
    logits: torch.Tensor
    labels: np.ndarray
    groups: np.ndarray

    def rows(self, index: np.ndarray) -> "ClassFeatures":
        """Those of some pictures, by number or by a mask."""
        rows = torch.from_numpy(np.arange(len(self.labels))[index])
        return ClassFeatures(
            self.features[rows], self.logits[rows], self.labels[index], self.groups[index]
        )


class FeatureReader:
    """Runs a frozen model once over pictures; features are kept in files, and not made again.

    Args:
        base: the model.
        folder: gets a file for each data set and model.
        stop: on its signal the features so far are written, and the run ends.
    """

    def __init__(self, base: Loaded, folder: Path, stop: StopRequest) -> None:
        self.engine, self.folder, self.stop = Engine(base.model, base.processor), folder, stop
        # Of all parameters: an encoder may be held in another than the rest.
        content = f"class features, {sorted({str(p.dtype) for p in base.model.parameters()})}"
        self.identity = identity(base.digest, content, 0, self.engine.ids)

    @staticmethod
    def default_folder() -> Path:
        """Where features are kept, if no other folder is named."""
        return user_folder("cache") / "features"

    def read(
        self,
        paths: Sequence[str | Path],
        samples: Sequence[Sample],
        on_progress: Callable[[int, int], None] = lambda count, total: None,
    ) -> ClassFeatures:
        """Features of samples, whole pictures as a user gives them.

        Those that cannot be read are left out; the log names them.

        Args:
            paths: where the samples are from, which gives the file its name.
        """
        store = VectorStore(self._file(paths), self.identity)
        collected: list[tuple[Sample, str]] = []
        count = 0
        for batch in read_batches(samples, BATCH_SIZE):
            keys = [FeatureCache.key(labelled.picture.pixels) for labelled in batch]
            self._add(store, batch, keys)
            for key, labelled in zip(keys, batch, strict=True):
                if key in store.vectors and bool(store.vectors[key].isfinite().all()):
                    collected.append((labelled.sample, key))
                else:
                    log.warning("%s is left out: it could not be judged", labelled.sample.name)
            count += len(batch)
            on_progress(count, len(samples))
            if self.stop.signal_number:
                store.write()
                self.stop.raise_signal()
        store.write()
        width = len(LABELS) + self.engine.model.class_feature_count
        rows = [store.vectors[key] for _, key in collected]
        logits, features = (torch.stack(rows) if rows else torch.zeros(0, width)).split(
            [len(LABELS), width - len(LABELS)], 1
        )
        labels = np.array([LABELS.index(sample.label) for sample, _ in collected], np.int64)
        return ClassFeatures(features, logits, labels, group_numbers(collected))

    def _file(self, paths: Sequence[str | Path]) -> Path:
        # One for each set, so that none grows without end, and none is read that is not needed.
        names = [self.identity, *(str(Path(path).resolve()) for path in paths)]
        name = hashlib.sha256("\0".join(names).encode()).hexdigest()[:16]
        return self.folder / f"{name}.safetensors"

    def _add(self, store: VectorStore, batch: Sequence[Labelled], keys: Sequence[str]) -> None:
        """Add features of pictures that the store lacks."""
        missing = [
            NamedPicture(key, labelled.picture)
            for key, labelled in zip(keys, batch, strict=True)
            if key not in store.vectors
        ]
        results = within_memory(self._run, missing) if missing else ()
        for item, result in zip(missing, results, strict=True):
            if not isinstance(result, PictureError):
                store.add(item.name, result)

    @torch.no_grad()
    def _run(self, items: Sequence[NamedPicture]) -> Iterator[torch.Tensor]:
        """Class logits and behind them the features of each picture, (3 + count,)."""
        model = self.engine.model
        inputs, _ = self.engine.processor([item.picture for item in items], masks=False)
        output = self.engine.forward(inputs.to(model.device, model.dtype))
        features = model.class_features(output.class_hidden, output.state)
        for row in torch.cat([output.class_logits, features], 1).float().cpu():
            yield row.clone()  # a slice would keep the whole micro-batch in memory
