"""Words drawn on pictures, in the typefaces that come with Matplotlib."""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_words", "random_date", "random_words"]

_WORDS = (
    "open", "sale", "market", "street", "news", "live", "today", "world", "city", "official",
    "original", "limited", "number", "total", "name", "office", "station", "north", "south",
    "paid", "confirmed", "approved", "special", "price", "per day", "week", "photo", "copyright",
    "studio", "archive", "team", "new", "best", "free", "no", "yes", "stop", "exit", "please",
)  # fmt: skip


def random_words(rng: np.random.Generator, min_words: int = 1, max_words: int = 4) -> str:
    """A few words or numbers, in one of three cases."""
    words = [
        str(int(rng.integers(10_000))) if rng.random() < 0.2 else _WORDS[rng.integers(len(_WORDS))]
        for _ in range(int(rng.integers(min_words, max_words + 1)))
    ]
    text = " ".join(words)
    return (text, text.upper(), text.title())[int(rng.integers(3))]


def random_date(rng: np.random.Generator) -> str:
    """A date as cameras burn it in, half of them with a time."""
    year, month, day = (int(rng.integers(*ends)) for ends in ((1995, 2031), (1, 13), (1, 29)))
    form = ("{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{m:02}/{d:02}/{y}", "'{s:02} {m} {d}")
    date = form[int(rng.integers(4))].format(y=year, m=month, d=day, s=year % 100)
    if rng.random() < 0.5:
        date += f"  {int(rng.integers(24)):02}:{int(rng.integers(60)):02}"
    return date


_TYPEFACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol",
    "STIXGeneralItalic",
)  # fmt: skip
"""Those of Matplotlib's that have all Latin letters."""


@cache
def _folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def draw_words(text: str, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """(height, width) of ink from 0 to 1: the text as large as it fits, in a random typeface."""
    height, width = size
    face = _folder() / f"{_TYPEFACES[int(rng.integers(len(_TYPEFACES)))]}.ttf"
    points = max(6, round(0.8 * height))
    font = ImageFont.truetype(face, points)
    length = font.getlength(text)
    if length > 0.95 * width:
        font = ImageFont.truetype(face, max(6, int(points * 0.95 * width / length)))
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((width / 2, height / 2), text, fill=255, font=font, anchor="mm")
    return np.asarray(image, np.float32) / np.float32(255)
