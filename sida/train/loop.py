"""One run: batches, losses, steps, checkpoints, and at the end a folder that `Detector` reads."""

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import sida.data
from sida.assets import EMBEDDED
from sida.errors import ConfigError
from sida.files import write_folder, write_text
from sida.inference.device import resolve
from sida.model import Sida, SidaProcessor
from sida.model.calibration import Calibration
from sida.model.checkpoint import digest_of, find
from sida.model.frame import to_canvas
from sida.model.presets import PRESETS, preset
from sida.model.tokenizer import Tokenizer
from sida.train.calibrate import fit_calibration
from sida.train.config import TrainConfig, read_config
from sida.train.loader import Batch, Batches
from sida.train.losses import class_term, mask_terms, text_term
from sida.train.state import latest, load_state, save_state
from sida.train.validation import validate
from sida.verdict import LABELS

__all__ = ["train"]

log = logging.getLogger(__name__)
Metrics = dict[str, float]
FREE = {"validation", "validate_every", "save_every", "keep", "workers", "threads", "device"}
"""What may change when a run is gone on with: what is learned does not depend on it."""


def train(
    config: str | Path | TrainConfig,
    out: str | Path,
    resume: bool = False,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a model; returns the folder `OUT/model`, which `Detector.load` reads.

    `OUT` gets `metrics.jsonl` (a line a step), `checkpoints/step-N/` and `model/`. With `resume` a
    run goes on from its newest checkpoint; its batches are those of an undisturbed run.

    Args:
        config: a recipe's file or packaged name, or the configuration itself.
        out: an empty or new folder, unless `resume`.
        overrides: `key=value` strings that change the recipe.

    Raises:
        ConfigError: the recipe is wrong, or `out` holds another run.
        DataError: the data lack a class.
    """
    settings = config if isinstance(config, TrainConfig) else read_config(config, overrides)
    if not settings.data:
        raise ConfigError("The recipe names no data: add data=FOLDER of labelled pictures.")
    folder = Path(out)
    if not resume and folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: choose another --out, or go on with --resume.")
    if (folder / "model").is_dir():
        log.info("%s is finished", folder)
        return folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    keep_recipe(settings, folder)
    return Run(settings, folder).finish()


class Run:
    """The state of one run: model, averaged model, optimiser and step."""

    def __init__(self, config: TrainConfig, out: Path) -> None:
        self.config, self.out = config, out
        if config.threads:
            torch.set_num_threads(config.threads)
        self.device, _ = resolve(config.device, "float32")
        torch.manual_seed(config.seed)
        self.model, self.processor = start_model(config)
        self.model.to(self.device, memory_format=torch.channels_last).train()
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad = not config.only or name.startswith(config.only)
        self.averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(config.average))
        self.token_head = torch.nn.Linear(self.model.config.language.hidden_size, len(LABELS))
        self.token_head.to(self.device)
        self.optimizer = torch.optim.AdamW(
            parameter_groups(torch.nn.ModuleList([self.model, self.token_head]), config),
            betas=(0.9, 0.95),
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.step = 0
        self.lines: list[str] = []
        if found := latest(out):
            self._restore(load_state(found))

    def finish(self) -> Path:
        """Run the steps that are left, then write the averaged model."""
        for batch in self._batches():
            self._take(batch)
            if self.step % self.config.save_every == 0 or self.step == self.config.max_steps:
                self._save()
            if self.step % self.config.validate_every == 0:
                self._validate()
        return self._export()

    def _rate(self, step: int) -> float:
        warmup = self.config.warmup_steps
        if step < warmup:
            return (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, self.config.max_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def _batches(self) -> Iterator[Batch]:
        config = self.config
        batches = Batches(
            [list(sida.data.open(path)) for path in config.data],
            self.processor,
            self.model.image_token_count,
            config.batch_size,
            config.crops,
            config.post_process,
            config.text_every,
            config.empty_masks,
            config.seed,
        )
        loader = torch.utils.data.DataLoader(
            batches,
            batch_size=None,
            sampler=range(self.step, config.max_steps),
            num_workers=config.workers,
            worker_init_fn=_one_thread,
        )
        return iter(loader)

    def _take(self, batch: Batch) -> None:
        start = time.perf_counter()
        loss, parts = self._losses(batch)
        if not math.isfinite(parts["loss"]):
            raise ConfigError(
                f"The loss of step {self.step + 1} is {parts['loss']}: lower learning_rate, and "
                "go on from the last checkpoint with --resume."
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        rate = self.schedule.get_last_lr()[0]
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.model)
        self.step += 1
        seconds = round(time.perf_counter() - start, 4)
        line = {"step": self.step, **parts, "learning_rate": rate, "seconds": seconds}
        self.lines.append(json.dumps(line))
        if self.step % 50 == 0:
            log.info("%s", self.lines[-1])

    def _losses(self, batch: Batch) -> tuple[torch.Tensor, Metrics]:
        weights = self.config.loss
        inputs = batch.inputs.to(self.device)
        ids, attention, classes, masks, labels, texts, truth, inside = (
            tensor.to(self.device) for tensor in batch[1:]
        )
        output = self.model(inputs, ids, attention, classes, masks, text=bool((texts >= 0).any()))
        logits = to_canvas(output.mask_logits, (truth.shape[-2], truth.shape[-1]))
        bce, dice = mask_terms(logits, truth, inside)
        terms = {
            "loss_class": class_term(output.class_logits, labels).mean() * weights.classes,
            "loss_mask_bce": bce.mean() * weights.mask_bce,
            "loss_mask_dice": dice.mean() * weights.mask_dice,
            "loss_text": self._text_loss(output.logits, texts) * weights.text,
            "loss_image_tokens": self._token_loss(output.image_tokens, labels),
        }
        loss = torch.stack(list(terms.values())).sum()
        parts = {name: round(float(value.detach()), 6) for name, value in terms.items()}
        return loss, {"loss": round(float(loss.detach()), 6), **parts}

    @staticmethod
    def _text_loss(logits: torch.Tensor | None, labels: torch.Tensor) -> torch.Tensor:
        if logits is None:  # this step teaches no text
            return labels.new_zeros((), dtype=torch.float32)
        return text_term(logits, labels).mean()

    def _token_loss(self, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight = self.config.loss.image_tokens
        if not weight:
            return tokens.new_zeros(())
        return class_term(self.token_head(tokens.mean(1)), labels).mean() * weight

    def _save(self) -> None:
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "token_head": self.token_head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "lines": self.lines,
        }
        save_state(self.out, self.step, state, self.config.keep)
        write_text(self.out / "metrics.jsonl", "".join(f"{line}\n" for line in self.lines))

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.token_head.load_state_dict(state["token_head"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.step, self.lines = state["step"], state["lines"]

    def _averaged(self) -> Sida:
        model = self.averaged.module
        assert isinstance(model, Sida)
        return model

    def _validate(self) -> None:
        if self.config.validation is None:
            return
        result = validate(self._averaged(), self.processor, self.config.validation)
        metrics = result.metrics(Calibration())
        log.info("step %d: %s", self.step, json.dumps(metrics))
        with (self.out / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **metrics}) + "\n")

    def _export(self) -> Path:
        """Write `model/`, with a calibration and what was measured under it."""
        folder = self.out / "model"
        model = self._averaged()
        with write_folder(folder) as unfinished:
            model.save_pretrained(unfinished)
            self.processor.save_pretrained(unfinished)
            if self.config.validation is not None:
                result = validate(model, self.processor, self.config.validation)
                calibration = fit_calibration(result, digest_of(unfinished))
                metrics = result.metrics(calibration)
                if calibration.fitted:
                    calibration.save(unfinished)
                write_text(unfinished / "validation.json", json.dumps(metrics, indent=1) + "\n")
        return folder


def keep_recipe(config: TrainConfig, out: Path) -> None:
    """Write `OUT/recipe.json`; a run that is gone on with must have the one it began with.

    Raises:
        ConfigError: it has another; it names what differs.
    """
    path = out / "recipe.json"
    recipe = config.model_dump(mode="json", exclude=FREE)
    if path.is_file():
        begun = json.loads(path.read_text(encoding="utf-8"))
        names = sorted(name for name in recipe if recipe[name] != begun.get(name))
        if names:
            changes = ", ".join(f"{n}={recipe[n]} (was {begun.get(n)})" for n in names)
            raise ConfigError(
                f"{out} was begun with another recipe: {changes}. Go on with the same, or choose "
                "another --out."
            )
    write_text(path, json.dumps(recipe, indent=1) + "\n")


def start_model(config: TrainConfig) -> tuple[Sida, SidaProcessor]:
    """A preset with fresh weights, or a folder of ours."""
    if config.model not in PRESETS:
        folder = find(config.model)
        processor = SidaProcessor.from_pretrained(folder)
        return Sida.from_pretrained(folder, dtype=torch.float32), processor
    tokenizer = Tokenizer.load(config.tokenizer or EMBEDDED)
    sizes = preset(config.model)
    sizes.language.vocab_size = len(tokenizer)
    return Sida(sizes), SidaProcessor(sizes, tokenizer)


def parameter_groups(model: torch.nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """Decay for matrices and kernels; none for norms, biases and embeddings."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    decayed = [p for n, p in trained if p.ndim > 1 and "embed" not in n]
    others = [p for n, p in trained if not (p.ndim > 1 and "embed" not in n)]
    return [
        {"params": decayed, "lr": config.learning_rate, "weight_decay": config.weight_decay},
        {"params": others, "lr": config.learning_rate, "weight_decay": 0.0},
    ]


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
