"""`TrainConfig`: one run, read from YAML and from `key=value` on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from sida.settings import read_settings

__all__ = ["TrainConfig", "read_config"]


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
        "afterwards, which teaches an encoder that begins from scratch",
    )
    altered: float = Field(
        0.0,
        ge=0,
        description="loss of the maps of altered positions, of an encoder that has such maps; with "
        "it or `generated` the maps alone are trained, and the other weights are to be 0",
    )
    generated: float = Field(0.0, ge=0, description="cross-entropy of generated patches")

    @property
    def local(self) -> bool:
        """True where the maps of local evidence are trained."""
        return bool(self.altered or self.generated)

    @model_validator(mode="after")
    def _one_stage(self) -> Self:
        other_weights = (
            *(self.classes, self.mask_bce, self.mask_dice),
            *(self.text, self.image_tokens),
        )
        if self.local and any(other_weights):
            raise ValueError(
                "altered and generated are taught by themselves: set classes, mask_bce, mask_dice, "
                "text and image_tokens to 0"
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
    dropout: Decay = Field(0.05, description="share of what goes into an addition that is dropped")
    targets: tuple[str, ...] = Field(
        ("q_proj", "v_proj"), min_length=1, description="ends of the layers' names"
    )
    base: Literal["nf4"] | None = Field(
        None,
        description="nf4 holds the frozen layers beside the additions in four bits (QLoRA, "
        "Dettmers et al., 2023); needs bitsandbytes. The merged model has their rounded weights",
    )


class TrainConfig(BaseModel):
    """Everything that decides a run; unknown keys and contradictions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None,
        description="weights to begin from: a name, or a folder (ours, SIDA's or LISA's layout)",
    )
    preset: str | None = Field(
        None, description="the architecture to begin with fresh weights, where no model is named"
    )
    warm_start: str | None = Field(
        None,
        description="a model whose tensors a fresh preset begins with, where names and shapes are "
        "the same; but for what makes image tokens of frozen features",
    )
    tokenizer: Path | None = Field(
        None, description="folder of the tokenizer of a preset; by default that embedded with tiny"
    )
    data: tuple[Path, ...] = Field(
        (),
        description="labelled folders, parquets or manifests to learn from, one or a list; each "
        "gives the same share of every class",
    )
    validation: tuple[Path, ...] = Field(
        (), description="labelled data that is only measured, one or a list"
    )
    leave_out: tuple[str, ...] = Field(
        (), description="sources and groups that are not learned from, such as those of a demo"
    )
    source_power: float = Field(
        1.0,
        ge=0,
        le=1,
        description="a source of n pictures is drawn in proportion to n to this power; below 1 "
        "large sources dominate less, and all data are one set",
    )
    source_limit: int | None = Field(
        None,
        ge=1,
        description="pictures of one class that a source of a labelled set gives at most, drawn by "
        "`seed`",
    )
    held_out: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of the originals (`group`) of the data that is held back and only "
        "measured, where no validation is named",
    )
    probe: bool = Field(
        False,
        description="whether a warning says that format, size or coding give the labels away",
    )

    trained: tuple[str, ...] = Field(
        ("",),
        description="beginnings of the names of parameters that are trained whole; all by default",
    )
    heads_only: bool = Field(
        False,
        description="whether the model is run once and its class head trained from what it gives, "
        "in seconds; the result is an adapter (docs/finetuning.md)",
    )
    views: int = Field(
        0,
        ge=0,
        description="with heads_only or cache, post-processed views beside each picture, always "
        "the same ones",
    )
    lora: Lora | None = Field(
        None, description="low-rank additions to frozen layers; merged in the end"
    )
    distillation: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the class target that is the evidence head's own probability (Hinton "
        "et al., 2015), so that what is trained behind it does not learn pictures by heart",
    )
    evidence_penalty: float = Field(
        1.5,
        ge=0,
        description="L2 penalty of the evidence head, which is fitted to all pictures before the "
        "first step, of an encoder that has one",
    )
    texts: Literal["measured", "data"] = Field(
        "measured",
        description="where the texts that are taught come from: written from label, mask and "
        "measurements, or the descriptions of the data",
    )
    text_every: int = Field(1, ge=1, description="every n-th step teaches texts as well")
    max_tokens: int = Field(512, ge=64, description="what is longer is cut off, in embedded tokens")
    empty_masks: bool = Field(
        False, description="whether real pictures teach an empty mask, where no text is taught"
    )
    windows: int | None = Field(
        None,
        ge=1,
        description="windows that training cuts a picture into at most, for an encoder that covers "
        "pictures with windows; by default as many as the model does",
    )
    forged: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of tampered pictures that are forged anew from the photographs at every "
        "step; as many photographs are their untouched originals, delivered alike",
    )
    crops: tuple[Side, ...] = Field(
        (), description="sides of training crops in pixels; whole pictures by default"
    )
    post_process: float = Field(
        0.0, ge=0, le=1, description="share of pictures resized or compressed as on social media"
    )

    max_steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_size: int = Field(
        24, ge=1, description="pictures a step over all devices; a third of them each class"
    )
    micro_batch_size: int | None = Field(
        None, ge=1, description="pictures that a device takes at once; by default its whole share"
    )
    learning_rate: float = Field(1e-4, gt=0, description="highest learning rate of AdamW")
    schedule: Literal["cosine", "linear"] = Field(
        "cosine", description="how it falls to zero after warm-up"
    )
    warmup_steps: int = Field(100, ge=0, description="steps over which it rises from zero")
    betas: tuple[Decay, Decay] = Field(
        (0.9, 0.95), description="of AdamW, for the gradient and its square"
    )
    weight_decay: float = Field(
        0.0, ge=0, description="of AdamW, for matrices and kernels; embeddings have none"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of all gradients together")
    average: Decay = Field(0.0, description="decay of the moving average of weights; 0 keeps none")
    loss: LossWeights = Field(LossWeights(), description="how much each loss counts")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="number type of the arithmetic, and of weights that are not trained"
    )
    frozen_precision: Literal["fp32", "bf16"] | None = Field(
        None,
        description="number type of an encoder that is never trained; by default `precision`",
    )
    gradient_checkpointing: bool = Field(False, description="less memory for a second forward")
    compile: bool = Field(False, description="whether torch.compile is used")

    cache: Path | None = Field(
        None,
        description="folder that keeps what frozen CLIP and SAM encoders give of whole pictures, "
        "so that they run once a picture; runs may share it",
    )
    cache_gb: float = Field(50.0, gt=0, description="most that `cache` may hold, in 10^9 bytes")

    validate_every: int = Field(500, ge=1, description="steps between looks at the validation data")
    save_every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints that are kept")
    best: ValidationMetric | None = Field(
        None,
        description="metric of the validation whose best weights become the model, such as "
        "balanced_accuracy; by default the last weights do",
    )
    patience: int | None = Field(
        None, ge=1, description="looks at the validation data without a better `best` until the end"
    )
    trackers: tuple[str, ...] = Field(
        ("tensorboard",), description="of accelerate, beside metrics.jsonl: tensorboard, wandb, …"
    )
    workers: int = Field(2, ge=0, description="processes that read pictures, on each device")
    threads: int = Field(0, ge=0, description="threads of the network; 0 leaves it to torch")
    seed: int = Field(0, ge=0, description="of fresh weights, batches and dropout")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where it runs; auto takes CUDA where there is one"
    )

    @field_validator("data", "validation", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.model is None and self.preset is None:
            raise ValueError("there is nothing to begin from: give model=NAME, or preset=tiny")
        size, part = self.batch_size, self.micro_batch_size
        if part is not None and size % part:
            raise ValueError(f"batch_size {size} is not a multiple of micro_batch_size {part}")
        if self.patience is not None and self.best is None:
            raise ValueError("patience needs best, the metric that has to grow")
        if self.heads_only:
            _require_heads_alone(self)
        elif self.views and self.cache is None:
            raise ValueError("views are for heads_only or cache: other runs take post_process")
        if self.lora is not None and "" in self.trained:
            raise ValueError("lora is for frozen layers: name in `trained` what else is trained")
        if self.cache is not None and (self.crops or self.post_process):
            raise ValueError(
                "crops and post_process make a new picture every time, of which a cache would keep "
                "none: leave out cache, or set crops=[] and post_process=0"
            )
        if self.cache is not None and any(map(_reaches_encoder, self.trained)):
            raise ValueError(
                "cache is for encoders that are not trained: leave it out, or name in `trained` "
                "nothing of encoder.clip, encoder.local and encoder.sam"
            )
        if not self.trained and self.lora is None:
            raise ValueError("nothing is trained: name parameters in `trained`, or give lora")
        return self


def _require_heads_alone(config: TrainConfig) -> None:
    """Raise ValueError where `heads_only` stands beside options that it excludes."""
    if config.model is None:
        raise ValueError("heads_only is for a trained model: give model=NAME")
    excluded = ("trained", "lora", "crops", "post_process", "cache", "compile")
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
    return any(
        name.startswith(trained) or trained.startswith(name)
        for name in ("encoder.clip.", "encoder.local.", "encoder.sam.")
    )


def read_config(name: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A recipe from a file or a packaged name (`tiny`), changed by `key=value` strings.

    Raises:
        ConfigError: no such recipe, not YAML, or a key or value that does not fit; it names each.
    """
    return read_settings(TrainConfig, name, overrides)
