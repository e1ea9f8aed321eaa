"""The log of a run: a line a step, measurements, and example pictures."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator

from sida.train.config import TrainConfig
from sida.train.validation import Validation

__all__ = ["MetricsLog", "OnStep"]

OnStep = Callable[[int, int, dict[str, float]], None]
"""Called after every step with its number, the number of steps, and its line of `metrics.jsonl`."""


class MetricsLog:
    """`metrics.jsonl`, `validation.jsonl`, and accelerate's trackers.

    Only the first process writes. When a run goes on from a checkpoint, lines of later steps are
    dropped.
    """

    def __init__(self, config: TrainConfig, out: Path, accelerator: Accelerator) -> None:
        self.config, self.out, self.accelerator = config, out, accelerator

    @contextmanager
    def open_after(self, step: int) -> Iterator[None]:
        """Keep the files open, without lines of later steps than this."""
        self._open(step)
        try:
            yield
        finally:
            if self.config.trackers:
                self.accelerator.end_training()
            if self.file is not None:
                self.file.close()

    def _open(self, step: int) -> None:
        main = self.accelerator.is_main_process
        if main:
            for name in ("metrics.jsonl", "validation.jsonl"):
                _truncate(self.out / name, step)
        self.file = (self.out / "metrics.jsonl").open("a", encoding="utf-8") if main else None
        if self.config.trackers:
            self.accelerator.init_trackers("sida")

    def write_step(self, line: Mapping[str, float]) -> None:
        """Write the line of a step."""
        if self.file is not None:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        if self.config.trackers:
            values = {name: value for name, value in line.items() if name != "step"}
            self.accelerator.log(values, step=int(line["step"]))

    def write_validation(self, step: int, metrics: Mapping[str, float], result: Validation) -> None:
        """Write the measurements after a step, and its examples."""
        if self.file is None:
            return
        with (self.out / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        for tracker in self.accelerator.trackers:
            tracker.log({f"validation/{name}": value for name, value in metrics.items()}, step=step)
            if tracker.name == "tensorboard":
                examples = {f"validation/{i}": e[None] for i, e in enumerate(result.examples)}
                tracker.log_images(examples, step=step, dataformats="NHWC")

    def flush(self) -> None:
        """Bring the lines to the disk, before the checkpoint of their last step."""
        # A run goes on after its checkpoint: lines before it that a power cut loses never return.
        if self.file is not None:
            os.fsync(self.file.fileno())


def _truncate(path: Path, step: int) -> None:
    """Drop the lines after a step, and a line that was only half written."""
    if not path.is_file():
        return
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        lines.append(line)
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(lines), encoding="utf-8")
    temporary.replace(path)
