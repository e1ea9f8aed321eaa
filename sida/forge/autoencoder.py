"""Small autoencoders: they leave traces like those of large generators, and are trained here.

Three ways of enlarging, each with its own traces: nearest neighbour and a convolution (as in latent
diffusion), transposed convolution, and pixel shuffle. `Codec`s turn pictures into latents and back;
one may also be an `AutoencoderKL` of diffusers.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn
from torch.nn import functional

from sida.errors import CheckpointError, DataError, PictureError
from sida.files import write_bytes, write_text
from sida.forge.config import Autoencoder
from sida.forge.photographs import Photograph
from sida.forge.tamper import Latents
from sida.image.arrays import Pixels

__all__ = [
    "EncoderDecoder",
    "Network",
    "SmallCodec",
    "is_trained",
    "load_codec",
    "train_autoencoder",
    "usable",
]

logger = logging.getLogger(__name__)


_SIZES = ("upsampling", "factor", "latent", "width")
"""Arguments of `Network` and keys of `config.json`."""
CROP = 64
"""Sides of training crops, pixels."""
BATCH = 12
MOST_PHOTOGRAPHS = 400
"""Photographs that one training sees; of more, as many are drawn."""
WINDOW = 384
"""Of a large photograph one window of this size is kept in memory."""


class _Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.second(functional.silu(self.first(functional.silu(x))))
        return x + change


def _enlarge(upsampling: str, width_in: int, width_out: int) -> nn.Module:
    """Twice the sides."""
    if upsampling == "transposed":
        return nn.ConvTranspose2d(width_in, width_out, 4, stride=2, padding=1)
    if upsampling == "shuffle":
        wide = nn.Conv2d(width_in, 4 * width_out, 3, padding=1)
        return nn.Sequential(wide, nn.PixelShuffle(2))
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width_in, width_out, 3, padding=1))


class EncoderDecoder(nn.Module):
    """A network of two halves, pictures to latents and back, that `SmallCodec` runs."""

    encoder: nn.Module
    decoder: nn.Module


class Network(EncoderDecoder):
    """Convolutions down to latents and up again; no normalisation, so any size works alike."""

    def __init__(self, upsampling: str, factor: int, latent: int, width: int) -> None:
        super().__init__()
        halvings = factor.bit_length() - 1
        widths = [width * min(2**i, 4) for i in range(halvings)]
        down: list[nn.Module] = []
        for before, after in zip([3, *widths], widths, strict=False):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), _Residual(after)]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], latent, 1))
        up: list[nn.Module] = [nn.Conv2d(latent, widths[-1], 3, padding=1), _Residual(widths[-1])]
        for before, after in zip(widths[::-1], [*widths[-2::-1], width // 2], strict=True):
            up += [_enlarge(upsampling, before, after), nn.SiLU()]
            up += [_Residual(after)] if after >= width else []
        self.decoder = nn.Sequential(*up, nn.Conv2d(width // 2, 3, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) in -1 to 1, sides a multiple of the factor; and back."""
        decoded: torch.Tensor = self.decoder(self.encoder(x))
        return decoded


class SmallCodec:
    """A trained network of levels in -1 to 1; see `sida.forge.tamper.Codec`.

    Args:
        factor: the sides of a picture over those of its latents.
        largest_side: of a picture for which it is quick enough; any picture can be given.
    """

    takes_noise = True

    def __init__(
        self,
        name: str,
        network: EncoderDecoder,
        factor: int,
        device: str = "cpu",
        largest_side: int | None = None,
    ) -> None:
        self.name, self.factor, self._device = name, factor, device
        self.largest_side = largest_side
        self._network = network.to(device).eval()

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Latents:
        """(height, width, 3) uint8 to (latent, ceil(height / factor), ceil(width / factor))."""
        x = torch.from_numpy(padded(pixels, self.factor)).to(self._device)
        latents = self._network.encoder(x.permute(2, 0, 1)[None].float() / 127.5 - 1)
        return np.asarray(latents[0].cpu().numpy(), np.float32)

    @torch.inference_mode()
    def decode(self, latents: Latents, height: int, width: int) -> Pixels:
        """Latents to (height, width, 3) uint8."""
        x = torch.from_numpy(latents).to(self._device)
        return to_pixels(self._network.decoder(x[None])[0])[:height, :width]


def padded(pixels: Pixels, multiple: int) -> Pixels:
    """Continued at the right and the bottom until the sides are multiples."""
    height, width = pixels.shape[:2]
    margin = ((0, -height % multiple), (0, -width % multiple), (0, 0))
    return np.ascontiguousarray(np.pad(pixels, margin, mode="edge"))


def to_pixels(x: torch.Tensor) -> Pixels:
    """(3, height, width) in -1 to 1 to (height, width, 3) uint8."""
    levels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())


def is_trained(folder: Path) -> bool:
    """True if the folder holds a complete autoencoder; `config.json` is written last."""
    return (folder / "config.json").is_file() and (folder / "model.safetensors").is_file()


@contextmanager
def usable(name: str, remedy: str) -> Iterator[None]:
    """Turn what goes wrong with a codec's files into a CheckpointError that says what to do."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{name} cannot be used: {reason}: {remedy}") from error


def load_codec(config: Autoencoder | None, folder: Path, device: str = "cpu") -> SmallCodec:
    """The trained autoencoder of a folder; without a configuration, of any sizes.

    Raises CheckpointError where it is missing, broken, or of other sizes than the configuration's.
    """
    if not is_trained(folder):
        raise CheckpointError(
            f"there is no trained autoencoder in {str(folder)!r}: train it with "
            "`sida forge-autoencoder`"
        )
    with usable(
        f"the autoencoder in {str(folder)!r}", "remove the folder to have it trained again"
    ):
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        stored = {key: stored[key] for key in _SIZES}
        if config is not None and stored != (sizes := _sizes(config)):
            raise ValueError(f"it has other sizes ({stored}) than the configuration ({sizes})")
        network = Network(**stored)
        network.load_state_dict(load_file(folder / "model.safetensors"))
    name = folder.name if config is None else config.name
    return SmallCodec(name, network, stored["factor"], device)


def _sizes(config: Autoencoder) -> dict[str, Any]:
    return {key: getattr(config, key) for key in _SIZES}


def train_autoencoder(
    config: Autoencoder,
    photographs: Sequence[Photograph],
    folder: Path,
    seed: int = 0,
    device: str = "cpu",
) -> float:
    """Train one autoencoder on photographs and write it; the same seed gives the same weights.

    The loss is the mean absolute difference, of levels and of their steps to the right and down,
    so that fine detail counts. Runs in one thread: more of them add up in another order.

    Args:
        folder: where `model.safetensors` and, last, `config.json` are written.

    Returns:
        The peak signal-to-noise ratio of the last steps, in decibels.

    Raises:
        DataError: no photograph is readable and at least `CROP` pixels wide and high.
    """
    # The name is part of the seed, so autoencoders of one run do not share initial weights.
    rng = np.random.default_rng(
        [seed, int(hashlib.sha256(config.name.encode()).hexdigest()[:8], 16)]
    )
    # The generator is drawn from in this order: windows, initial weights, crops.
    windows = _windows(photographs, rng)
    torch.manual_seed(int(rng.integers(2**31)))
    network = Network(**_sizes(config)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=config.steps)
    errors = []
    for step, crops in zip(range(config.steps), _batches(windows, rng), strict=False):
        x = torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = network(x)
        loss = functional.l1_loss(decoded, x) + _step_loss(decoded, x)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        # Levels span 2 here (-1 to 1): a quarter is the squared error of a span of 1.
        errors.append(float(functional.mse_loss(decoded.detach(), x)) / 4)
        if (step + 1) % 100 == 0:
            logger.info("%s: step %d, %.1f dB", config.name, step + 1, _decibels(errors[-100:]))
    psnr = round(_decibels(errors[-50:]), 2)
    # The configuration comes last: it marks the folder as complete.
    write_bytes(folder / "model.safetensors", save(network.cpu().state_dict()))
    about = {**_sizes(config), "steps": config.steps, "seed": seed, "psnr": psnr}
    write_text(folder / "config.json", json.dumps(about, indent=2) + "\n")
    return psnr


def _step_loss(decoded: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return sum(
        (functional.l1_loss(decoded.diff(dim=dim), x.diff(dim=dim)) for dim in (2, 3)),
        start=torch.zeros((), device=x.device),
    )


def _decibels(errors: Sequence[float]) -> float:
    """PSNR of mean squared errors of a range of 1."""
    return float(-10 * np.log10(np.mean(errors) + 1e-12))


def _windows(photographs: Sequence[Photograph], rng: np.random.Generator) -> list[Pixels]:
    """Windows of as many photographs as are used."""
    windows: list[Pixels] = []
    for index in rng.permutation(len(photographs)):
        try:
            pixels = photographs[index].read().pixels
        except PictureError as error:
            logger.warning("left out of training: %s", error)
            continue
        if min(pixels.shape[:2]) >= CROP:
            # A window stays in memory instead of the photograph: 400 large ones take gigabytes.
            windows.append(_cut(pixels, WINDOW, rng))
        if len(windows) == MOST_PHOTOGRAPHS:
            break
    if not windows:
        raise DataError(
            f"of {len(photographs)} photographs none is readable and at least {CROP} pixels wide "
            "and high: give others to train the autoencoders on"
        )
    return windows


def _cut(pixels: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    top, left = (int(rng.integers(max(1, length - side + 1))) for length in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])


def _batches(windows: Sequence[Pixels], rng: np.random.Generator) -> Iterator[Pixels]:
    """(BATCH, CROP, CROP, 3) without end, mirrored half of the time."""
    while True:
        indices = rng.integers(len(windows), size=BATCH)
        crops = np.stack([_cut(windows[index], CROP, rng) for index in indices])
        yield crops[:, :, ::-1].copy() if rng.random() < 0.5 else crops
