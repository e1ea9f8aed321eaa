"""A training run: batches, losses, steps, checkpoints, and a folder that `Detector` reads.

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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from accelerate import DistributedType
from accelerate.utils import broadcast_object_list, gather_object
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
from sida.train.calibration_fit import fit_calibration
from sida.train.config import TrainConfig, read_config
from sida.train.devices import (
    accelerator_of,
    micro_batches_per_device,
    random_state,
    set_random_state,
    to_device,
)
from sida.train.evidence_head import fit_evidence, source_weights
from sida.train.initialization import initialize_model
from sida.train.loader import Batch, Batches, Collator, Guarded
from sida.train.lora import merge
from sida.train.metrics_log import MetricsLog, OnStep
from sida.train.optimizer import adamw, average_of, take_step
from sida.train.pictures import Pictures
from sida.train.run_folder import identity_of, prepare_folder, training_folder
from sida.train.state import (
    RunState,
    gather,
    latest,
    load_state,
    restore,
    save_state,
    unsharded,
    whole_weights,
)
from sida.train.stop_request import StopRequest
from sida.train.training_module import LOSSES, TrainingModule, counts
from sida.train.validation import Validation, validate
from sida.verdict import LABELS

__all__ = ["train"]

log = logging.getLogger(__name__)
T = TypeVar("T")

FIT_PICTURES = 480
"""Pictures that an encoder's scales are fitted to."""
CHECKPOINT_BYTES = 16
"""Of a checkpoint for each trained parameter: itself, its average and two moments in float32."""


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
        fresh: remove what an earlier run left in `out`, and start over.

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
        log.info("The run in %r is finished.", str(folder))
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
        self.micro_batch_count = micro_batches_per_device(config, self.accelerator.num_processes)
        pictures = Pictures.of(config)
        self.held_back = pictures.held_back
        # On every process, since all draw the fresh weights for themselves.
        torch.manual_seed(config.seed)
        self.model, self.processor = initialize_model(config)
        # Before the average, which stays on the device of the weights that it is copied from, and
        # before the optimiser, which has to hold the tensors that are on the device in the end.
        if self.accelerator.distributed_type != DistributedType.FSDP:  # FSDP moves it itself
            self.model.to(self.accelerator.device)
            self.model.to(memory_format=torch.channels_last)
        self.cache = self._cache()
        self.training_module = TrainingModule(
            self.model, config.loss, self.cache, config.distillation
        )
        self.model.train()
        self.dataset = Batches(pictures.sets, self._collator(), config, self.micro_batch_size)
        self._prepare_folder(fresh)
        if self.accelerator.is_main_process:
            pictures.warn(config)
        if config.model is None and latest(out) is None:
            self._fit_encoder()  # before the average, which would else begin with other scales
        self.average = average_of(self.model, config)
        self.plain_optimizer = adamw(self.training_module, config)
        self.module, self.optimizer = self.accelerator.prepare(
            self.training_module, self.plain_optimizer
        )
        if isinstance(self.module, FSDPModule):
            # A micro-batch without a mask does not use the mask decoder.
            self.module.set_reduce_scatter_unused_params(True)
        # The weights are drawn; from here on each process draws dropout of its own.
        torch.manual_seed(config.seed + self.accelerator.process_index)
        self.step, self.best, self.stale, self.saved = 0, -math.inf, 0, 0
        self.validation: Validation | None = None
        self.metrics_log = MetricsLog(config, out, self.accelerator)
        if checkpoint := latest(out):
            self._restore(load_state(checkpoint))
        self._remove(best_folders(out, after=self.step))  # of validations that come again

    @property
    def micro_batch_size(self) -> int:
        """Number of pictures that a device takes at once."""
        devices: int = self.accelerator.num_processes
        return self.config.batch_size // (devices * self.micro_batch_count)

    def finish(self, stop: StopRequest, on_step: OnStep | None) -> Path:
        """Take the remaining steps, then write the model; returns its folder."""
        with self.metrics_log.open_after(self.step):
            self._take_steps(stop, on_step)
            return self._export()

    def _take_steps(self, stop: StopRequest, on_step: OnStep | None) -> None:
        micro_batches = self._micro_batches()
        while self.step < self.config.max_steps and not self._has_converged():
            line = self._take_step(list(islice(micro_batches, self.micro_batch_count)))
            if on_step is not None and self.accelerator.is_main_process:
                on_step(self.step, self.config.max_steps, line)
            last = self.step == self.config.max_steps
            if self.step % self.config.validate_every == 0 or last:
                self._validate()
            stopping = self._is_stopping(stop)
            if self.step % self.config.save_every == 0 or last or stopping:
                self._save()
            if stopping and not last:
                stop.raise_signal()

    def _prepare_folder(self, fresh: bool) -> None:
        """Make the folder this run's, by the first process; its error ends all processes."""
        error: SidaError | None = None
        if self.accelerator.is_main_process:
            trained_count = sum(
                p.numel() for p in self.training_module.parameters() if p.requires_grad
            )
            model_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())
            model_count = 3 if self.config.best else 1  # the best before and after a checkpoint
            # One checkpoint more than are kept: the oldest is removed after the newest is written.
            required_bytes = CHECKPOINT_BYTES * trained_count * (self.config.keep + 1)
            required_bytes += model_count * model_bytes
            try:
                prepare_folder(
                    self.config, self.out, fresh, required_bytes, "checkpoints and the model"
                )
            except SidaError as raised:
                error = raised
        error = self._broadcast(error)
        if error is not None:
            raise error

    def _broadcast(self, value: T) -> T:
        """The value of the first process; a collective call."""
        values = [value]
        broadcast_object_list(values)
        return values[0]

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
        """Fit the parts that no step trains: scales of features, and the evidence head."""
        encoder = self.model.encoder
        if not isinstance(encoder, ClipWindows):
            encoder.fit(self._first_inputs())
            return
        if self.config.loss.local:
            return  # which the evidence head is no part of
        samples, vectors = [], []
        for sample, inputs, key in self.dataset.every_view():
            samples.append(sample)
            vectors.append(self._vector(encoder, inputs, key))
        labels = [sample.label for sample in samples]
        loss = fit_evidence(
            encoder,
            torch.stack(vectors),
            torch.tensor([LABELS.index(label) for label in labels]),
            source_weights(labels, [x.source for x in samples], self.config.source_power),
            self.config.evidence_penalty,
        )
        log.info("evidence head fitted to %d views: cross-entropy %.4f", len(samples), loss)

    @torch.no_grad()
    def _vector(self, encoder: ClipWindows, inputs: Inputs, key: str) -> torch.Tensor:
        """What the evidence head is fitted to, (feature_count,) float32, of one picture."""
        inputs = inputs.to(self.accelerator.device)
        with self.accelerator.autocast():
            if self.config.loss.synthetic:  # read from the whole picture alone
                vector = encoder.whole_points(inputs.vision.pixels)[0]
                vector = F.pad(vector, (0, encoder.feature_count - encoder.whole_count))
            elif self.cache is None:
                vector = encoder.vision_features(inputs, 0)
            else:
                vector = self.cache.make(inputs, [key], [False]).vision[0]
        return vector.float().cpu()

    def _first_inputs(self) -> Iterator[Inputs]:
        """Pictures of the first steps, the same whatever the run is spread over."""
        size = self.config.batch_size
        batches = min(self.config.max_steps, -(-FIT_PICTURES // size))
        for index in range(batches * size // self.micro_batch_size):
            yield self.dataset[index].inputs

    def _micro_batches(self) -> Iterator[Batch]:
        """Micro-batches of this process, from the next step on."""
        count, devices = self.micro_batch_count, self.accelerator.num_processes
        first = self.accelerator.process_index * count
        loader = torch.utils.data.DataLoader(
            Guarded(self.dataset),
            batch_size=None,
            sampler=[
                step * count * devices + first + i
                for step in range(self.step, self.config.max_steps)
                for i in range(count)
            ],
            num_workers=self.config.workers,
            worker_init_fn=_prepare_worker,
            pin_memory=self.accelerator.device.type == "cuda",
            # Else a loader draws its workers' seed from the generator of dropout, and moves it.
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, SidaError):
                raise batch
            yield batch

    def _take_step(self, micro_batches: list[Batch]) -> dict[str, float]:
        """Line of a step over this process's micro-batches; losses are means of the whole batch."""
        start = time.perf_counter()
        # Counted over all processes before the first backward pass: a mean of each micro-batch's
        # mean would weigh their few masks and tokens unequally.
        items = self._reduced(torch.stack([counts(batch) for batch in micro_batches]).sum(0))
        share = 1 / items.clamp_min(1)
        total = torch.zeros(len(LOSSES), dtype=torch.float64)
        for number, batch in enumerate(micro_batches):
            accumulates = number + 1 < len(micro_batches)
            # Gradients of all micro-batches add up; processes exchange them once, with the last.
            with self.accelerator.no_sync(self.module) if accumulates else nullcontext():
                sums = self.module(to_device(batch, self.accelerator.device))
                # accelerate averages gradients over processes, and ours are shares of one sum.
                loss = (sums * share.to(sums)).sum() * self.accelerator.num_processes
                self.accelerator.backward(loss)
            total += sums.detach().double().cpu()  # float64: cutting hardly matters
        means = self._reduced(total) * share
        self._check(means)
        self.accelerator.clip_grad_norm_(self._parameters(), self.config.clip)
        rate = take_step(self.optimizer, self.config, self.step, self.model, self.average)
        self.step += 1
        line = {"step": self.step, "loss": float(means.sum())}
        line |= {f"loss_{name}": float(value) for name, value in zip(LOSSES, means, strict=True)}
        line |= {"learning_rate": rate, "seconds": round(time.perf_counter() - start, 4)}
        self.metrics_log.write_step(line)
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
                f"The loss of step {self.step + 1} is not finite: start again in another --out "
                f"with a learning_rate below {self.config.learning_rate:g}, or with more "
                "warmup_steps."
            )

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]

    def _has_converged(self) -> bool:
        patience = self.config.patience
        return patience is not None and self.stale >= patience

    def _is_stopping(self, stop: StopRequest) -> bool:
        """True where any process got a signal, so that all stop at the same step."""
        return bool(self._reduced(torch.tensor([float(stop.signal_number)])).item())

    def _weights(self) -> Sida:
        """The model with its averaged weights, where the recipe averages."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, Sida)
        return averaged

    def _validate(self) -> None:
        """Measure on the held-back pictures, and log the metrics."""
        metrics = self._measure()
        if self.validation is not None:
            self.metrics_log.write_validation(self.step, metrics, self.validation)
            log.info("step %d: %s", self.step, json.dumps(metrics))

    def _measure(self) -> dict[str, float]:
        """Metrics on the held-back pictures; the best weights so far are written to `best-N/`."""
        if self.held_back is None:
            return {}
        with unsharded(self.module), self.accelerator.autocast():
            self.validation = validate(self._weights(), self.processor, self.held_back)
        metrics = self.validation.metrics(Calibration())
        if self.config.best is None:
            return metrics
        # Devices may round differently, and all have to go the same way.
        value = self._broadcast(metrics.get(self.config.best, -math.inf))
        better = value > self.best
        self.best, self.stale = (value, 0) if better else (self.best, self.stale + 1)
        if better:
            self._write(self.out / f"best-{self.step}")
            # The best before the last checkpoint stays: after a kill the run goes on from there.
            self._remove(best_folders(self.out, after=self.saved)[:-1])
        return metrics

    def _remove(self, folders: Sequence[Path]) -> None:
        if self.accelerator.is_main_process:
            for folder in folders:
                shutil.rmtree(folder)

    def _save(self) -> None:
        state: RunState = {
            **gather(self.module, self.plain_optimizer),
            "step": self.step,
            "average": None if self.average is None else self.average.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "random": gather_object([random_state()]),  # of every process, in their order
            "best": self.best,
            "stale": self.stale,
        }
        if self.accelerator.is_main_process:
            self.metrics_log.flush()
            save_state(self.out, self.step, state, self.config.keep)
            self._remove(best_folders(self.out)[:-1])  # before, a kill would have gone back to it
        self.saved = self.step
        self.accelerator.wait_for_everyone()

    def _restore(self, state: RunState) -> None:
        restore(self.module, self.plain_optimizer, state)
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        index = self.accelerator.process_index
        # On more processes than before, the new ones keep the seeds that they began with.
        if index < len(state["random"]):
            set_random_state(state["random"][index])
        self.step, self.best, self.stale = state["step"], state["best"], state["stale"]
        self.saved = self.step

    def _export(self) -> Path:
        """Write `model/`: the best weights where the recipe names `best`, else the last."""
        folder = self.out / "model"
        best = self._broadcast(best_folders(self.out))
        if not best and self.validation is None:  # killed after the last checkpoint
            self._measure()
            best = self._broadcast(best_folders(self.out))
        if not best:
            self._write(folder)
        elif self.accelerator.is_main_process:
            best.pop().rename(folder)
            self._remove(best)
        self.accelerator.wait_for_everyone()
        return folder

    def _write(self, folder: Path) -> None:
        """Write a folder that `Detector.load` reads, with its calibration and metrics."""
        model = self._weights()
        # By every process, before all but the first return: sharded weights are gathered together.
        weights = whole_weights(self.module, self.model) if model is self.model else None
        if not self.accelerator.is_main_process:
            return
        with write_folder(folder) as temporary:
            save_model(model, temporary, self._scaled(merge(model, weights)))
            self.processor.save_pretrained(temporary)
            if self.validation is not None:
                calibration = fit_calibration(self.validation, digest_of(temporary))
                if calibration.fitted:
                    calibration.save(temporary)
                # Not under the calibration, which was fitted to the same pictures.
                metrics = json.dumps(self.validation.metrics(Calibration()), indent=1)
                write_text(temporary / "validation.json", f"{metrics}\n")

    def _scaled(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The weights, with the encoder's trained low-rank additions scaled as the recipe says."""
        scale, trained = self.config.addition_scale, self.config.trained
        return {
            # W x + up (down x): one of the two factors scales the addition.
            name: value * scale
            if "_additions." in name and name.endswith(".up") and name.startswith(trained)
            else value
            for name, value in weights.items()
        }


def best_folders(out: Path, after: int = 0) -> list[Path]:
    """`best-N/` of a run, in the order of their steps; only those after a step."""
    numbered = [(folder.name.removeprefix("best-"), folder) for folder in out.glob("best-*")]
    steps = [(int(number), folder) for number, folder in numbered if number.isdigit()]
    return [folder for number, folder in sorted(steps) if number > after]


def _prepare_worker(_: int) -> None:
    """Limit a worker to a thread, and leave Ctrl-C to the process that started it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
