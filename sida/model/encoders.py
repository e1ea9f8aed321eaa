"""The families of encoders: what turns pixels into image tokens and mask embeddings.

`parts(config)` is the only place that looks at which of them a configuration asks for. All offer
`tokens(inputs)`, `embed(inputs, windows, state)` and a decoder `(embedding, prompt) -> mask
logits`; `initialize(module)` begins the layers that are their own.
"""

from typing import NamedTuple

from torch import nn
from transformers import initialization as init
from transformers.models.sam.modeling_sam import SamPositionalEmbedding

from sida.model.clip_sam import ClipSam, SamDecoder
from sida.model.clip_windows import ClipWindows, ClipWindowsState
from sida.model.config import ClipWindowsConfig, NativeVisionConfig, SidaConfig
from sida.model.image_processors import (
    ClipSamImageProcessor,
    ClipWindowsImageProcessor,
    NativeImageProcessor,
)
from sida.model.local_maps import LocalDecoder
from sida.model.native import ChannelNorm, Conv, Native, NativeDecoder, NativeState, Pool
from sida.model.statistics import Statistics

__all__ = ["Decoder", "Encoder", "EncoderState", "Parts", "build", "initialize", "parts"]

Encoder = ClipSam | ClipWindows | Native
Decoder = SamDecoder | NativeDecoder | LocalDecoder
EncoderState = ClipWindowsState | NativeState | None
"""What an encoder keeps of a pass for the masks of the same pictures."""


class Parts(NamedTuple):
    """The classes that a configuration asks for; `image_processor` cuts pictures into windows."""

    encoder: type[ClipSam] | type[ClipWindows] | type[Native]
    decoder: type[SamDecoder] | type[NativeDecoder] | type[LocalDecoder]
    image_processor: (
        type[ClipSamImageProcessor] | type[ClipWindowsImageProcessor] | type[NativeImageProcessor]
    )


def parts(config: SidaConfig) -> Parts:
    """Which classes make and read the windows of this configuration."""
    if config.vision.model_type == NativeVisionConfig.model_type:
        return Parts(Native, NativeDecoder, NativeImageProcessor)
    if config.vision.model_type == ClipWindowsConfig.model_type:
        return Parts(ClipWindows, LocalDecoder, ClipWindowsImageProcessor)
    return Parts(ClipSam, SamDecoder, ClipSamImageProcessor)


def build(config: SidaConfig) -> tuple[Encoder, Decoder]:
    """Encoder and mask decoder of a configuration."""
    classes = parts(config)
    return classes.encoder(config), classes.decoder(config)


def initialize(module: nn.Module) -> None:
    """Fresh weights of the layers that transformers does not know how to begin."""
    if isinstance(module, SamPositionalEmbedding):
        init.normal_(module.positional_embedding, std=module.scale)
    elif isinstance(module, Conv):
        init.kaiming_normal_(module.weight, nonlinearity="relu")
    elif isinstance(module, Pool):
        init.normal_(module.kinds, std=0.02)
        init.normal_(module.scores.weight, std=0.02)
        init.zeros_(module.windows.weight)
    elif isinstance(module, ClipWindows):
        init.zeros_(module.evidence.weight)
        # Small beside the token that carries the evidence, which is to be heard first.
        for layer in module.projectors:
            init.normal_(layer.weight, std=0.008)
    elif isinstance(module, ChannelNorm):
        init.ones_(module.weight)
    elif isinstance(module, Statistics):
        init.zeros_(module.get_buffer("mean"))
        init.ones_(module.get_buffer("deviation"))
