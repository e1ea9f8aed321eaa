"""Unit of a forged set: a photograph's part as it is, made anew as a whole, and tampered with.

The three share their size, post-processing, format and quality, so none of these tells the class.
All that is random comes from the seed and the unit's number, whichever process makes it.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image
from pydantic import JsonValue

from sida.files import write_bytes
from sida.forge import tamper
from sida.forge.config import Storage
from sida.forge.describe import describe_forged
from sida.forge.language import Replacement, choose_replacement
from sida.forge.operations import OPERATIONS, Materials
from sida.forge.regions import TargetRegion, draw_region
from sida.forge.synthesize import Synthetic, from_text, prompt_for, reconstruct
from sida.forge.tamper import Tampered
from sida.forge.workshop import Cut, Workshop
from sida.formats import suffix_of
from sida.image.arrays import Mask, Pixels
from sida.image.perturbation import Step, apply, encode, random_steps
from sida.verdict import LABELS

__all__ = ["Coding", "ManifestRow", "make_unit"]

ManifestRow = dict[str, JsonValue]
"""A line of the manifest."""

ATTEMPTS = 4
"""Regions tried until an operation changes something that can be seen."""


@dataclass(frozen=True)
class Coding:
    """How the pictures of a unit are stored: a format of Pillow's, its quality and subsampling."""

    format: str
    quality: int | None = None
    subsampling: str | None = None

    @property
    def suffix(self) -> str:
        return suffix_of(self.format)

    def file(self, pixels: Pixels) -> bytes:
        """The bytes of the file."""
        options = {"quality": self.quality, "subsampling": self.subsampling}
        return encode(pixels, self.format, **{k: v for k, v in options.items() if v is not None})


def make_unit(workshop: Workshop, unit: int, labels: Sequence[str]) -> list[ManifestRow]:
    """Make and write the pictures of a unit; a row of the manifest for each of its labels."""
    rng = _rng(workshop, unit, 0)
    cut = workshop.cut(unit, rng)
    coding, steps = _draw_coding(workshop.config.storage, rng)
    rows = []
    for label in labels:
        # A generator for each class: leaving one out does not change the others.
        label_rng = _rng(workshop, unit, 1 + LABELS.index(label))
        draft = _MAKERS[label](workshop, unit, cut, label_rng)
        rows.append(_stored(workshop, unit, label, cut, draft, coding, steps, label_rng))
    return rows


def _rng(workshop: Workshop, unit: int, purpose: int) -> np.random.Generator:
    # Seeds of the unit alone, so any process makes the same; 0 is the cut, 1 to 3 the classes, 4
    # the donor. The constant keeps these apart from the seeds of the photographs' order, for
    # numpy takes [1, 2] and [1, 2, 0] as the same seed.
    return np.random.default_rng([workshop.config.seed, unit, purpose, 7])


def _draw_coding(storage: Storage, rng: np.random.Generator) -> tuple[Coding, tuple[Step, ...]]:
    """Coding of a unit, and the steps before it.

    A PNG is always post-processed, which ends in a lossy coding: else a photograph would keep the
    traces of the JPEG that it came as, and nothing else would have any.
    """
    # All five are drawn, used or not, so that one option does not change another's draws.
    format_draw = rng.random()
    quality = int(rng.integers(storage.quality[0], storage.quality[1] + 1))
    steps = random_steps(rng)
    processed = bool(rng.random() < storage.post_process)
    subsampling = "4:4:4" if rng.random() < 0.3 else "4:2:0"
    if format_draw < storage.png:
        return Coding("PNG"), steps
    lossy_steps = steps if processed else ()
    if format_draw < storage.png + storage.webp:
        return Coding("WEBP", quality), lossy_steps
    return Coding("JPEG", quality, subsampling), lossy_steps


@dataclass(frozen=True)
class _UnitPicture:
    """A picture before post-processing, and its part of the row."""

    pixels: Pixels
    mask: Mask | None
    content: str | None
    row: Mapping[str, Any]


def _real(workshop: Workshop, unit: int, cut: Cut, rng: np.random.Generator) -> _UnitPicture:
    return _UnitPicture(cut.pixels, None, None, {"operation": "none", "parameters": "{}"})


def _synthetic(workshop: Workshop, unit: int, cut: Cut, rng: np.random.Generator) -> _UnitPicture:
    config = workshop.config
    height, width = cut.pixels.shape[:2]
    synthetic: Synthetic
    if _by_turns(config.synthesis, unit, 0.5) == "reconstruct":
        codec = workshop.codecs[unit % len(workshop.codecs)]
        synthetic = reconstruct(cut.pixels, codec, bool(rng.random() < config.match_detail))
    else:
        generator = _weighted(workshop.generators, [p.weight for p in config.text_to_image], rng)
        prompt = prompt_for(cut.photograph.caption, workshop.job.captions, rng)
        synthetic = from_text(generator, prompt, height, width, rng)
    return _UnitPicture(synthetic.pixels, None, synthetic.content, _operation(synthetic))


def _operation(result: Synthetic | Tampered) -> ManifestRow:
    parameters = result.parameters
    return {
        "operation": result.operation,
        "parameters": _json(parameters),
        "generator": parameters.get("autoencoder") or parameters.get("pipeline"),
    }


def _tampered(workshop: Workshop, unit: int, cut: Cut, rng: np.random.Generator) -> _UnitPicture:
    """The unit's operation; where it shows nothing in any of the tries, a splice."""
    operation = _by_turns(workshop.config.tampering, unit, 0.0)
    # Read when first asked for, and the same one in every attempt.
    donor = cache(
        lambda: workshop.donor(cut.photograph.group, cut.pixels.shape, _rng(workshop, unit, 4))
    )
    for attempt in range(ATTEMPTS):
        name = operation if attempt + 1 < ATTEMPTS else "splice"
        region, replacement = _region(workshop, name, cut, donor, rng)
        try:
            tampered = _altered(workshop, name, cut, region, replacement, donor, rng)
        except cv2.error:  # a shape that OpenCV's blending cannot do
            continue
        if tampered.is_visible(cut.pixels, OPERATIONS[name].least if name in OPERATIONS else 2.0):
            break
    row = {
        **_operation(tampered),
        "region": region.method,
        "region_parameters": _json(region.parameters),
        "object": region.object,
    }
    if _shows_donor(tampered):
        other = donor()
        row |= {"donor": other.photograph.name, "donor_group": other.photograph.group}
        row["donor_sha256"] = other.sha256
    return _UnitPicture(tampered.pixels, tampered.mask, tampered.content, row)


def _shows_donor(tampered: Tampered) -> bool:
    """True if a part of another photograph went into the picture."""
    parameters = tampered.parameters
    is_pasted = (
        parameters.get("change") == "swap"
        or parameters.get("filling") == "photograph"
        or parameters.get("sticker") == "cut_out"
    )
    return tampered.operation.startswith("splice") or is_pasted


def _region(
    workshop: Workshop,
    operation: str,
    cut: Cut,
    donor: Callable[[], Cut],
    rng: np.random.Generator,
) -> tuple[TargetRegion, Replacement | None]:
    """Where to alter: in a splice a thing of the donor, else of the picture itself."""
    config = workshop.config
    definition = OPERATIONS.get(operation)
    source = donor() if definition and definition.of_donor else cut
    if operation.startswith("inpaint") and config.language and cut.photograph.caption:
        caption = cut.photograph.caption
        replacement = choose_replacement(config.language, caption, int(rng.integers(2**31)))
        if replacement and (region := _word_region(workshop, cut, replacement.object, rng)):
            return region, replacement
    finder = workshop.finder if config.regions.get("segmenter") else None
    regions = (definition and definition.regions) or config.regions
    region = draw_region(source.pixels, rng, regions, config.area, source.objects, finder)
    return region, None


def _word_region(
    workshop: Workshop, cut: Cut, word: str, rng: np.random.Generator
) -> TargetRegion | None:
    """The object of that word, by its known mask or by the segmenter."""
    candidates = [candidate for candidate in cut.objects if candidate[1] == word]
    if not candidates and workshop.finder is not None:
        candidates = [(mask, word) for mask, _ in workshop.finder(cut.pixels, word)]
    low, high = workshop.config.area
    fitting = [mask for mask, _ in candidates if low <= mask.mean() <= high]
    return TargetRegion(fitting[0], "object", {}, word) if fitting else None


def _altered(
    workshop: Workshop,
    operation: str,
    cut: Cut,
    region: TargetRegion,
    replacement: Replacement | None,
    donor: Callable[[], Cut],
    rng: np.random.Generator,
) -> Tampered:
    config, pixels = workshop.config, cut.pixels
    if operation in OPERATIONS:
        codecs = workshop.region_codecs if OPERATIONS[operation].needs_codec else ()
        materials = Materials(lambda: donor().pixels, codecs, config.match_detail)
        return OPERATIONS[operation].function(pixels, region, materials, rng)
    variant = operation.removeprefix("inpaint_")
    painter = _weighted(workshop.painters, [p.weight for p in config.inpainting], rng)
    prompt = (
        replacement.prompt
        if replacement
        else prompt_for(cut.photograph.caption, workshop.job.captions, rng)
    )
    return tamper.inpaint(
        pixels, region, painter, prompt, variant, int(rng.integers(2**31)),
        replacement.replacement if replacement else None,
    )  # fmt: skip


_MAKERS = {"real": _real, "full_synthetic": _synthetic, "tampered": _tampered}


def _stored(
    workshop: Workshop,
    unit: int,
    label: str,
    cut: Cut,
    draft: _UnitPicture,
    coding: Coding,
    steps: Sequence[Step],
    rng: np.random.Generator,
) -> ManifestRow:
    """Post-process, write picture and mask, describe what is in the file, and note all of it."""
    pixels, mask = apply(draft.pixels, draft.mask, steps)
    file = coding.file(pixels)
    # Described as stored: the coding changes what is measured.
    with Image.open(io.BytesIO(file)) as image:
        pixels = np.array(image.convert("RGB"))
    name = f"{label[0]}{unit:06d}"
    write_bytes(workshop.job.out / label / f"{name}{coding.suffix}", file)
    if mask is not None:
        levels = mask.astype(np.uint8) * np.uint8(255)
        write_bytes(workshop.job.out / "masks" / f"{name}_mask.png", encode(levels, "PNG"))
    described = describe_forged(label, pixels, mask, draft.content, rng)
    return {
        "image": f"{label}/{name}{coding.suffix}",
        "label": label,
        "mask": None if mask is None else f"masks/{name}_mask.png",
        "description": described.text,
        "source": cut.photograph.source,
        "group": cut.photograph.group,
        **draft.row,
        "position": described.position,
        "area": described.area,
        "cues": _json([asdict(cue) for cue in described.cues]),
        "original": cut.photograph.name,
        "original_sha256": cut.sha256,
        "crop": _json(cut.box),
        "scale": cut.scale,
        "post_processing": _json([[step.name, dict(step.parameters)] for step in steps]),
        **asdict(coding),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "unit": unit,
        "seed": workshop.config.seed,
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_GOLDEN = (5**0.5 - 1) / 2


def _by_turns(weights: Mapping[Any, float], unit: int, start: float) -> str:
    """Name whose turn it is: as often as its weight says, spread evenly over any run of units."""
    # Multiples of the golden ratio, modulo 1, leave no large gap in any run of numbers.
    position = (start + unit * _GOLDEN) % 1 * sum(weights.values())
    for name, weight in weights.items():
        position -= weight
        if position < 0:
            return str(name)
    return str([name for name, weight in weights.items() if weight][-1])


def _weighted(items: Sequence[Any], weights: Sequence[float], rng: np.random.Generator) -> Any:
    shares = np.array(weights) / sum(weights)
    return items[int(rng.choice(len(items), p=shares))]
