"""How a model is loaded, and what is detected in each image: options that travel as two values.

The command line, the service, Ray and evaluation hand these on as they are; defaults stand here
and nowhere else.
"""

from dataclasses import dataclass
from typing import Literal

from sida.assets import DEFAULT_MODEL
from sida.errors import ConfigError
from sida.image.read import MAX_PIXELS, Source

__all__ = ["BatchSize", "DetectOptions", "MaskFor", "ModelOptions", "Request", "require_share"]

BatchSize = int | Literal["auto"]
MaskFor = Literal["tampered", "all", "none"]


@dataclass(frozen=True)
class ModelOptions:
    """How a model is loaded and run; `Detector.load` and `Detector.from_options` take it.

    Attributes:
        model: `small`, `sida-7b`, …; a folder (ours or the published layout); or a hub name such
            as `saberzl/SIDA-7B`. Not read where there are `random_weights`.
        random_weights: a preset's name, or a JSON file of sizes, for an untrained model.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        dtype: the name of one, or `auto`: float32 on the CPU, bfloat16 elsewhere; the frozen
            encoder of `small` is bfloat16 on a CPU that has instructions for it, too.
        quantize: `int8`, `int4` or `fp8` for the layers of the language model; needs torchao.
        batch_size: images in one pass, and 12.5 megapixels for each of them; fewer where memory
            does not suffice. `auto` is 2 on the CPU; on CUDA what fits into free memory.
        fast: look at one window of each image beside the whole, not at several, with a
            model that has such windows (`small`).
        max_pixels: larger images are refused by their header.
        trust: certificates (PEM) of the issuers of content credentials that provenance calls
            trusted.
        calibration: text of a file that `sida calibrate` wrote, for budgets of false accusations
            in the place of the model's own.
    """

    model: str = DEFAULT_MODEL
    random_weights: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    batch_size: BatchSize = "auto"
    fast: bool = False
    max_pixels: int = MAX_PIXELS
    trust: str | None = None
    calibration: str | None = None


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """The parts of a verdict that are asked for.

    Attributes:
        masks: of tampered images, of all, or of none.
        explain: the model writes why.
        provenance: the verdict has what the file says of itself and what it shows; needs the
            extra `provenance`.
        evidence: the verdict says and can draw how parts of the image spoke for it.
        max_false_positives: the share of real photographs, above 0 and below 1, that may be called
            altered or generated; what the calibration cannot promise that of is inconclusive.
        stability: the image is judged again in each delivery of `sida.image.deliveries`.
    """

    masks: MaskFor = "tampered"
    explain: bool = False
    provenance: bool = False
    evidence: bool = False
    max_false_positives: float | None = None
    stability: bool = False

    def __post_init__(self) -> None:
        if self.max_false_positives is not None:
            require_share(self.max_false_positives)


def require_share(max_false_positives: float) -> float:
    """The budget itself. Raises ConfigError where it is not above 0 and below 1."""
    if not 0 < max_false_positives < 1:  # NaN is neither
        raise ConfigError(
            f"max_false_positives is {max_false_positives:g}, expected a share above 0 and below "
            "1, such as 0.05"
        )
    return max_false_positives


@dataclass(frozen=True)
class Request(DetectOptions):
    """An image with its options: `Request("photo.jpg", masks="all")`.

    Attributes:
        picture: path, bytes, Pillow image, or array (height, width, 3) uint8.
    """

    picture: Source

    @classmethod
    def of(cls, picture: Source, options: DetectOptions) -> "Request":
        """A request for one of many images that share their options."""
        return cls(picture, **vars(options))
