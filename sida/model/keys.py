"""Published tensor names <-> ours, by rules that hold both ways.

In a rule `*` stands for one part of a dotted name and `**` for all that is left.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable
from typing import NamedTuple

from sida.errors import CheckpointError

__all__ = ["Renamed", "from_published", "from_tower", "has_published_form", "to_published"]

_SAM = "model.visual_model"
_MLP = ((0, "proj_in"), (1, "layers.0"), (2, "proj_out"))

# The first rule that fits counts, in both directions: exact names stand before `**`.
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
TOWER = "encoder.clip."
"""Our names that no published folder holds: CLIP comes from a folder of its own."""


class Renamed(NamedTuple):
    """Our names of those in a folder, and the names there that are left out on purpose."""

    names: dict[str, str]
    dropped: list[str]

    def summary(self) -> str:
        """How many are left out, and which, in one line; a part left out whole is one name."""
        needed = {part for name in self.names for part in _parts(name)}

        def highest(name: str) -> str:
            return next((part for part in _parts(name) if part not in needed), name)

        dropped = _grouped(self.dropped, highest)
        entries = [names[0] if len(names) == 1 else f"{part}.*" for part, names in dropped.items()]
        alike = _grouped(entries, lambda name: re.sub(r"\.\d+(?=\.)", ".*", name))
        which = [names[0] if len(names) == 1 else pattern for pattern, names in alike.items()]
        total = len(self.dropped) + len(self.names)
        count = f"{len(self.dropped)} of {total} tensors left out"
        return f"{count}: {', '.join(which)}" if which else count


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[key(name)].append(name)
    return groups


def _parts(name: str) -> list[str]:
    """`a.b.c` -> `a`, `a.b`, `a.b.c`."""
    return [name[: dot.start()] for dot in re.finditer(r"\.|$", name)]


def from_published(names: Iterable[str]) -> Renamed:
    """Published name -> our name.

    Raises:
        CheckpointError: a name that no rule knows.
    """
    renamed, dropped, unknown = {}, [], []
    for name in names:
        if DROPPED.fullmatch(name):
            dropped.append(name)
        elif (ours := _rename(name, _FORWARD)) is None:
            unknown.append(name)
        else:
            renamed[name] = ours
    _refuse(unknown)
    return Renamed(renamed, dropped)


def to_published(names: Iterable[str]) -> dict[str, str]:
    """Our name -> published name; those of the vision tower are left out.

    Raises:
        CheckpointError: a name that no rule knows, as those of the embedded model.
    """
    renamed = _back(names)
    _refuse([name for name, published in renamed.items() if published is None])
    return {name: published for name, published in renamed.items() if published is not None}


def has_published_form(names: Iterable[str]) -> bool:
    """True where each of our names has a published one."""
    return None not in _back(names).values()


def _back(names: Iterable[str]) -> dict[str, str | None]:
    return {name: _rename(name, _BACK) for name in names if not name.startswith(TOWER)}


def from_tower(names: Iterable[str], ours: Container[str]) -> Renamed:
    """Names in a CLIP folder -> our names, as far as the network has a place for them.

    The rest is what is never read: the last layer, the text model, the projections.
    """
    targets = {name: TOWER + name.removeprefix("vision_model.") for name in names}
    renamed = {name: target for name, target in targets.items() if target in ours}
    return Renamed(renamed, [name for name in targets if name not in renamed])


def _refuse(unknown: list[str]) -> None:
    if unknown:
        suffix = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise CheckpointError(
            f"Found the tensor {unknown[0]}{suffix}, which this model has no place for: expected "
            "weights of SIDA or LISA, unchanged in structure."
        )


def _compile(rule: tuple[str, str]) -> tuple[re.Pattern[str], str]:
    source, target = rule
    # Escaped first: `re.escape` makes `\*` of a star, which the replacements look for.
    pattern = re.escape(source).replace(r"\*\*", "(.+)").replace(r"\*", r"([^.]+)")
    groups = iter(range(1, 10))
    return re.compile(pattern), re.sub(r"\*\*|\*", lambda _: rf"\g<{next(groups)}>", target)


_FORWARD = [_compile(rule) for rule in RULES]
_BACK = [_compile((ours, published)) for published, ours in RULES]


def _rename(name: str, rules: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, target in rules:
        if match := pattern.fullmatch(name):
            return match.expand(target)
    return None
