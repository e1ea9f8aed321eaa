"""The class head alone, trained in seconds from stored vectors of a frozen model: an adapter.

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
from sida.train.calibration_fit import fit_calibration
from sida.train.config import TrainConfig
from sida.train.folds import HeadPredictions, assign_folds, compare
from sida.train.initialization import DTYPES
from sida.train.metrics_log import OnStep
from sida.train.optimizer import adamw, average_of, take_step
from sida.train.pictures import open_training_set, require_classes, require_readable
from sida.train.run_folder import identity_of, prepare_folder, training_folder
from sida.train.stop_request import StopRequest
from sida.train.token_rows import fit_token_rows
from sida.train.training_module import LOSSES
from sida.train.validation import Validation
from sida.train.vectors import Vectors, VectorStore, collect, identity
from sida.verdict import LABELS

__all__ = ["train_heads"]

log = logging.getLogger(__name__)

ADAPTER = "adapter.safetensors"
BATCH_SIZE = 4
"""Pictures that the frozen model takes at once, where the recipe does not say."""


def train_heads(
    config: TrainConfig, out: Path, on_step: OnStep | None = None, fresh: bool = False
) -> Path:
    """Train the class head; returns the file of the adapter.

    `OUT` gets `vectors.safetensors`, `metrics.jsonl` (a line a step of the last fit), `folds.json`
    (what was measured) and `adapter.safetensors`. Called again, stored vectors are used again, and
    a finished run is left as it is.

    Raises:
        ConfigError: `out` holds another run, or several processes were started.
        DataError: the data lack a class, or a second original of one.
        CheckpointError: the model cannot be read.
    """
    stored = None if fresh else training_folder(out).check(identity_of(config))
    if stored is not None and (out / ADAPTER).is_file():
        log.info("The run in %r is finished.", str(out))
        return out / ADAPTER
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("heads_only runs in one process: start it without a launcher.")
    assert config.model is not None
    if split_name(config.model)[1] is not None:
        raise ConfigError(
            f"{config.model} has an adapter already, and one stands on whole weights: give "
            f"model={split_name(config.model)[0]}."
        )
    samples = [sample for path in config.data for sample in open_training_set(path, config)]
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
    head_numbers = sum(p.numel() for p in base.model.class_head.parameters())
    vector_numbers = len(samples) * (config.views + 1) * 2 * width
    with locked(out), StopRequest() as stop:
        # Of float32; vectors twice, since their file is written beside the one that it replaces.
        space = 4 * (2 * vector_numbers + head_numbers)
        prepare_folder(config, out, fresh, space, "vectors and the adapter")
        return _Heads(config, out, base, stop, on_step).run(samples, held_back)


class _Heads:
    """A run of training the head: probe, vectors, folds, the last fit, the adapter."""

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
        key = identity(base.digest, config.precision, config.seed, self.engine.ids)
        self.store = VectorStore(out / "vectors.safetensors", key)
        tied = base.model.lm_head.weight is base.model.get_input_embeddings().weight
        self.fits_token_rows = bool(config.loss.text) and not tied
        if config.loss.text and tied:
            log.info(
                "%s reads and writes with one table of tokens, so that its rows for [CLS] and "
                "[SEG] are left as they are.",
                base.name,
            )

    def run(self, samples: Sequence[Sample], held_back: Sequence[Sample] | None) -> Path:
        """The adapter's file, after all parts of the run in their order."""
        leakage = probe(list(survey(samples)), self.config.seed)
        if leakage.leaks:
            log.warning("%s", " ".join(leakage.sentences()))
        vectors = self._vectors(samples, self.config.views, self.fits_token_rows)
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
                self._predictions_of_base(vectors),
                HeadPredictions.cross_fitted(logits, vectors, folds),
                folds,
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

    def _vectors(self, samples: Sequence[Sample], view_count: int, answers: bool) -> Vectors:
        start, stored_count = time.perf_counter(), len(self.store.vectors)
        vectors = collect(
            self.engine,
            samples,
            self.store,
            self.stop,
            view_count=view_count,
            seed=self.config.seed,
            answers=answers,
            batch_size=self.config.micro_batch_size or BATCH_SIZE,
            on_progress=lambda count, total: self._report(count, total, {}),
        )
        log.info(
            "%d vectors of %d pictures made in %.1f s, the others were stored",
            len(self.store.vectors) - stored_count,
            len(vectors.labels),
            time.perf_counter() - start,
        )
        return vectors

    def _report(self, count: int, total: int, line: dict[str, float]) -> None:
        if self.on_step is not None:
            self.on_step(count, total, line)

    def _search(self, vectors: Vectors, folds: np.ndarray) -> tuple[int, np.ndarray]:
        """The number of steps with the least loss on held-out pictures, and their logits then.

        It may be 0, which leaves the base's head.
        """
        config, head = self.config, self.head
        fits = [
            HeadFit(head, vectors, np.flatnonzero(folds != fold), config)
            for fold in range(folds.max() + 1)
        ]
        held_out_rows = [np.flatnonzero(folds == fold) for fold in range(folds.max() + 1)]

        def held_out_logits() -> np.ndarray:
            logits = np.zeros((len(folds), len(LABELS)))
            for fit, rows in zip(fits, held_out_rows, strict=True):
                logits[rows] = logits_of(fit.current, vectors, rows)
            return logits

        best_step, logits, stale, step = 0, held_out_logits(), 0, 0
        first_loss = lowest_loss = balanced_loss(logits, vectors.labels)
        # All folds go in step, so that the loss is one of all pictures at each number of steps.
        while step < config.max_steps and (config.patience is None or stale < config.patience):
            count = min(config.validate_every, config.max_steps - step)
            for fit in fits:
                for _ in range(count):
                    fit.advance()
            step += count
            current_logits = held_out_logits()
            loss = balanced_loss(current_logits, vectors.labels)
            log.debug("step %d: loss %.4f on held-out pictures", step, loss)
            stale = 0 if loss < lowest_loss else stale + 1
            if loss < lowest_loss:
                best_step, logits, lowest_loss = step, current_logits, loss
            if self.stop.signal_number:
                self.stop.raise_signal()
        log.info(
            "%d steps: loss on held-out pictures %.4f, before %.4f",
            best_step,
            lowest_loss,
            first_loss,
        )
        return best_step, logits

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
            self._report(step, steps, line)
        return lines

    def _adapter(
        self, fit: "HeadFit", vectors: Vectors, logits: np.ndarray
    ) -> tuple[Adapter, dict[str, object] | None]:
        """The trained head and token rows with their calibration, and the report on the rows."""
        tensors = {f"class_head.{name}": value for name, value in fit.current.state_dict().items()}
        rows: dict[str, tuple[int, ...]] = {}
        text = None
        if self.fits_token_rows:
            fitted_rows = fit_token_rows(
                self.base.model, self.base.processor.tokenizer, vectors.answers
            )
            tensors["lm_head.weight"] = fitted_rows.weight
            rows["lm_head.weight"] = fitted_rows.ids
            text = fitted_rows.report
        # The digest leaves the calibration out, which is fitted to weights that it has to name.
        bare = Adapter(self.base.name, self.base.digest, tensors, rows)
        truth = [LABELS[label] for label in vectors.labels]
        fitted = fit_calibration(Validation(logits, truth), bare.digest)
        # Masks are made as before, and so is what the base's calibration says of them.
        kept = self.base.calibration.model_dump(include={"mask_threshold", "mask_relative"})
        fitted = fitted.model_copy(update=kept)
        return Adapter(bare.base, bare.base_digest, tensors, rows, fitted), text

    def _predictions_of_base(self, vectors: Vectors) -> HeadPredictions:
        logits = logits_of(self.head, vectors)
        return HeadPredictions.calibrated(self.base.calibration, logits, vectors)

    def _validate(
        self, fit: "HeadFit", adapter: Adapter, samples: Sequence[Sample]
    ) -> dict[str, object]:
        """Base and adapter on data that nothing was fitted to."""
        vectors = self._vectors(samples, 0, False)
        after = HeadPredictions.calibrated(
            adapter.calibration, logits_of(fit.current, vectors), vectors
        )
        return {"count": len(vectors.labels), **compare(self._predictions_of_base(vectors), after)}


class HeadFit:
    """A class head in training, on the vectors of some pictures.

    Batches are those of the recipe: a third each class, seeded by the step; each draw takes a
    random view.

    Args:
        head: the initial weights; they are copied.
        rows: (pictures,) of `vectors`, which alone it may learn from.
    """

    def __init__(
        self, head: nn.Module, vectors: Vectors, rows: np.ndarray, config: TrainConfig
    ) -> None:
        self.head = copy.deepcopy(head).requires_grad_(True).train()
        self.vectors, self.config = vectors, config
        self.pools = [rows[vectors.labels[rows] == label] for label in range(len(LABELS))]
        self.average = average_of(self.head, config)
        self.optimizer = adamw(self.head, config)
        self.step = 0

    def advance(self) -> tuple[float, float]:
        """Loss and learning rate of a step, which is taken."""
        hidden, evidence, labels = self._batch()
        logits = self.head(hidden) + evidence
        loss = F.cross_entropy(logits, labels) * self.config.loss.classes
        loss.backward()
        nn.utils.clip_grad_norm_(self.head.parameters(), self.config.clip)
        rate = take_step(self.optimizer, self.config, self.step, self.head, self.average)
        self.step += 1
        return float(loss.detach()), rate

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self.config.seed, 3, self.step])
        size, view_count = self.config.batch_size, self.vectors.classes.shape[1]
        labels = (np.arange(size) + self.step * size) % len(LABELS)
        # Fractions of a pool, since the pools of the classes differ in length.
        fractions, view_indices = rng.random(size), rng.integers(view_count, size=size)
        rows = [
            self.pools[label][int(fraction * len(self.pools[label]))]
            for label, fraction in zip(labels, fractions, strict=True)
        ]
        classes, evidence = self.vectors.classes, self.vectors.evidence
        return (
            classes[rows, view_indices],
            evidence[rows, view_indices],
            torch.from_numpy(labels),
        )

    @property
    def current(self) -> nn.Module:
        """The head with its averaged weights, where the recipe averages."""
        if self.average is None or not self.step:
            return self.head
        averaged: nn.Module = self.average.module
        return averaged


@torch.no_grad()
def logits_of(
    head: nn.Module, vectors: Vectors, rows: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """Class logits (pictures, 3) of some of the pictures, each as it is."""
    training = head.training
    logits: np.ndarray = (head.eval()(vectors.classes[rows, 0]) + vectors.evidence[rows, 0]).numpy()
    head.train(training)
    return logits


def balanced_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Cross-entropy of logits (pictures, 3), a mean of the classes' means."""
    losses = F.cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction="none").numpy()
    return float(np.mean([losses[labels == label].mean() for label in np.unique(labels)]))
