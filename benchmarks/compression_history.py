"""How well `sida.evidence` finds earlier compressions, on pictures whose history is known.

    python benchmarks/compression_history.py ../shared/data

Each picture is first reduced to 70 %, which removes the history that it comes with. Then

- twice: compressed with quality Q1, decoded, compressed with Q2 (50 <= Q1 < Q2 - 5 <= 90);
- once: compressed with Q2 alone, which must not be taken for twice;
- cut: compressed with 60 <= Q <= 90, decoded, cut by 0 to 7 pixels at the left and at the top, and
  stored without loss.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

from sida.evidence.history import history
from sida.files import find_pictures
from sida.image.read import read_picture

Pixels = np.ndarray


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="a folder with train and val")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    twice, once, cut = [], [], []
    for path in chosen(given.data, given.count, rng):
        pixels = reduced(read_picture(path).pixels)
        first, second = qualities(rng)
        sampling = int(rng.choice([0, 2]))
        earlier = decoded(compressed(pixels, first, sampling))
        twice.append((first, found(compressed(earlier, second, sampling)).quality))
        once.append(found(compressed(pixels, second, sampling)).quality)
        quality, (left, top) = int(rng.integers(60, 91)), rng.integers(0, 8, 2).tolist()
        part = decoded(compressed(pixels, quality, sampling))[top:, left:]
        past = found(stored(part))
        cut.append(((left, top), past.offset, quality, past.quality))
    report(twice, once, cut)


def chosen(data: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """All of val, and of train as many as are missing."""
    val, train = ([item.path for item in find_pictures([data / part])
                   if item.path.parent.name != "masks"] for part in ("val", "train"))  # fmt: skip
    drawn = rng.permutation(len(train))[: max(0, count - len(val))]
    return val[:count] + [train[index] for index in drawn]


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


def found(data: bytes):
    return history(data, read_picture(data))


def report(twice: list, once: list, cut: list) -> None:
    near = [q is not None and abs(q - truth) <= 3 for truth, q in twice]
    print(f"previous quality within 3: {np.mean(near):.1%} of {len(twice)} compressed twice")
    print(f"none found: {np.mean([q is None for _, q in twice]):.1%} of these")
    print(f"none found: {np.mean([q is None for q in once]):.1%} of {len(once)} compressed once")
    exact = [offset == truth for truth, offset, _, _ in cut]
    print(f"grid offset exact: {np.mean(exact):.1%} of {len(cut)} cut and stored without loss")
    near = [q is not None and abs(q - truth) <= 3 for _, _, truth, q in cut]
    print(f"their quality within 3: {np.mean(near):.1%}")


if __name__ == "__main__":
    main()
