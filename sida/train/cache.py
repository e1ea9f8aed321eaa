"""What frozen encoders make of pictures, on disk: computed once, not every epoch."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sida.errors import ConfigError, SidaError
from sida.files import write_whole
from sida.model import Sida
from sida.model.clip_sam import ClipSam
from sida.model.clip_windows import ClipWindows
from sida.model.inputs import Features, Inputs
from sida.train.config import TrainConfig

__all__ = ["FeatureCache"]

log = logging.getLogger(__name__)

VISION, MASK = "vision", "mask"
"""The two encoders; the second is asked only of pictures with a mask."""
FORM = 2
"""Of the files; another makes those of before unknown."""


class FeatureCache:
    """Features of frozen encoders, one file a picture and encoder.

    A file is named after the SHA-256 of the picture's pixels, and its folder after that of all
    else it depends on: weights, sizes, number type. Files appear whole, so several processes may
    share a folder and a kill breaks nothing; what cannot be read is made again. At the bound
    nothing more is added: of pictures that come round in turn, any that made room would be needed
    before the new ones. Features are made one picture at a time, so that they never depend on
    which other pictures were missing.

    Args:
        processes: that share this folder and write in it; each gets an equal part of what is left.

    Raises:
        ConfigError: the model has no encoders whose features could be kept.
    """

    def __init__(self, model: Sida, config: TrainConfig, processes: int = 1) -> None:
        encoder = model.encoder
        if config.cache is None or not isinstance(encoder, ClipSam | ClipWindows):
            raise ConfigError(
                "cache keeps what frozen CLIP and SAM encoders give, and this model has an encoder "
                "of another kind: leave cache out."
            )
        self.encoder = encoder
        self.root = config.cache / _identity(encoder, config)[:16]
        self.room = (config.cache_gb * 1e9 - _size(config.cache)) / processes

    @staticmethod
    def key(pixels: np.ndarray) -> str:
        """What a picture (height, width, 3) uint8 is known by."""
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()

    def read(self, keys: Sequence[str], masked: Sequence[bool]) -> Features | None:
        """Features of pictures, or None where any is missing.

        Args:
            masked: of which a mask is wanted.
        """
        vision: list[torch.Tensor] = []
        mask: list[torch.Tensor] = []
        for key, has_mask in zip(keys, masked, strict=True):
            for part in self._parts(has_mask):
                features = self._get(key, part)
                if features is None:
                    return None
                (vision if part == VISION else mask).append(features)
        return self._stacked(vision, mask)

    @torch.no_grad()
    def make(self, inputs: Inputs, keys: Sequence[str], masked: Sequence[bool]) -> Features:
        """Features of pictures; what is missing is computed and kept."""
        vision: list[torch.Tensor] = []
        mask: list[torch.Tensor] = []
        device = inputs.vision.pixels.device
        for number, key in enumerate(keys):
            for part in self._parts(masked[number]):
                features = self._get(key, part)
                if features is None:
                    features = self._compute(inputs, number, part)
                    self._put(key, part, features)
                (vision if part == VISION else mask).append(features.to(device))
        return self._stacked(vision, mask)

    def _stacked(self, vision: list[torch.Tensor], mask: list[torch.Tensor]) -> Features:
        return Features(torch.stack(vision), self._masks(mask, vision[0]))

    def _masks(self, mask: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor | None:
        if MASK not in self.encoder.cached:
            return None
        if mask:
            return torch.stack(mask)
        assert isinstance(self.encoder, ClipSam)
        sides = self.encoder.sam.config
        grid = sides.image_size // sides.patch_size
        return like.new_zeros(0, sides.output_channels, grid, grid)

    def _parts(self, has_mask: bool) -> list[str]:
        """What is kept of a picture, with a mask or without."""
        return [part for part in self.encoder.cached if part == VISION or has_mask]

    def _compute(self, inputs: Inputs, number: int, part: str) -> torch.Tensor:
        if part == VISION:
            return self.encoder.vision_features(inputs, number)
        assert isinstance(self.encoder, ClipSam)  # of others no features for masks are kept
        window = torch.tensor([number], device=inputs.vision.pixels.device)
        return self.encoder.embed(inputs, window, None)[0]

    def _path(self, key: str, part: str) -> Path:
        return self.root / key[:2] / f"{key}.{part}.safetensors"

    def _get(self, key: str, part: str) -> torch.Tensor | None:
        path = self._path(key, part)
        try:
            found: torch.Tensor = load_file(path)[part]
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError) as error:
            log.warning("%s is made again, since it cannot be read: %s", path, error)
            return None
        return found

    def _put(self, key: str, part: str, features: torch.Tensor) -> None:
        size = features.numel() * features.element_size()
        if size > self.room:
            return
        try:
            with write_whole(self._path(key, part)) as temporary:
                save_file({part: features.cpu().contiguous()}, temporary)
                self.room -= temporary.stat().st_size
        except (SidaError, SafetensorError) as error:
            log.warning("Nothing more is added to the cache: %s", error)
            self.room = 0


def _identity(encoder: ClipSam | ClipWindows, config: TrainConfig) -> str:
    """SHA-256 of all that features depend on, beside the picture."""
    first = encoder.clip
    parts = [first, encoder.sam if isinstance(encoder, ClipSam) else encoder.local]
    sizes = [first.config.to_dict()]
    if isinstance(encoder, ClipSam):
        sizes.append(encoder.sam.config.to_dict())
    else:
        windows = config.windows or encoder.max_windows
        sizes.append({"layers": (encoder.layers, encoder.patch_layers), "windows": windows})
    precision = [config.precision, config.frozen_precision]
    digest = hashlib.sha256(json.dumps([FORM, precision, sizes], default=str).encode())
    for part in parts:
        _add_weights(digest, part)
    return digest.hexdigest()


def _add_weights(digest: "hashlib._Hash", part: nn.Module) -> None:
    for name, tensor in part.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; those that others are just renaming do not count."""
    total = 0
    for path in folder.rglob("*.safetensors"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
