"""The class head alone, taught from stored vectors of a frozen model in seconds: an adapter.

The model runs once over the data (`sida.train.vectors`). Folds by group say how many steps are
good for pictures whose originals were not seen; then a head is fitted to all with so many.
"""

import copy
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import sida.data
from sida.data.checks.leakage import probe
from sida.data.checks.traits import survey
from sida.data.sample import Sample
from sida.errors import ConfigError
from sida.files import write_text
from sida.inference.device import resolve
from sida.inference.engine import Engine
from sida.model.adapter import Adapter, save_adapter, split_name
from sida.model.checkpoint import Loaded, load
from sida.run_folder import locked
from sida.train.calibrate import fit_calibration
from sida.train.config import TrainConfig
from sida.train.folds import Judged, assign_folds, compare
from sida.train.optimizer import adamw, average_of, take_step
from sida.train.pictures import learned_from, require_classes, require_readable
from sida.train.record import OnStep
from sida.train.rows import teach_rows
from sida.train.run_folder import claim, identity_of, training_folder
from sida.train.start import DTYPES
from sida.train.step import LOSSES
from sida.train.stop import StopRequest
from sida.train.validation import Validation
from sida.train.vectors import Vectors, VectorStore, collect, identity
from sida.verdict import LABELS

__all__ = ["train_heads"]

log = logging.getLogger(__name__)

ADAPTER = "adapter.safetensors"
PICTURES = 4
"""Pictures that the frozen model takes at once, where the recipe does not say."""


def train_heads(
    config: TrainConfig, out: Path, on_step: OnStep | None = None, fresh: bool = False
) -> Path:
    """Teach the class head; returns the file of the adapter.

    `OUT` gets `vectors.safetensors`, `metrics.jsonl` (a line a step of the last fit), `folds.json`
    (what was measured) and `adapter.safetensors`. Called again, stored vectors are taken as they
    are; a finished run is left as it is.

    Raises:
        ConfigError: `out` holds another run, or several processes were started.
        DataError: the data lack a class, or a second original of one.
        CheckpointError: the model cannot be read.
    """
    stored = None if fresh else training_folder(out).check(identity_of(config))
    if stored is not None and (out / ADAPTER).is_file():
        log.info("%s is finished", out)
        return out / ADAPTER
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("heads_only runs in one process: start it without a launcher.")
    assert config.model is not None
    if split_name(config.model)[1] is not None:
        raise ConfigError(
            f"{config.model} has an adapter already, and one stands on whole weights: give "
            f"model={split_name(config.model)[0]}."
        )
    samples = [sample for path in config.data for sample in learned_from(path, config)]
    require_classes(samples)
    held_back = None
    if config.validation:
        held_back = [sample for path in config.validation for sample in sida.data.open(path)]
        require_readable(held_back)
    device, _ = resolve(config.device, "float32")
    if config.threads:
        torch.set_num_threads(config.threads)
    base = load(config.model, device, DTYPES[config.precision])
    width = base.model.config.language.hidden_size
    head = sum(p.numel() for p in base.model.class_head.parameters())
    vectors = len(samples) * (config.views + 1) * 2 * width
    with locked(out), StopRequest() as stop:
        claim(config, out, fresh, 4 * (2 * vectors + head), "vectors and the adapter")
        return _Heads(config, out, base, stop, on_step).run(samples, held_back)


class _Heads:
    """One run: probe, vectors, folds, the last fit, the adapter."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        base: Loaded,
        stop: StopRequest,
        on_step: OnStep | None,
    ) -> None:
        self.config, self.out, self.base, self.stop, self.on_step = config, out, base, stop, on_step
        self.engine = Engine(base.model, base.processor)
        self.head = copy.deepcopy(base.model.class_head).float().cpu()
        ids = self.engine.ids
        told = identity(base.digest, config.precision, config.seed, ids)
        self.store = VectorStore(out / "vectors.safetensors", told)
        tied = base.model.lm_head.weight is base.model.get_input_embeddings().weight
        self.teaches_rows = bool(config.loss.text) and not tied
        if config.loss.text and tied:
            log.info(
                "%s reads and writes with one table of tokens, so that its rows for [CLS] and "
                "[SEG] are left as they are.",
                base.name,
            )

    def run(self, samples: Sequence[Sample], held_back: Sequence[Sample] | None) -> Path:
        """Everything, in order."""
        leakage = probe(list(survey(samples)), self.config.seed)
        if leakage.leaks:
            log.warning("%s", " ".join(leakage.sentences()))
        vectors = self._vectors(samples, self.config.views, self.teaches_rows)
        if not vectors.grouped:
            log.warning(
                "The data name no originals (a column `group` in a manifest): pictures of one "
                "scene may lie in different folds, which then promise too much."
            )
        folds = assign_folds(vectors.labels, vectors.groups, self.config.seed)
        steps, logits = self._search(vectors, folds)
        fit = HeadFit(self.head, vectors, np.arange(len(folds)), self.config)
        lines = self._last_fit(fit, steps)
        adapter, text = self._adapter(fit, vectors, logits)
        report = {
            "schema": "sida.folds/1",
            "base": {
                "name": self.base.name,
                "model": self.config.model,
                "digest": self.base.digest,
            },
            "adapter": {"digest": adapter.digest},
            "count": len(vectors.labels),
            "steps": steps,
            **compare(
                self._judged_by_base(vectors), Judged.cross_fitted(logits, vectors, folds), folds
            ),
            "leakage_probe": leakage.as_json(),
            **({} if text is None else {"text": text}),
        }
        if held_back is not None:
            report["validation"] = self._validate(fit, adapter, held_back)
        write_text(self.out / "metrics.jsonl", "".join(json.dumps(x) + "\n" for x in lines))
        write_text(self.out / "folds.json", json.dumps(report, indent=1) + "\n")
        save_adapter(self.out / ADAPTER, adapter)  # last: it says that the run is finished
        return self.out / ADAPTER

    def _vectors(self, samples: Sequence[Sample], views: int, answers: bool) -> Vectors:
        begun, held = time.perf_counter(), len(self.store.held)
        vectors = collect(
            self.engine,
            samples,
            self.store,
            self.stop,
            views=views,
            seed=self.config.seed,
            answers=answers,
            batch_size=self.config.micro_batch_size or PICTURES,
            show=lambda done, total: self._show(done, total, {}),
        )
        log.info(
            "%d vectors of %d pictures made in %.1f s, the others were stored",
            len(self.store.held) - held,
            len(vectors.labels),
            time.perf_counter() - begun,
        )
        return vectors

    def _show(self, done: int, total: int, line: dict[str, float]) -> None:
        if self.on_step is not None:
            self.on_step(done, total, line)

    def _search(self, vectors: Vectors, folds: np.ndarray) -> tuple[int, np.ndarray]:
        """The number of steps with the least loss on held-out pictures, and their logits then.

        The folds go in step. None at all, which is the base's head, is a number, too.
        """
        config, head = self.config, self.head
        fits = [
            HeadFit(head, vectors, np.flatnonzero(folds != fold), config)
            for fold in range(folds.max() + 1)
        ]
        held = [np.flatnonzero(folds == fold) for fold in range(folds.max() + 1)]

        def held_out() -> np.ndarray:
            logits = np.zeros((len(folds), len(LABELS)))
            for fit, rows in zip(fits, held, strict=True):
                logits[rows] = logits_of(fit.current, vectors.classes[rows, 0])
            return logits

        chosen, logits, stale, step = 0, held_out(), 0, 0
        begun = least = balanced_loss(logits, vectors.labels)
        while step < config.max_steps and (config.patience is None or stale < config.patience):
            count = min(config.validate_every, config.max_steps - step)
            for fit in fits:
                for _ in range(count):
                    fit.advance()
            step += count
            found = held_out()
            loss = balanced_loss(found, vectors.labels)
            log.debug("step %d: loss %.4f on held-out pictures", step, loss)
            stale = 0 if loss < least else stale + 1
            if loss < least:
                chosen, logits, least = step, found, loss
            if self.stop.asked:
                self.stop.obey()
        log.info("%d steps: loss on held-out pictures %.4f, before %.4f", chosen, least, begun)
        return chosen, logits

    def _last_fit(self, fit: "HeadFit", steps: int) -> list[dict[str, float]]:
        """Fit to all pictures; a line for `metrics.jsonl` of every step."""
        lines = []
        for step in range(1, steps + 1):
            start = time.perf_counter()
            loss, rate = fit.advance()
            line: dict[str, float] = {"step": step, "loss": loss}
            line |= {f"loss_{name}": loss if name == "class" else 0.0 for name in LOSSES}
            line |= {"learning_rate": rate, "seconds": round(time.perf_counter() - start, 4)}
            lines.append(line)
            self._show(step, steps, line)
        return lines

    def _adapter(
        self, fit: "HeadFit", vectors: Vectors, logits: np.ndarray
    ) -> tuple[Adapter, dict[str, Any] | None]:
        """The trained head and rows with their calibration; and what the rows have learned."""
        tensors = {f"class_head.{name}": value for name, value in fit.current.state_dict().items()}
        rows: dict[str, tuple[int, ...]] = {}
        text = None
        if self.teaches_rows:
            taught = teach_rows(self.base.model, self.base.processor.tokenizer, vectors.answers)
            tensors["lm_head.weight"], rows["lm_head.weight"] = taught.weight, taught.ids
            text = taught.report
        bare = Adapter(self.base.name, self.base.digest, tensors, rows)
        truth = [LABELS[label] for label in vectors.labels]
        fitted = fit_calibration(Validation(logits, truth), bare.digest)
        # Masks are made as before, and so is what the base's calibration says of them.
        threshold = self.base.calibration.mask_threshold
        fitted = fitted.model_copy(update={"mask_threshold": threshold})
        return Adapter(bare.base, bare.base_digest, tensors, rows, fitted), text

    def _judged_by_base(self, vectors: Vectors) -> Judged:
        logits = logits_of(self.head, vectors.classes[:, 0])
        return Judged.by(self.base.calibration, logits, vectors)

    def _validate(
        self, fit: "HeadFit", adapter: Adapter, samples: Sequence[Sample]
    ) -> dict[str, Any]:
        """Base and adapter on data that nothing was fitted to."""
        vectors = self._vectors(samples, 0, False)
        after = Judged.by(
            adapter.calibration, logits_of(fit.current, vectors.classes[:, 0]), vectors
        )
        return {"count": len(vectors.labels), **compare(self._judged_by_base(vectors), after)}


class HeadFit:
    """A class head that is being taught from the vectors of some pictures.

    Batches are those of the recipe: a third each class, seeded by the step; each draw takes a
    random view.

    Args:
        head: where it begins; it is copied.
        chosen: (pictures,) the rows of `vectors` that it may see.
    """

    def __init__(
        self, head: nn.Module, vectors: Vectors, chosen: np.ndarray, config: TrainConfig
    ) -> None:
        self.head = copy.deepcopy(head).requires_grad_(True).train()
        self.vectors, self.config = vectors, config
        self.pools = [chosen[vectors.labels[chosen] == label] for label in range(len(LABELS))]
        self.average = average_of(self.head, config)
        self.optimizer = adamw(self.head, config)
        self.step = 0

    def advance(self) -> tuple[float, float]:
        """One step; its loss and learning rate."""
        rows, labels = self._batch()
        loss = F.cross_entropy(self.head(rows), labels) * self.config.loss.classes
        loss.backward()
        nn.utils.clip_grad_norm_(self.head.parameters(), self.config.clip)
        rate = take_step(self.optimizer, self.config, self.step, self.head, self.average)
        self.step += 1
        return float(loss.detach()), rate

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.config.seed, 3, self.step])
        size, views = self.config.batch_size, self.vectors.classes.shape[1]
        labels = (np.arange(size) + self.step * size) % len(LABELS)
        places, drawn = rng.random(size), rng.integers(views, size=size)
        rows = [
            self.pools[label][int(place * len(self.pools[label]))]
            for label, place in zip(labels, places, strict=True)
        ]
        return self.vectors.classes[rows, drawn], torch.from_numpy(labels)

    @property
    def current(self) -> nn.Module:
        """The head as it would be used now."""
        if self.average is None or not self.step:
            return self.head
        averaged: nn.Module = self.average.module
        return averaged


@torch.no_grad()
def logits_of(head: nn.Module, vectors: torch.Tensor) -> np.ndarray:
    """Class logits (pictures, 3) of vectors (pictures, dim)."""
    training = head.training
    found: np.ndarray = head.eval()(vectors).numpy()
    head.train(training)
    return found


def balanced_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy of logits (pictures, 3), a mean of the classes' means."""
    each = F.cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction="none").numpy()
    return float(np.mean([each[labels == label].mean() for label in np.unique(labels)]))
