"""Features of frozen encoders on disk: computed once a picture, not every epoch."""

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
"""The two encoders; the second runs only on pictures with a mask."""
FORMAT = 2
"""Version of the files: another number is another folder, so that earlier files are not read."""


class FeatureCache:
    """Features of frozen encoders, one file a picture and encoder.

    A file is named after the SHA-256 of the picture's pixels, and its folder after that of all
    else it depends on: weights, sizes, dtype. Files appear whole, so several processes may
    share a folder and a kill breaks nothing; a file that cannot be read is made again. At its
    bound the cache stops growing and evicts nothing: pictures come round in turn, so that any
    evicted one would be needed before the new ones.

    Args:
        processes: that share this folder and write in it; each gets an equal share of the room.

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
        # Counted once, here: processes do not tell each other what they write, so each has a share.
        self.free_bytes = (config.cache_gb * 1e9 - _size(config.cache)) / processes

    @staticmethod
    def key(pixels: np.ndarray) -> str:
        """SHA-256 of a picture (height, width, 3) uint8."""
        # With the shape, since the bytes of 2 x 8 pixels may be those of 4 x 4.
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(np.ascontiguousarray(pixels).data)
        return digest.hexdigest()

    def read(self, keys: Sequence[str], masked: Sequence[bool]) -> Features | None:
        """Features of pictures, or None where any is missing.

        Args:
            masked: True for pictures that need the features of masks, too.
        """
        vision: list[torch.Tensor] = []
        mask: list[torch.Tensor] = []
        for key, has_mask in zip(keys, masked, strict=True):
            for part in self._parts(has_mask):
                features = self._get(key, part)
                if features is None:
                    return None
                (vision if part == VISION else mask).append(features)
        return self._stack(vision, mask)

    @torch.no_grad()
    def make(self, inputs: Inputs, keys: Sequence[str], masked: Sequence[bool]) -> Features:
        """Features of pictures; those missing are computed and kept."""
        vision: list[torch.Tensor] = []
        mask: list[torch.Tensor] = []
        device = inputs.vision.pixels.device
        # One picture at a time: in a batch, rounding depends on the other pictures of it, and so
        # features would depend on which of them the cache lacked.
        for number, key in enumerate(keys):
            for part in self._parts(masked[number]):
                features = self._get(key, part)
                if features is None:
                    features = self._compute(inputs, number, part)
                    self._put(key, part, features)
                (vision if part == VISION else mask).append(features.to(device))
        return self._stack(vision, mask)

    def _stack(self, vision: list[torch.Tensor], mask: list[torch.Tensor]) -> Features:
        return Features(torch.stack(vision), self._stack_masks(mask, vision[0]))

    def _stack_masks(self, mask: list[torch.Tensor], like: torch.Tensor) -> torch.Tensor | None:
        if MASK not in self.encoder.cached:
            return None
        if mask:
            return torch.stack(mask)
        assert isinstance(self.encoder, ClipSam)
        sides = self.encoder.sam.config
        grid = sides.image_size // sides.patch_size
        return like.new_zeros(0, sides.output_channels, grid, grid)

    def _parts(self, has_mask: bool) -> list[str]:
        """Names of the features that are kept of a picture, with a mask or without."""
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
            features: torch.Tensor = load_file(path)[part]
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError) as error:
            log.warning("%s is made again, since it cannot be read: %s", path, error)
            return None
        return features

    def _put(self, key: str, part: str, features: torch.Tensor) -> None:
        size = features.numel() * features.element_size()
        if size > self.free_bytes:
            return
        try:
            with write_whole(self._path(key, part)) as temporary:
                save_file({part: features.cpu().contiguous()}, temporary)
                self.free_bytes -= temporary.stat().st_size
        except (SidaError, SafetensorError) as error:
            log.warning("Nothing more is added to the cache: %s", error)
            self.free_bytes = 0


def _identity(encoder: ClipSam | ClipWindows, config: TrainConfig) -> str:
    """SHA-256 of all that features depend on, beside the picture."""
    clip = encoder.clip
    parts = [clip]
    if isinstance(encoder, ClipSam):
        parts.append(encoder.sam)
    else:
        parts += [encoder.local, encoder.whole_additions, encoder.window_additions]
    sizes = [clip.config.to_dict()]
    if isinstance(encoder, ClipSam):
        sizes.append(encoder.sam.config.to_dict())
    else:
        windows = config.windows or encoder.max_windows
        sizes.append({"layers": (encoder.layers, encoder.patch_layers), "windows": windows})
    precision = [config.precision, config.frozen_precision]
    digest = hashlib.sha256(json.dumps([FORMAT, precision, sizes], default=str).encode())
    for part in parts:
        _add_weights(digest, part)
    return digest.hexdigest()


def _add_weights(digest: "hashlib._Hash", part: nn.Module) -> None:
    for name, tensor in part.state_dict().items():
        digest.update(name.encode())
        # As bytes: numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def _size(folder: Path) -> int:
    """Bytes of all files in a folder; those that other processes are just renaming do not count."""
    total = 0
    for path in folder.rglob("*.safetensors"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
