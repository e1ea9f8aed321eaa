"""Verdicts and pictures, made on the spot."""

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sida.image.read import Picture, read_picture
from sida.report import ReportItem
from sida.verdict import (
    Claim,
    Declared,
    Explanation,
    Inconsistencies,
    Localization,
    Measured,
    ModelInfo,
    Probabilities,
    Provenance,
    Verdict,
    regions_from_mask,
)

NASTY = "<script>alert(1)</script>\"'&<img src=http://example.com/x onerror=alert(2)>"
MODEL = ModelInfo(name="tiny", version="1", digest="d" * 64)
EXPLANATION = Explanation(
    text="Type: tampered. Areas: upper left.",
    type="tampered",
    areas="upper left",
    inconsistencies=Inconsistencies(lighting="brighter than around"),
    claims=(
        Claim(cue="brightness", inside=140.0, outside=90.0, text="brighter than around"),
        Claim(cue="noise", inside=5.0, outside=1.0, text="less noise than around"),
    ),
    complete=True,
)


def measured(name: str, value: Any, unit: str | None, meaning: str, limits: str) -> Measured:
    return Measured(
        name=name, value=value, unit=unit, meaning=meaning, limits=limits, source="file"
    )


PROVENANCE = Provenance(
    declared=(
        Declared(name="camera_model", value="X100", source="EXIF", state="declared, unsigned"),
        Declared(name="latitude", value="52.51628 N", source="EXIF", state="declared, unsigned"),
        Declared(name="serial_number", value="SN-4711", source="EXIF", state="declared, unsigned"),
        Declared(name="artist", value="Jane Doe", source="XMP", state="declared, unsigned"),
        Declared(
            name="actions",
            value=[{"action": "c2pa.created", "author": "Jane Doe"}],
            source="C2PA",
            state="signed, valid",
        ),
    ),
    measured=(
        measured("jpeg_quality", 90, "percent", "how it was saved", "few"),
        measured("tables", {"exact": True, "sizes": [1, 2]}, None, "what they are", "no limits"),
        measured("copied_regions", None, "regions", "", ""),
    ),
    contradictions=("The file declares two cameras.",),
)  # fmt: skip


def photo(path: Path, size: tuple[int, int] = (60, 40), **options: Any) -> Path:
    """A picture's file of that width and height."""
    pixels = np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


def verdict(picture: Picture, label: str = "tampered", share: float = 0.9, **extra: Any) -> Verdict:
    """A verdict on a picture; a tampered one has its upper left quarter marked."""
    shares = dict.fromkeys(("real", "full_synthetic", "tampered"), (1 - share) / 2)
    mask = np.zeros((picture.height, picture.width), bool)
    mask[: picture.height // 2, : picture.width // 2] = True
    localization = Localization(
        area=float(mask.mean()),
        threshold=0.5,
        regions=regions_from_mask(mask, mask.astype(np.float32)),
    )
    fields = {
        "image": picture.name,
        "sha256": picture.sha256,
        "width": picture.width,
        "height": picture.height,
        "format": picture.format,
        "label": label,
        "probabilities": Probabilities(**(shares | {label: share})),
        "localization": localization if label == "tampered" else None,
        "model": MODEL,
        "seconds": 0.25,
    }
    verdict_ = Verdict(**(fields | extra))
    return verdict_.with_arrays(mask=mask) if label == "tampered" else verdict_


def result(path: Path, label: str = "tampered", share: float = 0.9, **extra: Any) -> ReportItem:
    """The same of a file."""
    return ReportItem(verdict(read_picture(path), label, share, **extra), path)


def words(html: str) -> str:
    """What a person reads."""
    without = re.sub(r"<(style|script)>.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", without).split())


def pictures(html: str) -> list[bytes]:
    """The files of the pictures in a page."""
    localization = re.findall(r'src="data:image/jpeg;base64,([^"]+)', html)
    return [base64.b64decode(data) for data in localization]
