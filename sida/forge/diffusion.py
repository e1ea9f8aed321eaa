"""Generators of the library diffusers: text to picture, inpainting, and pretrained autoencoders."""

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sida.errors import CheckpointError, ConfigError, optional_package
from sida.forge.autoencoder import padded, to_pixels
from sida.forge.config import Autoencoder, Pipeline
from sida.image.arrays import Mask, Pixels

__all__ = ["DiffusionPainter", "PretrainedCodec", "TextToImage", "device_of"]


_ATTEMPTS = 4
"""Seeds tried where a pipeline's own safety checker blackens what comes of one."""
_MULTIPLE = 16
"""Sides are multiples of it: latents of a factor of 8, in patches of 2."""


def device_of(device: str) -> str:
    """The device for "auto", "cpu" or "cuda"."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


@contextmanager
def _without_their_warnings() -> Iterator[None]:
    """Silence warnings of diffusers: they concern its own parts, and no user can act on them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _diffusers() -> Any:
    with (
        optional_package("diffusers", "forge", "A diffusion pipeline"),
        _without_their_warnings(),
    ):
        import diffusers
        from transformers.utils import logging as transformers_logging
    diffusers.utils.logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    return diffusers


class _LoadedPipeline:
    """A pipeline on its device, called with the arguments that its class knows."""

    def __init__(self, config: Pipeline, classes: tuple[str, ...], device: str) -> None:
        self.name, self.config = config.name, config
        self._pipe = _load(config, classes).to(device_of(device))
        self._pipe.set_progress_bar_config(disable=True)
        self._parameters = inspect.signature(self._pipe.__call__).parameters

    def _run(self, seed: int, **arguments: Any) -> Pixels:
        """Picture (height, width, 3) uint8; the noise is drawn on the CPU, for all devices."""
        config = self.config
        arguments |= {
            "num_inference_steps": config.steps,
            "guidance_scale": config.guidance,
            "output_type": "np",
            **config.call,
        }
        if config.strength is not None:
            arguments["strength"] = config.strength
        unknown = set(config.call) - set(self._parameters)
        if unknown:
            raise ConfigError(
                f"{self.name} is a {type(self._pipe).__name__}, which takes no "
                f"{', '.join(sorted(unknown))}: it takes {', '.join(self._parameters)}"
            )
        call_arguments = {key: value for key, value in arguments.items() if key in self._parameters}
        # A generator on the CPU gives the same noise whatever device the pipeline runs on.
        for attempt in range(_ATTEMPTS):
            call_arguments["generator"] = torch.Generator("cpu").manual_seed(seed + attempt)
            with _without_their_warnings():
                result = self._pipe(**call_arguments)
            if not any(getattr(result, "nsfw_content_detected", None) or ()):
                break
        # In half precision some pipelines give NaN, which is no level.
        image = np.nan_to_num(np.asarray(result.images[0], np.float32))
        pixels: Pixels = np.rint(image.clip(0, 1) * 255).astype(np.uint8)
        return pixels

    def _working_size(self, height: int, width: int) -> tuple[int, int]:
        """Rounded up to multiples; with a `side`, scaled so that the shorter one is that long."""
        scale = 1.0 if self.config.side is None else self.config.side / min(height, width)
        sides = (-(-round(length * scale) // _MULTIPLE) * _MULTIPLE for length in (height, width))
        return next(sides), next(sides)


def _load(config: Pipeline, classes: tuple[str, ...]) -> Any:
    """The pipeline as the first of the classes that can load it."""
    diffusers = _diffusers()
    dtype = getattr(torch, config.dtype)
    for last, name in enumerate(classes, 1 - len(classes)):
        try:
            with _without_their_warnings():
                return getattr(diffusers, name).from_pretrained(
                    config.name, torch_dtype=dtype, **config.load
                )
        except (OSError, ValueError, TypeError, AttributeError) as error:
            if last == 0 or isinstance(error, OSError):
                raise CheckpointError(
                    f"the pipeline {config.name!r} cannot be loaded "
                    f"({' '.join(str(error).split())[:300]}): give a folder that diffusers has "
                    "written, or a hub name and a network"
                ) from error
    raise AssertionError("classes is empty")


class TextToImage(_LoadedPipeline):
    """Pictures to texts, by any text-to-image pipeline."""

    def __init__(self, config: Pipeline, device: str = "auto") -> None:
        super().__init__(config, ("DiffusionPipeline",), device)

    def __call__(self, prompt: str, height: int, width: int, seed: int) -> Pixels:
        """A picture that is at least height x width, at the pipeline's own scale."""
        tall, wide = self._working_size(height, width)
        return self._run(seed, prompt=prompt, height=tall, width=wide)


class DiffusionPainter(_LoadedPipeline):
    """Paints a region by any inpainting pipeline; see `sida.forge.tamper.Painter`."""

    def __init__(self, config: Pipeline, device: str = "auto") -> None:
        super().__init__(config, ("AutoPipelineForInpainting", "DiffusionPipeline"), device)

    def __call__(self, pixels: Pixels, mask: Mask, prompt: str, seed: int) -> Pixels:
        """(height, width, 3): the whole picture as the pipeline gives it, at its size again."""
        height, width = mask.shape
        tall, wide = self._working_size(height, width)
        image, levels = Image.fromarray(pixels), Image.fromarray(mask.astype(np.uint8) * 255)
        if self.config.side is None:
            # Padded instead of resized: resampling would leave traces in every pixel.
            margin = ((0, tall - height), (0, wide - width))
            image = Image.fromarray(np.pad(pixels, (*margin, (0, 0)), mode="edge"))
            levels = Image.fromarray(np.pad(np.array(levels), margin))
        else:
            image = image.resize((wide, tall), Image.Resampling.LANCZOS)
            levels = levels.resize((wide, tall), Image.Resampling.NEAREST)
        painted = self._run(
            seed, prompt=prompt, image=image, mask_image=levels, height=tall, width=wide
        )
        if self.config.side is None:
            return np.ascontiguousarray(painted[:height, :width])
        return np.array(Image.fromarray(painted).resize((width, height), Image.Resampling.LANCZOS))


class PretrainedCodec:
    """An `AutoencoderKL` of diffusers; see `sida.forge.tamper.Codec`."""

    largest_side: int | None = None
    takes_noise = True

    def __init__(self, config: Autoencoder, device: str = "auto") -> None:
        assert config.pretrained is not None
        pipeline = Pipeline(name=config.pretrained)
        self.name, self._device = config.name, device_of(device)
        self._vae = _load(pipeline, ("AutoencoderKL",)).to(self._device).eval()
        self.factor = 2 ** (len(self._vae.config.block_out_channels) - 1)

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> NDArray[np.float32]:
        """(height, width, 3) uint8 to (channels, height / factor, width / factor): the mean."""
        x = torch.from_numpy(padded(pixels, self.factor)).to(self._device)
        # The mode instead of a sample, so that the same picture gives the same latents.
        output = self._vae.encode(x.permute(2, 0, 1)[None].float() / 127.5 - 1)
        return np.asarray(output.latent_dist.mode()[0].cpu().numpy(), np.float32)

    @torch.inference_mode()
    def decode(self, latents: NDArray[np.float32], height: int, width: int) -> Pixels:
        """Latents to (height, width, 3) uint8."""
        x = torch.from_numpy(latents).to(self._device)
        return to_pixels(self._vae.decode(x[None]).sample[0])[:height, :width]
