"""A detector with the embedded architecture, a fraction of its size, and random weights."""

import torch

from sida.assets import EMBEDDED
from sida.detector import Detector
from sida.model import Sida, SidaConfig, SidaProcessor
from sida.model.calibration import Calibration
from sida.model.checkpoint import Loaded
from sida.model.presets import tiny
from sida.model.tokenizer import Tokenizer


def small_config() -> SidaConfig:
    """`tiny` with few channels, and windows that make several of a small picture."""
    config = tiny()
    vision = config.vision
    vision.window, vision.overlap, vision.stem = 64, 16, 4
    vision.widths, vision.depths = (8, 8, 16), (1, 1, 1)
    config.mask.output_channels = 8
    return config


def small_detector(batch_size: int = 3, calibration: Calibration | None = None) -> Detector:
    """The same weights at every call; they say different things of different pictures."""
    torch.manual_seed(0)
    config = small_config()
    model = Sida(config)
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    processor = SidaProcessor(config, Tokenizer.load(EMBEDDED))
    loaded = Loaded(model, processor, calibration or Calibration(), "small", "1", "0" * 64)
    return Detector(loaded, batch_size)
