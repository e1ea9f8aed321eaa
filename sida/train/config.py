"""`TrainConfig`: one run, read from YAML and from `key=value` on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sida.settings import read_settings

__all__ = ["TrainConfig", "read_config"]


CACHED_PARTS = (
    *("encoder.clip.", "encoder.local.", "encoder.sam."),
    *("encoder.whole_additions.", "encoder.window_additions."),
)
"""Beginnings of the names of parameters behind the features that a cache keeps."""


class LossWeights(BaseModel):
    """How much each loss counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: float = Field(1.0, ge=0, description="cross-entropy of the class")
    mask_bce: float = Field(1.0, ge=0, description="binary cross-entropy of masks")
    mask_dice: float = Field(1.0, ge=0, description="Dice loss of masks")
    text: float = Field(1.0, ge=0, description="next-token cross-entropy of answers")
    image_tokens: float = Field(
        0.0,
        ge=0,
        description="cross-entropy of the class from the image tokens alone: by the evidence head "
        "of an encoder that has one, else from the mean token through a head that is dropped "
        "afterwards, which teaches an encoder trained from scratch",
    )
    altered: float = Field(
        0.0,
        ge=0,
        description="loss of the maps of altered positions, for an encoder that has them; with it "
        "or `generated` only the maps are trained, and all other loss weights must be 0",
    )
    generated: float = Field(0.0, ge=0, description="cross-entropy of generated patches")
    synthetic: float = Field(
        0.0,
        ge=0,
        description="cross-entropy of synthetic pictures against photographs, by the evidence head "
        "from whole pictures; all other loss weights must be 0",
    )

    @property
    def local(self) -> bool:
        """True where the maps of local evidence are trained."""
        return bool(self.altered or self.generated)

    @model_validator(mode="after")
    def _one_stage(self) -> Self:
        answers = (self.classes, self.mask_bce, self.mask_dice, self.text, self.image_tokens)
        if sum((self.local, bool(self.synthetic), any(answers))) > 1:
            raise ValueError(
                "altered and generated are trained alone, and so is synthetic: set all other "
                "weights to 0 (classes, mask_bce, mask_dice, text, image_tokens, …)"
            )
        return self


Decay = Annotated[float, Field(ge=0, lt=1)]
Side = Annotated[int, Field(ge=16)]
ValidationMetric = Literal[
    "accuracy",
    "balanced_accuracy",
    "auroc_real_vs_not",
    "f1_fixed_mean_tampered",
    "iou_fixed_mean_tampered",
]


class Lora(BaseModel):
    """Low-rank additions to linear layers of the language model (Hu et al., 2021)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int = Field(8, ge=1, description="of each addition")
    alpha: int = Field(16, ge=1, description="the addition is scaled by alpha / rank")
    dropout: Decay = Field(0.05, description="dropout before each addition")
    targets: tuple[str, ...] = Field(
        ("q_proj", "v_proj"), min_length=1, description="ends of the layers' names"
    )
    base: Literal["nf4"] | None = Field(
        None,
        description="nf4 keeps the frozen layers beside the additions in four bits (QLoRA, "
        "Dettmers et al., 2023); needs bitsandbytes. The merged model has their rounded weights",
    )


class TrainConfig(BaseModel):
    """Everything that decides a run; unknown keys and contradictions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        description="weights to start from: a name, or a folder (ours, SIDA's or LISA's layout)",
    )
    preset: str | None = Field(
        None, description="architecture to initialize with new weights if no model is named"
    )
    warm_start: str | None = Field(
        None,
        description="a model whose tensors initialize a preset wherever names and shapes match, "
        "except those that turn frozen features into image tokens",
    )
    tokenizer: Path | None = Field(
        None, description="folder of a preset's tokenizer; by default the one embedded with tiny"
    )
    data: tuple[Path, ...] = Field(
        (),
        description="labelled folders, parquet files or manifests to train on, one or a list; "
        "each contributes the same share of every class",
    )
    validation: tuple[Path, ...] = Field(
        (), description="labelled data for validation only, one or a list"
    )
    leave_out: tuple[str, ...] = Field(
        (), description="sources and groups to exclude from training, such as those of a demo"
    )
    source_power: float = Field(
        1.0,
        ge=0,
        le=1,
        description="a source of n pictures is drawn in proportion to n to this power; below 1 "
        "large sources dominate less, and all data count as one set",
    )
    source_limit: int | None = Field(
        None,
        ge=1,
        description="most pictures of one class taken from one source of a labelled set, drawn by "
        "`seed`",
    )
    held_out: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of the originals (`group`) of the data that is held back for "
        "validation if no validation set is named",
    )
    probe: bool = Field(
        False,
        description="whether to warn if format, size or coding give the labels away",
    )

    trained: tuple[str, ...] = Field(
        ("",),
        description="prefixes of the names of fully trained parameters; all by default",
    )
    heads_only: bool = Field(
        False,
        description="whether to run the model once and train only its class head on the outputs, "
        "in seconds; the result is an adapter (docs/finetuning.md)",
    )
    views: int = Field(
        0,
        ge=0,
        description="with heads_only or cache: number of post-processed views of each picture, "
        "always the same ones",
    )
    lora: Lora | None = Field(
        None, description="low-rank additions to frozen layers; merged at the end"
    )
    addition_scale: float = Field(
        1.0,
        gt=0,
        le=1,
        description="factor of the trained low-rank additions of an encoder in the written model; "
        "weights between the first and the last do better on unseen sources (Wortsman et al., "
        "2022)",
    )
    distillation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the class target that is the evidence head's own probability (Hinton "
        "et al., 2015), so that the layers after it do not memorize pictures",
    )
    evidence_penalty: float = Field(
        1.5,
        ge=0,
        description="L2 penalty of the evidence head, for an encoder that has one; it is fitted to "
        "all pictures before the first step",
    )
    texts: Literal["measured", "data"] = Field(
        "measured",
        description="source of the target texts: written from label, mask and measurements, or the "
        "descriptions in the data",
    )
    text_every: int = Field(1, ge=1, description="every n-th step trains on texts as well")
    max_tokens: int = Field(
        512, ge=64, description="longest sequence, in embedded tokens; the rest is cut off"
    )
    empty_masks: bool = Field(
        False, description="whether real pictures train an empty mask, in steps without texts"
    )
    windows: int | None = Field(
        None,
        ge=1,
        description="most windows of one picture in training, for an encoder that uses windows; by "
        "default as many as the model uses",
    )
    forged: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of tampered pictures that are forged anew from the photographs at every "
        "step; as many photographs are their unaltered originals, processed the same way",
    )
    codecs: Path | None = Field(
        None,
        description="folder of autoencoders and decoders that regenerate regions of `forged` "
        "pictures: those of `sida forge-autoencoder`, scripts/convert_realesrgan.py and "
        "scripts/convert_taesd.py",
    )
    crops: tuple[Side, ...] = Field(
        (), description="side lengths of training crops in pixels; whole pictures by default"
    )
    post_process: float = Field(
        0.0, ge=0, le=1, description="share of pictures resized or compressed as on social media"
    )

    max_steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_size: int = Field(
        24, ge=1, description="pictures per step over all devices, a third of them of each class"
    )
    micro_batch_size: int | None = Field(
        None,
        ge=1,
        description="pictures that a device processes at once; by default its whole share",
    )
    learning_rate: float = Field(1e-4, gt=0, description="highest learning rate of AdamW")
    schedule: Literal["cosine", "linear"] = Field(
        "cosine", description="how the learning rate falls to zero after warm-up"
    )
    warmup_steps: int = Field(
        100, ge=0, description="steps over which the learning rate rises from zero"
    )
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.95), description="decay rates of AdamW, for the gradient and its square"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="of AdamW, for matrices and kernels; not for embeddings"
    )
    clip: float = Field(
        1.0, gt=0, description="largest norm of all gradients together; larger ones are scaled down"
    )
    average: Decay = Field(0.0, description="decay of the moving average of weights; 0 for none")
    loss: LossWeights = Field(LossWeights(), description="weight of each loss")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="dtype of the arithmetic, and of weights that are not trained"
    )
    frozen_precision: Literal["fp32", "bf16"] | None = Field(
        None,
        description="dtype of an encoder that is never trained; by default `precision`",
    )
    gradient_checkpointing: bool = Field(
        False, description="save memory at the cost of a second forward pass"
    )
    compile: bool = Field(False, description="whether to use torch.compile for the language model")

    cache: Path | None = Field(
        None,
        description="folder for the outputs of frozen CLIP and SAM encoders on whole pictures, so "
        "that they run once per picture; runs may share it",
    )
    cache_gb: float = Field(50.0, gt=0, description="largest size of `cache`, in 10^9 bytes")

    validate_every: int = Field(500, ge=1, description="steps between validations")
    save_every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="number of checkpoints to keep")
    best: ValidationMetric | None = Field(
        None,
        description="validation metric by which the best weights are chosen, such as "
        "balanced_accuracy; by default the last weights are taken",
    )
    patience: int | None = Field(
        None, ge=1, description="validations without an improvement of `best` before the run ends"
    )
    trackers: tuple[str, ...] = Field(
        ("tensorboard",),
        description="trackers of accelerate besides metrics.jsonl: tensorboard, wandb, …",
    )
    workers: int = Field(2, ge=0, description="processes per device that read pictures")
    threads: int = Field(
        0, ge=0, description="threads of the network; 0 leaves the choice to torch"
    )
    seed: int = Field(0, ge=0, description="of fresh weights, batches and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="device to train on; auto takes CUDA if there is one"
    )

    @field_validator("data", "validation", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model is None and self.preset is None:
            raise ValueError("there is nothing to start from: give model=NAME, or preset=tiny")
        size, part = self.batch_size, self.micro_batch_size
        if part is not None and size % part:
            raise ValueError(f"batch_size {size} is not a multiple of micro_batch_size {part}")
        if self.patience is not None and self.best is None:
            raise ValueError("patience needs best, the metric that has to improve")
        if self.codecs is not None and not self.forged:
            raise ValueError("codecs are for forged pictures: set forged, or leave out codecs")
        if self.heads_only:
            _require_heads_alone(self)
        elif self.views and self.cache is None:
            raise ValueError("views are for heads_only or cache: use post_process in other runs")
        if self.lora is not None and "" in self.trained:
            raise ValueError("lora is for frozen layers: name in `trained` what else to train")
        if self.cache is not None and (self.crops or self.post_process or self.forged):
            raise ValueError(
                "crops, post_process and forged make a new picture every time, of which a cache "
                "would keep none: leave out cache, or set crops=[], post_process=0 and forged=0"
            )
        if self.addition_scale < 1 and (self.validation or self.held_out):
            raise ValueError(
                "addition_scale changes the weights after they were validated: leave out "
                "validation and held_out, and evaluate the written model"
            )
        if self.cache is not None and any(map(_reaches_encoder, self.trained)):
            raise ValueError(
                "cache is for encoders that are not trained: leave it out, or name in `trained` "
                f"nothing of {', '.join(CACHED_PARTS)}"
            )
        if not self.trained and self.lora is None:
            raise ValueError("nothing is trained: name parameters in `trained`, or give lora")
        return self


def _require_heads_alone(config: TrainConfig) -> None:
    """Raise ValueError where `heads_only` stands beside options that it excludes."""
    if config.model is None:
        raise ValueError("heads_only is for a trained model: give model=NAME")
    excluded = ("trained", "lora", "crops", "post_process", "forged", "cache", "compile")
    fields = TrainConfig.model_fields
    present = [name for name in excluded if getattr(config, name) != fields[name].default]
    if present:
        raise ValueError(
            f"heads_only trains the class head alone, from whole pictures: leave out "
            f"{', '.join(present)} (views=N adds post-processed ones)"
        )


def _reaches_encoder(trained: str) -> bool:
    """True for a beginning of names that includes parameters of an encoder that a cache keeps."""
    # Either may be the longer: "" and "encoder.clip.embeddings" both reach CLIP.
    return any(name.startswith(trained) or trained.startswith(name) for name in CACHED_PARTS)


def read_config(name: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A recipe from a file or a packaged name (`tiny`), changed by `key=value` strings.

    Raises:
        ConfigError: no such recipe, not YAML, or a key or value that does not fit; it names each.
    """
    return read_settings(TrainConfig, name, overrides)
