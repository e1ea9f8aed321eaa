"""One run: batches, losses, steps, checkpoints, and at the end a folder that `Detector` reads.

How a run is spread over devices is accelerate's business (`accelerate launch`, or one process);
a batch, its loss and its gradient are the same however it is cut.
"""

import copy
import json
import logging
import math
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import DistributedType
from accelerate.utils import broadcast_object_list
from torch.distributed.fsdp import FSDPModule

from sida.errors import ConfigError, SidaError
from sida.files import write_folder, write_text
from sida.model import Sida, SidaProcessor
from sida.model.calibration import Calibration
from sida.model.clip_windows import ClipWindows
from sida.model.inputs import Inputs
from sida.model.saving import save_model
from sida.model.weights import digest_of
from sida.run_folder import locked
from sida.train.cache import FeatureCache
from sida.train.calibrate import fit_calibration
from sida.train.config import TrainConfig, read_config
from sida.train.devices import (
    accelerator_of,
    own_micro_batches,
    random_state,
    set_random_state,
    to_device,
)
from sida.train.evidence import fit_evidence, source_weights
from sida.train.loader import Batch, Batches, Collator, Guarded
from sida.train.lora import merged
from sida.train.optimizer import adamw, average_of, take_step
from sida.train.pictures import Pictures
from sida.train.record import OnStep, Record
from sida.train.run_folder import claim, identity_of, training_folder
from sida.train.start import start_model
from sida.train.state import (
    gather,
    latest,
    load_state,
    restore,
    save_state,
    unsharded,
    whole_weights,
)
from sida.train.step import LOSSES, Trained, counts
from sida.train.stop import StopRequest
from sida.train.validation import Validation, validate
from sida.verdict import LABELS

__all__ = ["train"]

log = logging.getLogger(__name__)
T = TypeVar("T")

SCALED_BY = 480
"""Pictures that an encoder's scales are fitted to."""
STATES = 4
"""Numbers of float32 in a checkpoint for each trained one: itself, its average, two moments."""


def train(
    config: str | Path | TrainConfig,
    out: str | Path,
    overrides: Sequence[str] = (),
    on_step: OnStep | None = None,
    *,
    fresh: bool = False,
) -> Path:
    """Train a model; returns the folder `OUT/model`, which `Detector.load` reads.

    With `heads_only` it is the file `OUT/adapter.safetensors` (`sida.train.heads`).

    `OUT` gets `metrics.jsonl` (a line a step), `checkpoints/step-N/` and `model/`. Called again, a
    run goes on from its newest checkpoint, if it has one; its batches and numbers are those of an
    undisturbed run. A finished run is left as it is. SIGINT and SIGTERM write a checkpoint first.

    Args:
        config: a recipe's file or packaged name, or the configuration itself.
        out: an empty or new folder, or that of the same run.
        overrides: `key=value` strings that change the recipe.
        fresh: remove what an earlier run left in `out`, and begin anew.

    Raises:
        ConfigError: the recipe is wrong, or `out` holds another run.
        DataError: the data lack a class.
        CheckpointError: the model to begin from cannot be read.
        SidaError: the disk is too small for the checkpoints.
    """
    settings = config if isinstance(config, TrainConfig) else read_config(config, overrides)
    if not settings.data:
        raise ConfigError("The recipe names no data: add data=FOLDER of labelled pictures.")
    if settings.heads_only:
        from sida.train.heads import train_heads  # which needs scikit-learn

        return train_heads(settings, Path(out), on_step, fresh)
    folder = Path(out)
    # Before the model is loaded, and by every process; only the first may write below.
    stored = None if fresh else training_folder(folder).check(identity_of(settings))
    if stored is not None and (folder / "model").is_dir():
        log.info("%s is finished", folder)
        return folder / "model"
    is_first = os.environ.get("RANK", "0") == "0"
    with locked(folder) if is_first else nullcontext():
        run = Run(settings, folder, fresh)
        with StopRequest() as stop:
            return run.finish(stop, on_step)


class Run:
    """The state of one run: model, averaged model, optimiser and step."""

    def __init__(self, config: TrainConfig, out: Path, fresh: bool = False) -> None:
        self.config, self.out = config, out
        if config.threads:
            torch.set_num_threads(config.threads)
        self.accelerator = accelerator_of(config, out)
        self.own = own_micro_batches(config, self.accelerator.num_processes)
        pictures = Pictures.of(config)
        self.held_back = pictures.held_back
        torch.manual_seed(config.seed)
        self.model, self.processor = start_model(config)
        if self.accelerator.distributed_type != DistributedType.FSDP:  # which moves it itself
            self.model.to(self.accelerator.device)  # before the average is made of it
            self.model.to(memory_format=torch.channels_last)
        self.cache = self._cache()
        self.trained = Trained(self.model, config.loss, self.cache, config.distillation)
        self.model.train()
        self.dataset = Batches(pictures.sets, self._collator(), config, self.micro)
        self._claim(fresh)
        if self.accelerator.is_main_process:
            pictures.warn(config)
        if config.model is None and latest(out) is None:
            self._fit_encoder()
        self.average = average_of(self.model, config)
        self.plain_optimizer = adamw(self.trained, config)
        self.module, self.optimizer = self.accelerator.prepare(self.trained, self.plain_optimizer)
        if isinstance(self.module, FSDPModule):
            # A micro-batch without a mask does not use the mask decoder.
            self.module.set_reduce_scatter_unused_params(True)
        torch.manual_seed(config.seed + self.accelerator.process_index)  # dropout of its own
        self.step, self.best, self.stale, self.saved = 0, -math.inf, 0, 0
        self.measured: Validation | None = None
        self.record = Record(config, out, self.accelerator)
        if found := latest(out):
            self._restore(load_state(found))
        self._drop(best_folders(out, after=self.step))  # of looks that come again

    @property
    def micro(self) -> int:
        """Pictures that a device takes at once."""
        devices: int = self.accelerator.num_processes
        return self.config.batch_size // (devices * self.own)

    def finish(self, stop: StopRequest, on_step: OnStep | None) -> Path:
        """Run the steps that are left, then write the model."""
        with self.record.after(self.step):
            self._steps(stop, on_step)
            return self._export()

    def _steps(self, stop: StopRequest, on_step: OnStep | None) -> None:
        micro_batches = self._micro_batches()
        while self.step < self.config.max_steps and not self._has_converged():
            line = self._take(list(islice(micro_batches, self.own)))
            if on_step is not None and self.accelerator.is_main_process:
                on_step(self.step, self.config.max_steps, line)
            last = self.step == self.config.max_steps
            if self.step % self.config.validate_every == 0 or last:
                self._validate()
            stopped = self._stopped(stop)
            if self.step % self.config.save_every == 0 or last or stopped:
                self._save()
            if stopped and not last:
                stop.obey()

    def _claim(self, fresh: bool) -> None:
        """Claim the folder, by the first process; what it refuses ends all."""
        refused: SidaError | None = None
        if self.accelerator.is_main_process:
            trained = sum(p.numel() for p in self.trained.parameters() if p.requires_grad)
            whole = sum(p.numel() * p.element_size() for p in self.model.parameters())
            models = 3 if self.config.best else 1  # the best before and after a checkpoint
            room = STATES * 4 * trained * (self.config.keep + 1) + models * whole
            try:
                claim(self.config, self.out, fresh, room, "checkpoints and the model")
            except SidaError as error:
                refused = error
        refused = self._agreed(refused)
        if refused is not None:
            raise refused

    def _agreed(self, value: T) -> T:
        """What the first process says; every process must ask."""
        held = [value]
        broadcast_object_list(held)
        return held[0]

    def _collator(self) -> Collator:
        processor = self.processor
        if self.config.windows is not None:
            sizes = copy.deepcopy(self.model.config)
            sizes.vision.max_windows = self.config.windows
            processor = SidaProcessor(sizes, processor.tokenizer)
        return Collator(
            processor,
            self.model.config,
            self.model.image_token_count,
            self.config,
            self.cache,
        )

    def _cache(self) -> FeatureCache | None:
        if self.config.cache is None:
            return None
        return FeatureCache(self.model, self.config, self.accelerator.num_processes)

    def _fit_encoder(self) -> None:
        """Fit what is not trained by steps: scales of features, and the evidence head."""
        encoder = self.model.encoder
        if not isinstance(encoder, ClipWindows):
            encoder.fit(self._first_inputs())
            return
        samples, vectors = [], []
        for sample, inputs, key in self.dataset.every_view():
            samples.append(sample)
            if self.cache is None:
                vectors.append(encoder.vision_features(inputs, 0).float())
            else:
                vectors.append(self.cache.make(inputs, [key], [False]).vision[0].float())
        labels = [sample.label for sample in samples]
        left = fit_evidence(
            encoder,
            torch.stack(vectors),
            torch.tensor([LABELS.index(label) for label in labels]),
            source_weights(labels, [x.source for x in samples], self.config.source_power),
            self.config.evidence_penalty,
        )
        log.info("evidence head fitted to %d views: cross-entropy %.4f", len(samples), left)

    def _first_inputs(self) -> Iterator[Inputs]:
        """Pictures of the first steps, the same whatever the run is spread over."""
        size = self.config.batch_size
        batches = min(self.config.max_steps, -(-SCALED_BY // size))
        for index in range(batches * size // self.micro):
            yield self.dataset[index].inputs

    def _micro_batches(self) -> Iterator[Batch]:
        """Those of this process, from the step that comes next."""
        own, devices = self.own, self.accelerator.num_processes
        first = self.accelerator.process_index * own
        loader = torch.utils.data.DataLoader(
            Guarded(self.dataset),
            batch_size=None,
            sampler=[
                step * own * devices + first + i
                for step in range(self.step, self.config.max_steps)
                for i in range(own)
            ],
            num_workers=self.config.workers,
            worker_init_fn=_prepare_worker,
            pin_memory=self.accelerator.device.type == "cuda",
            generator=torch.Generator(),  # else a loader moves the state that dropout draws from
        )
        for batch in loader:
            if isinstance(batch, SidaError):
                raise batch
            yield batch

    def _take(self, micro_batches: list[Batch]) -> dict[str, float]:
        """One step over this process's micro-batches; each loss is a mean over the whole batch."""
        start = time.perf_counter()
        items = self._reduced(torch.stack([counts(batch) for batch in micro_batches]).sum(0))
        share = 1 / items.clamp_min(1)
        total = torch.zeros(len(LOSSES), dtype=torch.float64)
        for number, batch in enumerate(micro_batches):
            waits = number + 1 < len(micro_batches)
            with self.accelerator.no_sync(self.module) if waits else nullcontext():
                sums = self.module(to_device(batch, self.accelerator.device))
                # Gradients are averaged over processes, and ours are shares of one sum.
                loss = (sums * share.to(sums)).sum() * self.accelerator.num_processes
                self.accelerator.backward(loss)
            total += sums.detach().double().cpu()
        means = self._reduced(total) * share
        self._check(means)
        self.accelerator.clip_grad_norm_(self._parameters(), self.config.clip)
        rate = take_step(self.optimizer, self.config, self.step, self.model, self.average)
        self.step += 1
        line = {"step": self.step, "loss": float(means.sum())}
        line |= {f"loss_{name}": float(value) for name, value in zip(LOSSES, means, strict=True)}
        line |= {"learning_rate": rate, "seconds": round(time.perf_counter() - start, 4)}
        self.record.line(line)
        return line

    def _reduced(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over processes, on the CPU."""
        if self.accelerator.num_processes == 1:
            return values
        summed: torch.Tensor = self.accelerator.reduce(
            values.to(self.accelerator.device, torch.float32), reduction="sum"
        )
        return summed.double().cpu()

    def _check(self, means: torch.Tensor) -> None:
        if not bool(means.isfinite().all()):
            raise ConfigError(
                f"The loss of step {self.step + 1} is not finite: begin again in another --out "
                f"with a learning_rate below {self.config.learning_rate:g}, or with more "
                "warmup_steps."
            )

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]

    def _has_converged(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.stale >= patience

    def _stopped(self, stop: StopRequest) -> bool:
        """Whether any process was asked to stop, so that all stop at the same step."""
        return bool(self._reduced(torch.tensor([float(stop.asked)])).item())

    def _weights(self) -> Sida:
        """The model as it would be used now."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, Sida)
        return averaged

    def _validate(self) -> None:
        """Look at the held-back pictures, and note what is seen."""
        metrics = self._look()
        if self.measured is not None:
            self.record.validation(self.step, metrics, self.measured)
            log.info("step %d: %s", self.step, json.dumps(metrics))

    def _look(self) -> dict[str, float]:
        """Measure on the held-back pictures; the best weights so far are written down."""
        if self.held_back is None:
            return {}
        with unsharded(self.module), self.accelerator.autocast():
            self.measured = validate(self._weights(), self.processor, self.held_back)
        metrics = self.measured.metrics(Calibration())
        if self.config.best is None:
            return metrics
        # Devices may round differently, and all have to go the same way.
        value = self._agreed(metrics.get(self.config.best, -math.inf))
        better = value > self.best
        self.best, self.stale = (value, 0) if better else (self.best, self.stale + 1)
        if better:
            self._write(self.out / f"best-{self.step}")
            self._drop(best_folders(self.out, after=self.saved)[:-1])
        return metrics

    def _drop(self, superseded: Sequence[Path]) -> None:
        if self.accelerator.is_main_process:
            for folder in superseded:
                shutil.rmtree(folder)

    def _save(self) -> None:
        state = gather(self.module, self.plain_optimizer)
        state |= {
            "step": self.step,
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "random": self.record.gathered(random_state()),
            "best": self.best,
            "stale": self.stale,
        }
        if self.accelerator.is_main_process:
            self.record.flush()
            save_state(self.out, self.step, state, self.config.keep)
            self._drop(best_folders(self.out)[:-1])  # a kill before would go back to it
        self.saved = self.step
        self.accelerator.wait_for_everyone()

    def _restore(self, state: dict[str, Any]) -> None:
        restore(self.module, self.plain_optimizer, state)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        own = self.accelerator.process_index
        if own < len(state["random"]):
            set_random_state(state["random"][own])
        self.step, self.best, self.stale = state["step"], state["best"], state["stale"]
        self.saved = self.step

    def _export(self) -> Path:
        """Write `model/`: the best weights where they were asked for, else the last."""
        folder = self.out / "model"
        best = self._agreed(best_folders(self.out))
        if not best and self.measured is None:  # killed after the last checkpoint
            self._look()
            best = self._agreed(best_folders(self.out))
        if not best:
            self._write(folder)
        elif self.accelerator.is_main_process:
            best.pop().rename(folder)
            self._drop(best)
        self.accelerator.wait_for_everyone()
        return folder

    def _write(self, folder: Path) -> None:
        """A folder that `Detector.load` reads, with its calibration and what was measured."""
        model = self._weights()
        weights = whole_weights(self.module, self.model) if model is self.model else None
        if not self.accelerator.is_main_process:
            return
        with write_folder(folder) as unfinished:
            save_model(model, unfinished, merged(model, weights))
            self.processor.save_pretrained(unfinished)
            if self.measured is not None:
                calibration = fit_calibration(self.measured, digest_of(unfinished))
                if calibration.fitted:
                    calibration.save(unfinished)
                # Not under the calibration, which was fitted to the same pictures.
                metrics = json.dumps(self.measured.metrics(Calibration()), indent=1)
                write_text(unfinished / "validation.json", f"{metrics}\n")


def best_folders(out: Path, after: int = 0) -> list[Path]:
    """`best-N/` of a run, in the order of their steps; only those after a step."""
    numbered = [(folder.name.removeprefix("best-"), folder) for folder in out.glob("best-*")]
    found = [(int(number), folder) for number, folder in numbered if number.isdigit()]
    return [folder for number, folder in sorted(found) if number > after]


def _prepare_worker(_: int) -> None:
    """One thread, and Ctrl-C is left to the process that started this one."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
