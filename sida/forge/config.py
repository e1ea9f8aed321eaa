"""`ForgeConfig`: what is made, how often, and with what; read from YAML and from `key=value`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sida.settings import read_settings

__all__ = [
    "Autoencoder",
    "ForgeConfig",
    "Language",
    "OperationName",
    "Pipeline",
    "RegionMethod",
    "Segmenter",
    "Storage",
    "Synthesis",
    "read_config",
]

Weight = Annotated[float, Field(ge=0)]
RegionMethod = Literal["object", "foreground", "superpixels", "shape", "text_box", "segmenter"]
OperationName = Literal[
    "splice", "splice_alpha", "splice_poisson", "splice_moved", "copy_move",
    "remove_telea", "remove_ns", "remove_patches",
    "regenerate_paste", "regenerate_whole", "regenerate_filled", "inpaint_paste", "inpaint_whole",
    "blur", "sharpen", "denoise", "noise", "recolour", "relight", "recompress",
    "replace_text", "sticker",
]  # fmt: skip
Synthesis = Literal["reconstruct", "text_to_image"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Storage(_Section):
    """How pictures are cut, post-processed and stored; drawn once for all classes of a unit."""

    sides: tuple[int, int] = Field((192, 384), description="shortest and longest side, pixels")
    aspect: float = Field(1.5, ge=1, description="largest ratio of the sides")
    post_process: float = Field(0.5, ge=0, le=1, description="share that is re-compressed, resized")
    png: float = Field(0.1, ge=0, le=1, description="share stored as PNG; all of it post-processed")
    webp: float = Field(0.1, ge=0, le=1, description="share stored as WebP")
    quality: tuple[int, int] = Field((75, 95), description="of JPEG and WebP files")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name, low, lowest, highest in (
            ("sides", self.sides, 64, 4096),
            ("quality", self.quality, 1, 100),
        ):
            if not lowest <= low[0] <= low[1] <= highest:
                raise ValueError(
                    f"{name} is {list(low)}, expected two rising numbers of {lowest} to {highest}"
                )
        return self


class Autoencoder(_Section):
    """Autoencoder: a small one that is trained here, or `pretrained`, one of diffusers."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="what the manifest calls it")
    upsampling: Literal["nearest", "transposed", "shuffle"] = Field(
        "nearest", description="how its decoder enlarges"
    )
    factor: Literal[4, 8] = Field(4, description="sides of the picture over sides of the latents")
    latent: int = Field(8, ge=1, le=64, description="channels of the latents")
    width: int = Field(24, ge=8, le=256, description="channels at the finest level")
    steps: int = Field(1500, ge=1, description="steps of its training")
    pretrained: str | None = Field(
        None, description="folder or hub name of an AutoencoderKL; then nothing is trained"
    )


class Pipeline(_Section):
    """A pipeline of diffusers and how it is called."""

    name: str = Field(description="folder or hub name")
    weight: Weight = 1.0
    steps: int = Field(30, ge=1, description="denoising steps")
    guidance: float = Field(7.5, ge=0)
    strength: float | None = Field(
        None, gt=0, le=1, description="strength of inpainting, if not the default"
    )
    side: int | None = Field(
        None, ge=64, description="shorter side it works at, if not that of the pictures"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    load: Mapping[str, JsonValue] = Field({}, description="further arguments of from_pretrained")
    call: Mapping[str, JsonValue] = Field({}, description="further arguments of each call")


class Segmenter(_Section):
    """A promptable segmenter (SAM of transformers), prompted with a detector's boxes."""

    sam: str = Field("facebook/sam-vit-base", description="folder or hub name of a SamModel")
    detector: str | None = Field(
        None, description="object detector or, to find a given word, zero-shot detector"
    )
    threshold: float = Field(0.3, ge=0, le=1, description="lowest score of a detection")


class Language(_Section):
    """A language model behind an OpenAI-compatible endpoint."""

    url: str = Field(description="such as http://localhost:8000/v1")
    model: str
    key_variable: str = Field("OPENAI_API_KEY", description="environment variable with the key")
    timeout: float = Field(60, gt=0, description="seconds")
    attempts: int = Field(3, ge=1)


class ForgeConfig(_Section):
    """Everything that decides a forged set; unknown keys are refused."""

    photographs: Path | None = Field(
        None, description="folder of photographs, or a labelled set, whose real pictures are used"
    )
    objects: Path | None = Field(
        None, description="their object masks: a folder, or annotations in COCO's form"
    )
    captions: Path | None = Field(
        None, description="JSON of file name and caption, COCO's form, or text with one a line"
    )
    count: int = Field(3000, ge=1, description="pictures in total, a third of them of each class")
    seed: int = Field(0, ge=0)
    workers: int = Field(0, ge=0, description="processes; 0 is one per core")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    storage: Storage = Storage()
    area: tuple[float, float] = Field((0.01, 0.35), description="smallest and largest region")
    regions: Mapping[RegionMethod, Weight] = {"object": 1, "superpixels": 1, "shape": 1}
    tampering: Mapping[OperationName, Weight] = Field(
        {"splice": 1, "copy_move": 1, "remove_telea": 1}, description="operations, how often each"
    )
    synthesis: Mapping[Synthesis, Weight] = {"reconstruct": 1}
    autoencoders: tuple[Autoencoder, ...] = (Autoencoder(name="nearest"),)
    match_detail: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of autoencoder outputs whose fine detail is brought to the strength of "
        "the photograph's, so that blur does not give them away",
    )
    weights: Path | None = Field(
        None, description="where trained autoencoders are kept; by default below --out"
    )
    codecs: Path | None = Field(
        None,
        description="folder of further autoencoders and decoders, which regenerate regions alone",
    )
    inpainting: tuple[Pipeline, ...] = ()
    text_to_image: tuple[Pipeline, ...] = ()
    segmenter: Segmenter | None = None
    language: Language | None = Field(
        None, description="chooses the object to replace and its replacement from the caption"
    )

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for option, weights in (
            ("tampering", self.tampering),
            ("synthesis", self.synthesis),
            ("regions", self.regions),
        ):
            if not sum(weights.values()):
                raise ValueError(f"{option} has no weight above 0, expected one at least")
        needs = {
            "autoencoders": (
                *("regenerate_paste", "regenerate_whole", "regenerate_filled"),
                "reconstruct",
            ),
            "inpainting": ("inpaint_paste", "inpaint_whole"),
            "text_to_image": ("text_to_image",),
            "segmenter": ("segmenter",),
        }
        active = {
            name
            for weights in (self.tampering, self.synthesis, self.regions)
            for name, weight in weights.items()
            if weight
        }
        for key, users in needs.items():
            if (used := active.intersection(users)) and not getattr(self, key):
                raise ValueError(f"{sorted(used)[0]} needs {key}, which is empty: add one")
        if not 0 < self.area[0] <= self.area[1] < 1:
            raise ValueError(f"area is {list(self.area)}, expected two rising fractions")
        return self


def read_config(name: str | Path, overrides: Sequence[str] = ()) -> ForgeConfig:
    """A configuration from a file or a packaged name (`small`), changed by `key=value` strings.

    Raises:
        ConfigError: no such configuration, not YAML, or a key or value that does not fit.
    """
    return read_settings(ForgeConfig, name, overrides, "forge")
