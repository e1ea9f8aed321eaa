"""Published tensor names <-> ours, by rules that hold both ways.

In a rule `*` stands for one part of a dotted name and `**` for all that is left.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from sida.errors import CheckpointError

__all__ = ["Renamed", "from_published", "is_dropped", "to_published", "tower_name"]

_SAM = "model.visual_model"
_MLP = ((0, "proj_in"), (1, "layers.0"), (2, "proj_out"))

RULES: tuple[tuple[str, str], ...] = (
    ("lm_head.weight", "lm_head.weight"),
    ("model.embed_tokens.weight", "language.embed_tokens.weight"),
    ("model.norm.weight", "language.norm.weight"),
    ("model.layers.**", "language.layers.**"),
    ("model.mm_projector.*", "encoder.projector.*"),
    ("model.cls_head.0.**", "class_head.**"),
    ("model.text_hidden_fcs.0.**", "mask_prompt.**"),
    ("model.sida_fc1.*", "fusion.class_query.*"),
    ("model.attention_layer.**", "fusion.attention.**"),
    (f"{_SAM}.image_encoder.pos_embed", "encoder.sam.pos_embed"),
    (f"{_SAM}.image_encoder.patch_embed.proj.*", "encoder.sam.patch_embed.projection.*"),
    (f"{_SAM}.image_encoder.blocks.*.norm1.*", "encoder.sam.layers.*.layer_norm1.*"),
    (f"{_SAM}.image_encoder.blocks.*.norm2.*", "encoder.sam.layers.*.layer_norm2.*"),
    (f"{_SAM}.image_encoder.blocks.**", "encoder.sam.layers.**"),
    (f"{_SAM}.image_encoder.neck.0.*", "encoder.sam.neck.conv1.*"),
    (f"{_SAM}.image_encoder.neck.1.*", "encoder.sam.neck.layer_norm1.*"),
    (f"{_SAM}.image_encoder.neck.2.*", "encoder.sam.neck.conv2.*"),
    (f"{_SAM}.image_encoder.neck.3.*", "encoder.sam.neck.layer_norm2.*"),
    (
        f"{_SAM}.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "decoder.prompt_encoder.shared_embedding.positional_embedding",
    ),
    (f"{_SAM}.prompt_encoder.point_embeddings.**", "decoder.prompt_encoder.point_embed.**"),
    (f"{_SAM}.prompt_encoder.mask_downscaling.0.*", "decoder.prompt_encoder.mask_embed.conv1.*"),
    (
        f"{_SAM}.prompt_encoder.mask_downscaling.1.*",
        "decoder.prompt_encoder.mask_embed.layer_norm1.*",
    ),
    (f"{_SAM}.prompt_encoder.mask_downscaling.3.*", "decoder.prompt_encoder.mask_embed.conv2.*"),
    (
        f"{_SAM}.prompt_encoder.mask_downscaling.4.*",
        "decoder.prompt_encoder.mask_embed.layer_norm2.*",
    ),
    (f"{_SAM}.prompt_encoder.mask_downscaling.6.*", "decoder.prompt_encoder.mask_embed.conv3.*"),
    (f"{_SAM}.prompt_encoder.no_mask_embed.*", "decoder.prompt_encoder.no_mask_embed.*"),
    (f"{_SAM}.prompt_encoder.not_a_point_embed.*", "decoder.prompt_encoder.not_a_point_embed.*"),
    *(
        (
            f"{_SAM}.mask_decoder.transformer.layers.*.norm{i}.*",
            f"decoder.mask_decoder.transformer.layers.*.layer_norm{i}.*",
        )
        for i in (1, 2, 3, 4)
    ),
    (
        f"{_SAM}.mask_decoder.transformer.norm_final_attn.*",
        "decoder.mask_decoder.transformer.layer_norm_final_attn.*",
    ),
    (f"{_SAM}.mask_decoder.transformer.**", "decoder.mask_decoder.transformer.**"),
    (f"{_SAM}.mask_decoder.output_upscaling.0.*", "decoder.mask_decoder.upscale_conv1.*"),
    (f"{_SAM}.mask_decoder.output_upscaling.1.*", "decoder.mask_decoder.upscale_layer_norm.*"),
    (f"{_SAM}.mask_decoder.output_upscaling.3.*", "decoder.mask_decoder.upscale_conv2.*"),
    *(
        (
            f"{_SAM}.mask_decoder.output_hypernetworks_mlps.*.layers.{i}.*",
            f"decoder.mask_decoder.output_hypernetworks_mlps.*.{name}.*",
        )
        for i, name in _MLP
    ),
    *(
        (
            f"{_SAM}.mask_decoder.iou_prediction_head.layers.{i}.*",
            f"decoder.mask_decoder.iou_prediction_head.{name}.*",
        )
        for i, name in _MLP
    ),
    (f"{_SAM}.mask_decoder.iou_token.*", "decoder.mask_decoder.iou_token.*"),
    (f"{_SAM}.mask_decoder.mask_tokens.*", "decoder.mask_decoder.mask_tokens.*"),
)

DROPPED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")
"""Rotary tables rounded to bfloat16; the original computes its own before it reads them."""
_TOWER_PARTS = ("embeddings.", "pre_layrnorm.", "encoder.", "post_layernorm.")
TOWER = "encoder.clip."
"""Our names that no published folder holds: CLIP comes from a folder of its own."""


class Renamed(NamedTuple):
    """Our names of published ones, and the published names that have no place."""

    names: dict[str, str]
    dropped: list[str]


def is_dropped(published: str) -> bool:
    """Whether a published tensor is left out on purpose."""
    return DROPPED.fullmatch(published) is not None


def from_published(names: Iterable[str]) -> Renamed:
    """Published name -> our name.

    Raises:
        CheckpointError: a name that no rule knows.
    """
    found, dropped, unknown = {}, [], []
    for name in names:
        if is_dropped(name):
            dropped.append(name)
        elif (ours := _rename(name, _FORWARD)) is None:
            unknown.append(name)
        else:
            found[name] = ours
    _refuse(unknown)
    return Renamed(found, dropped)


def to_published(names: Iterable[str]) -> dict[str, str]:
    """Our name -> published name; those of the vision tower are left out.

    Raises:
        CheckpointError: a name that no rule knows, as those of the embedded model.
    """
    renamed = {name: _rename(name, _BACK) for name in names if not name.startswith(TOWER)}
    _refuse([name for name, published in renamed.items() if published is None])
    return {name: published for name, published in renamed.items() if published is not None}


def tower_name(name: str, layers: int) -> str | None:
    """Our name of a tensor of a CLIP folder; None for what is not needed of it.

    Args:
        layers: how many layers are kept.
    """
    own = name.removeprefix("vision_model.")  # today's transformers writes it without
    if not own.startswith(_TOWER_PARTS) or own.endswith("position_ids"):
        return None
    layer = re.match(r"encoder\.layers\.(\d+)\.", own)
    if layer and int(layer[1]) >= layers:
        return None
    return TOWER + own


def _refuse(unknown: list[str]) -> None:
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise CheckpointError(
            f"Found the tensor {unknown[0]}{more}, which this model has no place for: expected "
            "weights of SIDA or LISA, unchanged in structure."
        )


def _compile(rule: tuple[str, str]) -> tuple[re.Pattern[str], str]:
    source, target = rule
    pattern = re.escape(source).replace(r"\*\*", "(.+)").replace(r"\*", r"([^.]+)")
    groups = iter(range(1, 10))
    return re.compile(pattern), re.sub(r"\*\*|\*", lambda _: rf"\g<{next(groups)}>", target)


_FORWARD = [_compile(rule) for rule in RULES]
_BACK = [_compile((ours, published)) for published, ours in RULES]


def _rename(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, target in rules:
        if found := pattern.fullmatch(name):
            return found.expand(target)
    return None
