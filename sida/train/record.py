"""What a run writes down: a line a step, what is measured, and pictures to look at."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from sida.train.config import TrainConfig
from sida.train.validation import Validation

__all__ = ["OnStep", "Record"]

OnStep = Callable[[int, int, dict[str, float]], None]
"""Called after every step with its number, the number of steps, and its line of `metrics.jsonl`."""


class Record:
    """`metrics.jsonl`, `validation.jsonl`, and accelerate's trackers, by the first process alone.

    Lines of steps after the checkpoint that a run goes on from are dropped when it does.
    """

    def __init__(self, config: TrainConfig, out: Path, accelerator: Accelerator) -> None:
        self.config, self.out, self.accelerator = config, out, accelerator

    @contextmanager
    def after(self, step: int) -> Iterator[None]:
        """Write what comes after this step."""
        self._start(step)
        try:
            yield
        finally:
            if self.config.trackers:
                self.accelerator.end_training()
            if self.file is not None:
                self.file.close()

    def _start(self, step: int) -> None:
        main = self.accelerator.is_main_process
        if main:
            for name in ("metrics.jsonl", "validation.jsonl"):
                _cut(self.out / name, step)
        self.file = (self.out / "metrics.jsonl").open("a", encoding="utf-8") if main else None
        if self.config.trackers:
            self.accelerator.init_trackers("sida")

    def line(self, line: Mapping[str, float]) -> None:
        """What one step gave."""
        if self.file is not None:
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()
        if self.config.trackers:
            values = {name: value for name, value in line.items() if name != "step"}
            self.accelerator.log(values, step=int(line["step"]))

    def validation(self, step: int, metrics: Mapping[str, float], result: Validation) -> None:
        """What was measured after a step."""
        if self.file is None:
            return
        with (self.out / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")
        for tracker in self.accelerator.trackers:
            tracker.log({f"validation/{name}": value for name, value in metrics.items()}, step=step)
            if tracker.name == "tensorboard":
                shown = {f"validation/{i}": e[None] for i, e in enumerate(result.examples)}
                tracker.log_images(shown, step=step, dataformats="NHWC")

    def gathered(self, value: Any) -> list[Any]:
        """One value of every process, in their order."""
        collected: list[Any] = gather_object([value])
        return collected

    def flush(self) -> None:
        """Bring the lines to the disk, before a checkpoint that stands behind them."""
        if self.file is not None:
            os.fsync(self.file.fileno())


def _cut(path: Path, step: int) -> None:
    """Drop the lines after a step, and one that was only half written."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if not line.endswith("\n") or json.loads(line)["step"] > step:
            break
        kept.append(line)
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
