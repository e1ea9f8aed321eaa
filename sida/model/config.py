"""`SidaConfig`: every size of the network, and nothing about weights or runs."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import (
    AutoConfig,
    CLIPVisionConfig,
    LlamaConfig,
    PreTrainedConfig,
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)

from sida.verdict import LABELS

__all__ = [
    "ClipWindowsConfig",
    "MaskConfig",
    "NativeMaskConfig",
    "NativeVisionConfig",
    "SidaConfig",
]


@strict
class MaskConfig(PreTrainedConfig):
    """SAM as the published model uses it: image encoder, prompt encoder, mask decoder.

    One flat set of sizes from which transformers' three configurations follow; the defaults
    are ViT-H.
    """

    model_type = "sida_sam"

    hidden_size: int = 1280
    num_hidden_layers: int = 32
    num_attention_heads: int = 16
    mlp_ratio: float = 4.0
    global_attn_indexes: list[int] | tuple[int, ...] = (7, 15, 23, 31)
    window_size: int = 14
    image_size: int = 1024
    patch_size: int = 16
    output_channels: int = 256
    mask_input_channels: int = 16
    decoder_depth: int = 2
    decoder_num_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    num_multimask_outputs: int = 3
    initializer_range: float = 0.02

    def encoder(self) -> SamVisionConfig:
        """Sizes of the image encoder; the attention implementation is inherited."""
        return SamVisionConfig(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            mlp_ratio=float(self.mlp_ratio),
            mlp_dim=int(self.hidden_size * self.mlp_ratio),
            global_attn_indexes=list(self.global_attn_indexes),
            window_size=self.window_size,
            image_size=self.image_size,
            patch_size=self.patch_size,
            output_channels=self.output_channels,
            num_pos_feats=self.output_channels // 2,
            initializer_range=self.initializer_range,
            attn_implementation=self._attn_implementation,
        )

    def prompt(self) -> SamConfig:
        """Sizes of the prompt encoder, in the form that `SamPromptEncoder` reads."""
        prompt = SamPromptEncoderConfig(
            hidden_size=self.output_channels,
            image_size=self.image_size,
            patch_size=self.patch_size,
            mask_input_channels=self.mask_input_channels,
        )
        return SamConfig(vision_config=self.encoder(), prompt_encoder_config=prompt)

    def decoder(self) -> SamMaskDecoderConfig:
        """Sizes of the mask decoder."""
        return SamMaskDecoderConfig(
            hidden_size=self.output_channels,
            num_hidden_layers=self.decoder_depth,
            num_attention_heads=self.decoder_num_heads,
            mlp_dim=self.decoder_mlp_dim,
            iou_head_depth=self.iou_head_depth,
            iou_head_hidden_dim=self.iou_head_hidden_dim,
            num_multimask_outputs=self.num_multimask_outputs,
            attn_implementation=self._attn_implementation or "sdpa",
        )


@strict
class NativeVisionConfig(PreTrainedConfig):
    """A small convolutional encoder that sees pixels at their own resolution.

    `stem` is the channels at stride 2, where pixels are many; `widths` and `depths` are channels
    and blocks at strides 4, 8 and 16. A picture is cut into at most `max_windows`
    windows of at most `window` pixels a side; only a picture that needs more is reduced in size.
    """

    model_type = "sida_native"

    stem: int = 16
    widths: list[int] | tuple[int, ...] = (32, 64, 128)
    depths: list[int] | tuple[int, ...] = (2, 2, 2)
    image_tokens: int = 8
    window: int = 256
    overlap: int = 32
    max_windows: int = 24
    initializer_range: float = 0.02


@strict
class NativeMaskConfig(PreTrainedConfig):
    """A mask decoder over the features of the native encoder, at stride 4."""

    model_type = "sida_native_mask"

    output_channels: int = 32
    initializer_range: float = 0.02


@strict
class ClipWindowsConfig(PreTrainedConfig):
    """The first layers of CLIP over the whole picture, and over windows that cover it.

    The defaults are layers 1 to 9 of ViT-B/16. Of the whole picture, at `image_size` pixels a
    side, `layers` are read; of windows, at `window` pixels, `patch_layers`. A picture that would
    need more than `max_windows` is reduced. Layers behind the first `first_adapted` have low-rank
    additions of `rank`, one set for the whole picture and one for windows. `patch_width` is the
    channels that patches are reduced to where they are compared; `stem`, `widths` and `depths`
    those of the convolutions beside them (`NativeVisionConfig`). `dropout` is the share of features
    that a training step does not see.
    """

    model_type = "sida_clip_windows"

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 9
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 16
    layers: list[int] | tuple[int, ...] = (6, 9)
    patch_layers: list[int] | tuple[int, ...] = (3, 6)
    first_adapted: int = 3
    rank: int = 16
    patch_width: int = 64
    window: int = 256
    max_windows: int = 4
    dropout: float = 0.0
    stem: int = 16
    widths: list[int] | tuple[int, ...] = (32, 64, 128)
    depths: list[int] | tuple[int, ...] = (2, 2, 2)
    initializer_range: float = 0.02

    def clip(self) -> CLIPVisionConfig:
        """Sizes of the CLIP part; the attention implementation is inherited."""
        return CLIPVisionConfig(
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            image_size=self.image_size,
            patch_size=self.patch_size,
            attn_implementation=self._attn_implementation or "sdpa",
        )

    def native(self) -> NativeVisionConfig:
        """Sizes of the convolutional part."""
        return NativeVisionConfig(stem=self.stem, widths=self.widths, depths=self.depths)


FAMILIES = (
    (CLIPVisionConfig, LlamaConfig, MaskConfig),
    (ClipWindowsConfig, LlamaConfig, NativeMaskConfig),
    (NativeVisionConfig, LlamaConfig, NativeMaskConfig),
)
"""Classes that may stand together as `vision`, `language` and `mask`."""
FUSION_HEADS = 8
"""Of the attention that fuses class and mask prompt."""


@strict
class SidaConfig(PreTrainedConfig):
    """The whole model.

    Args:
        vision: what makes image tokens: CLIP, or the native encoder. A configuration or its
            fields, as `language` and `mask`.
        language: the LLaMA that reads them.
        mask: what makes masks: SAM, or the native decoder.
        out_dim: width of a mask prompt.
        fusion: how the class meets the mask prompt. `published` attends over the mask prompts
            alone, so that with one of them the class has no influence; `class_and_prompt` puts
            the projected class beside them as a key.
        select_layer: which of CLIP's hidden states is read.
        facts: whether explanations are written after a line of measured facts.
        vision_tower: folder or hub name that CLIP's weights came from.
        version: of the weights, as verdicts name it; the hub's revision of published ones.

    Raises:
        ValueError: `vision`, `language` or `mask` is not a set of sizes, or they do not go
            together; `out_dim` cannot be split into the heads of the fusion.
    """

    model_type = "sida"
    sub_configs = {"vision": AutoConfig, "language": AutoConfig, "mask": AutoConfig}  # noqa: RUF012

    vision: Any = None
    language: Any = None
    mask: Any = None
    out_dim: int = 256
    fusion: Literal["published", "class_and_prompt"] = "published"
    select_layer: int = -2
    facts: bool = False
    vision_tower: str = "openai/clip-vit-large-patch14"
    version: str = "1"
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        self.vision = _sub_config(self.vision, "clip_vision_model")
        self.language = _sub_config(self.language, LlamaConfig.model_type)
        self.mask = _sub_config(self.mask, MaskConfig.model_type)
        parts = (self.vision, self.language, self.mask)
        if not any(all(map(isinstance, parts, family)) for family in FAMILIES):
            names = ", ".join(part.model_type for part in parts)
            raise ValueError(f"{names} do not go together")
        if self.out_dim <= 0 or self.out_dim % FUSION_HEADS:
            raise ValueError(f"out_dim {self.out_dim} is not a multiple of {FUSION_HEADS} heads")
        self.language.tie_word_embeddings = self.tie_word_embeddings
        super().__post_init__(**kwargs)
        self.id2label = dict(enumerate(LABELS))
        self.label2id = {label: number for number, label in self.id2label.items()}

    def get_text_config(self, decoder: Any = None, encoder: Any = None) -> Any:
        """Where transformers finds and keeps the vocabulary's size."""
        return self.language


def _sub_config(value: Any, default: str) -> Any:
    if isinstance(value, PreTrainedConfig):
        return value
    if not isinstance(value, dict | None):
        raise ValueError(f"{value!r} is not a set of sizes")
    fields = dict(value or {})
    return AutoConfig.for_model(str(fields.pop("model_type", default)), **fields)


for _config in (MaskConfig, ClipWindowsConfig, NativeVisionConfig, NativeMaskConfig, SidaConfig):
    AutoConfig.register(_config.model_type, _config)
