"""Small labelled sets, made on the spot."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.verdict import LABELS


def photo(seed: int, width: int = 96, height: int = 80) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: smooth shapes that differ from seed to seed, and some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return (smooth + rng.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)


def encoded(pixels: NDArray[Any], format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format, **options)
    return stream.getvalue()


def box_mask(width: int = 96, height: int = 80) -> NDArray[np.uint8]:
    """(height, width) uint8, 255 in a box that is not in the middle."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 8 : height // 2, width // 4 : width // 2] = 255
    return mask


def write_set(
    folder: Path,
    count: int = 6,
    formats: Mapping[str, str] | None = None,
    texts: bool = True,
    qualities: tuple[int, int] = (75, 95),
    groups: bool = True,
) -> Path:
    """`count` pictures a class; `formats` label -> "JPEG" or "PNG" (JPEG for four of five if not
    given). Picture n of every class is of group n."""
    rows = ["image,label,mask,source,group"]
    for number, label in enumerate(LABELS):
        text = {}
        for n in range(count):
            rng = np.random.default_rng([number, n])
            format = (formats or {}).get(label) or ("PNG" if rng.random() < 0.2 else "JPEG")
            name = f"{label[0]}{n:03}.{'jpg' if format == 'JPEG' else 'png'}"
            options = {"quality": int(rng.integers(*qualities))} if format == "JPEG" else {}
            path = folder / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(photo(1000 * number + n), format, **options))
            mask = ""
            if label == "tampered":
                mask = f"masks/{path.stem}_mask.png"
                (folder / "masks").mkdir(exist_ok=True)
                (folder / mask).write_bytes(encoded(box_mask(), "PNG"))
            text[name] = f"Picture {n}, “{label}”,\nin two lines."
            group = f"g{n}" if groups else ""
            rows.append(f"{label}/{name},{label},{mask},camera {n % 3},{group}")
        if texts:
            (folder / "description").mkdir(exist_ok=True)
            file = folder / "description" / f"{label}_GT.json"
            file.write_text(json.dumps(text, ensure_ascii=False), encoding="utf-8")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder
