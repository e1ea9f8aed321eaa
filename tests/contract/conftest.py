"""The command line against a detector without a network, which judges by the file's name."""

import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sida.errors import CheckpointError, ConfigError, PictureError
from sida.image.read import read_picture
from sida.model.budget import BudgetCalibration
from sida.options import MaskFor, ModelOptions, Request
from sida.verdict import (
    LABELS,
    Budget,
    Explanation,
    Failure,
    Localization,
    ModelInfo,
    Probabilities,
    Verdict,
    regions_from_mask,
)
from tests.deliveries import stability


@dataclass
class FakeConversation:
    """Repeats what it is asked, word by word; `pause` comes before each."""

    verdict: Verdict
    pause: Callable[[], None]
    complete: bool = True

    def ask(self, text: str) -> Iterator[str]:
        for word in ["You", " asked:", *(f" {word}" for word in text.split())]:
            self.pause()
            yield word
        self.complete = "long" not in text


@dataclass
class FakeDetector:
    """Says what the file's name says, `synthetic` or `tampered`, else real; notes its loading."""

    weighs_windows = False
    device = types.SimpleNamespace(type="cpu")
    loaded: list[ModelOptions] = field(default_factory=list)
    before: Callable[[Request], None] = lambda request: None
    options: ModelOptions = ModelOptions()
    calibration: BudgetCalibration | None = None
    model: ModelInfo = field(
        default_factory=lambda: ModelInfo(name="fake", version="0", digest="none")
    )

    def from_options(self, options: ModelOptions) -> "FakeDetector":
        if options.model == "absent":
            raise CheckpointError("there is no model 'absent': see `sida models`")
        self.loaded.append(options)
        self.calibration = None
        if options.calibration is not None:
            self.calibration = BudgetCalibration.parse(options.calibration, "it")
            self.calibration.require(self.model.digest)
        return self

    def budget(self, max_false_positives: float) -> Budget:
        if self.calibration is None:
            raise ConfigError("fake has no calibration")
        return self.calibration.budget(max_false_positives)

    def detect_many(self, pictures: Iterable[Any], masks: MaskFor) -> Iterator[Verdict | Failure]:
        return self.run(Request(picture, masks=masks) for picture in pictures)

    def run(self, requests: Iterable[Request]) -> Iterator[Verdict | Failure]:
        for request in requests:
            self.before(request)
            try:
                picture = read_picture(request.picture)
            except PictureError as error:
                yield Failure(image=str(request.picture), error=error.code, message=str(error))
                continue
            name = str(picture.name)
            label = LABELS[("synthetic" in name) + 2 * ("tampered" in name)]
            yield self._verdict(request, picture, label)

    def chat(self, picture: Any) -> FakeConversation:
        (result,) = self.run([Request(picture)])
        if isinstance(result, Failure):
            raise PictureError(result.message, result.error)
        return FakeConversation(result, lambda: self.before(Request("a word")))

    def _verdict(self, request: Request, picture: Any, label: str) -> Verdict:
        shares = {item: 0.9 if item == label else 0.05 for item in LABELS}
        share = request.max_false_positives
        budget = None if share is None else self.budget(share)
        unsure = False
        if budget is not None:
            label, unsure = budget.decide([*shares.values()], unsure)
        has_mask = request.masks == "all" or (request.masks == label == "tampered")
        mask = np.zeros(picture.pixels.shape[:2], bool)
        mask[: picture.height // 2, : picture.width // 2] = True
        verdict = Verdict(
            image=picture.name,
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            label=label,
            probabilities=Probabilities(**shares),
            inconclusive=unsure,
            budget=budget,
            localization=Localization(
                area=float(mask.mean()),
                threshold=0.5,
                regions=regions_from_mask(mask, mask.astype(np.float32)),
            )
            if has_mask
            else None,
            explanation=Explanation(text="Because I say so.", complete=True)
            if request.explain
            else None,
            stability=stability(label, jpeg_50="inconclusive") if request.stability else None,
            model=self.model,
            seconds=0.0,
        )
        return verdict.with_arrays(mask=mask if has_mask else None, picture=request.picture)


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    fake = FakeDetector()
    module = types.ModuleType("sida.detector")
    module.Detector = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sida.detector", module)
    return fake


@pytest.fixture
def sida(detector: FakeDetector) -> Callable[..., Result]:
    """Run the command line in this process: `sida("detect", "a.jpg")`."""
    from sida.cli import app

    def run(*arguments: object, **how: Any) -> Result:
        return CliRunner().invoke(app, [str(item) for item in arguments], **how)

    return run


@pytest.fixture
def pictures(elsewhere: Path) -> Path:
    """The current folder, with a picture of each class, and a broken one below."""
    for name in ("real.jpg", "synthetic.png", "tampered.jpg"):
        Image.new("RGB", (8, 6), (90, 120, 150)).save(elsewhere / name)
    (elsewhere / "below").mkdir()
    (elsewhere / "below" / "broken.jpg").write_text("no picture")
    return elsewhere
