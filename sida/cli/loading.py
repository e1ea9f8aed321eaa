"""The detector that a verb's options ask for."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from sida.detector import Detector
    from sida.options import ModelOptions

__all__ = ["calibration_text", "certificates", "load", "require_one_model"]


def load(options: "ModelOptions") -> "Detector":
    """The detector of a command, whose process may keep the memory that passes free."""
    with _lasting():
        from sida.detector import Detector
        from sida.inference.malloc import keep_freed

        detector = Detector.from_options(options)
    if detector.device.type == "cpu":
        keep_freed()
    return detector


@contextmanager
def _lasting() -> Iterator[None]:
    """Exempt the objects that are made in the block from garbage collection.

    Imports and weights stay until the process ends; the collector would go through their half a
    million objects many times while they are made, and once more at the end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def require_one_model(model: str | None, random_weights: str | None) -> None:
    """Raise a usage error where both are given."""
    if random_weights is not None and model is not None:
        raise typer.BadParameter("--model and --random-weights exclude each other: give one")


def calibration_text(file: Path | None, max_false_positives: float | None) -> str | None:
    """The text of --calibration, which --max-false-positives needs."""
    if file is None:
        return None
    if max_false_positives is None:
        raise typer.BadParameter("--calibration needs --max-false-positives, which it is for")
    from sida.model.budget import read_calibration

    return read_calibration(file)


def certificates(file: Path | None, provenance: bool) -> str | None:
    """The certificates of --trust, which --provenance reads with."""
    if file is None:
        return None
    if not provenance:
        raise typer.BadParameter("--trust needs --provenance, which reads content credentials")
    from sida.provenance.declared.trust import read_trust

    return read_trust(file)
