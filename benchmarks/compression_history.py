"""How well `sida.provenance` finds earlier compressions, on pictures whose history is known.

    python benchmarks/compression_history.py ../shared/data

Each picture is first reduced to 70 %, which removes the history that it comes with. Then

- twice: compressed with quality Q1, decoded, compressed with Q2 (50 <= Q1 < Q2 - 5 <= 90);
- once: compressed with Q2 alone, which must not be taken for twice;
- cut: compressed with 60 <= Q <= 90, decoded, cut by 0 to 7 pixels at the left and at the top, and
  stored without loss;
- cut, twice: cut between the compressions with Q1 and Q2;
- never: stored without loss and without any compression.
"""

import argparse
import io
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from sida.files import find_pictures
from sida.image.read import read_picture
from sida.provenance.measured.compression_history import History, history

Pixels = np.ndarray


Case = tuple[History, int | None, tuple[int, int] | None]
"""What was found, and the true quality and offset."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder with train and val")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--workers", type=int, default=2)
    qualities = parser.parse_args()
    with ProcessPoolExecutor(qualities.workers) as pool:
        results = list(pool.map(cases, enumerate(selected(qualities.data, qualities.count))))
    for name in results[0]:
        report(name, [file[name] for file in results])


def cases(numbered: tuple[int, Path]) -> dict[str, Case]:
    """The five of a picture; its number is the seed."""
    number, path = numbered
    rng = np.random.default_rng(number)
    pixels = reduced(read_picture(path).pixels)
    first, second = qualities(rng)
    sampling = int(rng.choice([0, 2]))
    only, (left, top) = int(rng.integers(60, 91)), rng.integers(0, 8, 2).tolist()
    earlier = decoded(compressed(pixels, first, sampling))
    again = compressed(earlier[top:, left:], second, sampling)
    return {
        "twice": (quality_found(compressed(earlier, second, sampling)), first, (0, 0)),
        "once": (quality_found(compressed(pixels, second, sampling)), None, None),
        "cut": (
            quality_found(stored(decoded(compressed(pixels, only, sampling))[top:, left:])),
            only,
            (left, top),
        ),
        "cut, twice": (quality_found(again), first, (left, top)),
        "never": (quality_found(stored(pixels)), None, None),
    }


def quality_found(data: bytes) -> History:
    return history(data, read_picture(data))


def report(name: str, results: list[Case]) -> None:
    """A line: how often the quality is told within 3, the offset exactly, and neither."""
    near = [
        None not in (history.quality, truth) and abs(history.quality - truth) <= 3
        for history, truth, _ in results
    ]
    exact = [
        history.offset is not None and history.offset == offset for history, _, offset in results
    ]
    none = [history.quality is None and history.offset is None for history, _, _ in results]
    wrong = [history.offset not in (None, offset) for history, _, offset in results]
    print(
        f"{name:12} {len(results)} pictures: quality within 3 {np.mean(near):6.1%}, offset "
        f"exact {np.mean(exact):6.1%}, wrong {np.mean(wrong):6.1%}, "
        f"nothing found {np.mean(none):6.1%}"
    )


def selected(data: Path, count: int) -> list[Path]:
    """All of val, and of train as many as are missing."""
    rng = np.random.default_rng(0)
    val, train = ([item.path for item in find_pictures([data / part])
                   if item.path.parent.name != "masks"] for part in ("val", "train"))  # fmt: skip
    sample = rng.permutation(len(train))[: max(0, count - len(val))]
    return val[:count] + [train[index] for index in sample]


def reduced(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    size = round(0.7 * image.width), round(0.7 * image.height)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def qualities(rng: np.random.Generator) -> tuple[int, int]:
    """Drawn evenly out of all pairs that are asked for."""
    while True:
        first, second = rng.integers(50, 96, 2).tolist()
        if first < second - 5 <= 90:
            return first, second


def compressed(pixels: Pixels, quality: int, subsampling: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return stream.getvalue()


def stored(pixels: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def decoded(data: bytes) -> Pixels:
    return read_picture(data).pixels


if __name__ == "__main__":
    main()
