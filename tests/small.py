"""Little things to try on: a detector with the embedded architecture, and labelled pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sida.assets import TOKENIZER
from sida.detector import Detector
from sida.model import Sida, SidaConfig, SidaProcessor
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.model.checkpoint import Loaded
from sida.model.presets import tiny
from sida.model.tokenizer import Tokenizer
from sida.options import ModelOptions
from sida.verdict import LABELS


def small_config() -> SidaConfig:
    """`tiny` with few channels, and windows that make several of a small picture."""
    config = tiny()
    vision = config.vision
    vision.window, vision.overlap, vision.stem = 64, 16, 4
    vision.widths, vision.depths = (8, 8, 16), (1, 1, 1)
    config.mask.output_channels = 8
    return config


def small_detector(
    batch_size: int = 3,
    calibration: Calibration | None = None,
    budgets: BudgetCalibration | None = None,
    **options: Any,
) -> Detector:
    """The same weights at every call; they say different things of different pictures."""
    torch.manual_seed(0)
    config = small_config()
    model = Sida(config)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    processor = SidaProcessor(config, Tokenizer.load(TOKENIZER))
    calibration = calibration or Calibration()
    loaded = Loaded(model, processor, calibration, "small", "1", "0" * 64, budgets)
    return Detector(loaded, ModelOptions(batch_size=batch_size, **options))


def labelled_folder(root: Path, count: int, size: tuple[int, int] = (48, 56)) -> Path:
    """Small pictures of noise, `count` a class; tampered ones have a flat patch, and its mask."""
    rng = np.random.default_rng(0)
    (root / "masks").mkdir(parents=True)
    for label in LABELS:
        (root / label).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            if label == "tampered":
                pixels[10:30, 20:40] = 128
                mask = np.zeros(size, np.uint8)
                mask[10:30, 20:40] = 255
                Image.fromarray(mask).save(root / f"masks/{label}{i}_mask.png")
            Image.fromarray(pixels).save(root / label / f"{label}{i}.png")
    return root
