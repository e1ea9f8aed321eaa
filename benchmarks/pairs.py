"""How well `sida.pairs` tells what was changed between an original and an edited picture.

    python benchmarks/pairs.py PHOTOGRAPHS --autoencoders DIR

Four kinds of pairs are made, `--count` of each. In all of them the original is stored as JPEG of
quality 80 to 95, and the edited one is delivered: cropped by up to 10 % (a shift), resized by 0.6
to 1.5, turned by up to 2° (every third one), and stored as JPEG of quality 70 to 95.

    local      a region altered by the forge's own functions, whose mask is known
    whole      re-rendered in one of six ways: through an autoencoder of the forge, as it is and
               with detail matched; denoised, or smoothed between its edges, then resized; a colour
               filter; enlarged from half of its size and sharpened
    same       delivered, nothing else
    unrelated  another photograph, delivered

The autoencoders are those of the forge's recipe `small`; DIR is where they are, or are trained.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.files import find_pictures
from sida.forge import tamper, train_autoencoders
from sida.forge.autoencoder import load_codec
from sida.forge.config import read_config
from sida.forge.regions import draw_region
from sida.forge.synthesize import reconstruct
from sida.image.perturbation import Step, apply
from sida.image.read import read_picture
from sida.pairs import compare
from sida.pairs.registration import warp

AREA = (0.01, 0.35)
REGIONS = {"superpixels": 2, "shape": 1}  # as the forge's recipes, without known objects
LEAST_SIDE = 128


def jpeg(pixels, rng, low):
    """Stored as JPEG and read again."""
    return apply(pixels, None, [Step("jpeg", {"quality": int(rng.integers(low, 96))})])[0]


def delivered(pixels, mask, rng, turned):
    """Picture and mask cropped, resized, maybe turned, and stored."""
    height, width = pixels.shape[:2]
    scale = float(np.exp(rng.uniform(np.log(0.6), np.log(1.5))))
    angle = np.radians(rng.uniform(-2, 2)) if turned else 0.0
    part = 0.9
    size = round(height * scale * part), round(width * scale * part)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    room = (1 - part) / 2 - (0.02 if turned else 0)  # corners of a turned one stay inside
    centre = np.array([width, height]) * (0.5 + rng.uniform(-room, room, 2))
    matrix = np.column_stack([turn, centre - turn @ np.array([size[1] / 2, size[0] / 2])])
    moved, _ = warp(pixels, matrix, size)
    levels = mask.astype(np.uint8)
    nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return jpeg(moved, rng, 70), cv2.warpAffine(levels, matrix, size[::-1], flags=nearest) > 0


def altered(pixels, donor, codecs, number, rng):
    """A region altered in one of the forge's ways that leave the rest alone."""
    ways: list[Callable] = [
        lambda region: tamper.splice(pixels, region, donor, "plain", rng),
        lambda region: tamper.splice(pixels, region, donor, "alpha", rng),
        lambda region: tamper.splice(pixels, region, donor, "poisson", rng),
        lambda region: tamper.copy_move(pixels, region, rng),
        lambda region: tamper.remove(pixels, region, "telea", rng),
        lambda region: tamper.regenerate(
            pixels, region, codecs[number % len(codecs)], lambda: donor, "paste", rng
        ),
    ]
    while True:
        try:
            made = ways[number % len(ways)](draw_region(pixels, rng, REGIONS, AREA))
        except cv2.error:  # a shape that OpenCV's blending cannot do
            continue
        if made.is_visible(pixels):
            return made


def rerendered(pixels, codecs, number, rng):
    """Every pixel made anew, and what that was."""
    height, width = pixels.shape[:2]
    codec = codecs[number % len(codecs)]

    def resized(made, scale):
        return apply(made, None, [Step("resize", {"scale": scale})])[0]

    def denoised():
        return resized(cv2.fastNlMeansDenoisingColored(pixels, None, 8, 8, 7, 21), 0.8)

    def smoothed():
        return resized(cv2.bilateralFilter(pixels, 11, 60, 7), 1.2)

    def filtered():
        step = {"brightness": 1.1, "contrast": 1.25, "saturation": 0.6}
        return apply(pixels, None, [Step("colour", step)])[0]

    def enlarged():
        small = resized(pixels, 0.5)
        made = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        return apply(made, None, [Step("sharpen", {"percent": 80})])[0]

    ways = {
        "autoencoder": lambda: reconstruct(pixels, codec).pixels,
        "autoencoder, detail matched": lambda: reconstruct(pixels, codec, True).pixels,
        "denoised": denoised,
        "smoothed": smoothed,
        "filtered": filtered,
        "enlarged": enlarged,
    }
    name = list(ways)[number % len(ways)]
    return ways[name](), name


def fitting(donor, size):
    """Another photograph, at the size of the first."""
    return cv2.resize(donor, size[::-1], interpolation=cv2.INTER_AREA)


def scores(found, truth):
    """F1 of two masks; 1 where both are empty."""
    both = 2 * (found & truth).sum()
    return float(both / max(1, found.sum() + truth.sum()))


def pairs(photographs, codecs, count, seed):
    """Yields (kind, what was done, original, edited, mask)."""
    for kind in ("local", "whole", "same", "unrelated"):
        for number in range(count):
            rng = np.random.default_rng([seed, number, len(kind)])
            pixels = photographs[number % len(photographs)]
            other = photographs[(number + 1 + len(photographs) // 2) % len(photographs)]
            mask, name, edited = np.zeros(pixels.shape[:2], bool), kind, pixels
            if kind == "local":
                made = altered(pixels, fitting(other, pixels.shape[:2]), codecs, number, rng)
                edited, mask, name = made.pixels, made.mask, made.operation
            elif kind == "whole":
                edited, name = rerendered(pixels, codecs, number, rng)
                mask = np.ones(edited.shape[:2], bool)
            elif kind == "unrelated":
                edited = other
                mask = np.ones(edited.shape[:2], bool)
            edited, mask = delivered(edited, mask, rng, number % 3 == 0)
            yield kind, name, jpeg(pixels, rng, 80), edited, mask


def main() -> None:
    """Make, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--autoencoders", type=Path, required=True, metavar="DIR")
    parser.add_argument("--count", type=int, default=60, help="pairs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = read_config("small", [f"photographs={options.photographs}"])
    train_autoencoders("small", options.autoencoders, [f"photographs={options.photographs}"])
    codecs = [load_codec(each, options.autoencoders / each.name) for each in config.autoencoders]
    photographs = [read_picture(item).pixels for item in find_pictures([options.photographs])]
    photographs = [each for each in photographs if min(each.shape[:2]) >= LEAST_SIDE]

    told, by_name, f1 = {}, {}, {}
    for kind, name, original, edited, mask in pairs(
        photographs, codecs, options.count, options.seed
    ):
        found = compare(original, edited)
        told.setdefault(kind, Counter())[found.relation] += 1
        by_name.setdefault(f"{kind}: {name}", Counter())[found.relation] += 1
        if kind == "local":
            f1.setdefault(name, []).append(scores(found.mask, mask))
    every = [value for values in f1.values() for value in values]
    result = {
        "told": told,
        "f1": {"median": float(np.median(every)), "mean": float(np.mean(every))},
        "f1_by_operation": {name: float(np.median(values)) for name, values in f1.items()},
        "told_by_operation": by_name,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
