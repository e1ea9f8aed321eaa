"""Registration: where each pixel of an edited picture lies in its original.

Points that look alike in both (SIFT: D. Lowe, 2004) vote for a similarity (RANSAC), which is then
refined to an affine map by the enhanced correlation coefficient (G. Evangelidis and E. Psarakis,
2008). That coefficient does not change with brightness and contrast.

Maps are (2, 3) float64 and lead x, y of the edited picture to x, y of the original; pixel centres
are whole numbers.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sida.image.arrays import Float32Array, Mask, Pixels

__all__ = ["Matrix", "Registration", "compose", "invert", "register", "resize_matrix", "warp"]

Matrix = NDArray[np.float64]
Size = tuple[int, int]

SIDE = 1024
"""Longer side, in pixels, at which points are looked for and the map is refined."""
POINTS = 3_000
RATIO = 0.8
"""Largest distance of the best match, as a fraction of the second best one's."""
MISS = 3.0
"""Pixels by which a point may miss the place that the map leads it to."""
LEAST_POINTS = 8
MOST_SCALE, MOST_STRETCH = 8.0, 1.2
COARSE = 96
SCALES = tuple(2.0 ** (step / 8) for step in range(-8, 13))
"""Longer side, in pixels, and scales at which pictures without points are tried."""
ITERATIONS, PRECISION = 80, 1e-6
SMOOTHED = 5
"""Side in pixels of the Gaussian window before refinement: finer detail is mostly coding."""

WINDOW = 11
"""Side in pixels of the windows whose correlation says whether they look alike."""
DETAIL = 2.0
"""Standard deviation of grey levels below which a window has nothing to be recognised by."""
LEAST_DETAIL = 0.01
"""Share of windows with detail below which a picture counts as having none."""
ALIKE = 0.7
"""Correlation from which on two windows look alike."""
EXACT = 0.003
"""Loss of correlation below which a map that needs no interpolation is preferred."""


@dataclass(frozen=True, eq=False)
class Registration:
    """A map from an edited picture to its original.

    Attributes:
        matrix: (2, 3) float64.
        agreement: share of the edited picture's windows with detail that look alike under it; of
            pictures without any detail, 1.
    """

    matrix: Matrix
    agreement: float


def register(original: Pixels, edited: Pixels) -> Registration:
    """The map under which most of two pictures (height, width, 3) uint8 looks alike.

    Stretching the original's frame over the edited one's is always tried, too: pictures without
    any points that can be told from others have that alone.
    """
    stretch = resize_matrix(original.shape[:2], edited.shape[:2])
    first, second = _reduced(original), _reduced(edited)
    # Between the full pictures and the ones that are looked at.
    before = resize_matrix(original.shape[:2], first.shape)
    after = resize_matrix(second.shape, edited.shape[:2])

    starts = [compose(invert(before), compose(stretch, invert(after)))]
    if (similarity := _similarity(first, second)) is not None:
        starts.append(similarity)
    else:
        starts.append(_best_place(first, second))
    maps = [
        compose(before, compose(_refined(first, second, candidate), after)) for candidate in starts
    ]
    # Rounded, a map that enlarges by two and more is none.
    rounded = [matrix for matrix in map(np.rint, maps) if _is_plausible(matrix)]
    candidates = [stretch, *rounded, *maps]
    alike = [
        _correlation(first, second, compose(invert(before), compose(candidate, invert(after))))
        for candidate in candidates
    ]
    # The first ones need no interpolation.
    enough = max(candidate.mean for candidate in alike) - EXACT
    best = next(number for number, candidate in enumerate(alike) if candidate.mean >= enough)
    return Registration(candidates[best], alike[best].agreement)


def resize_matrix(original: Size, edited: Size) -> Matrix:
    """The map of a picture (height, width) that was resized to another as a whole."""
    y, x = (old / new for old, new in zip(original, edited, strict=True))
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]])


def compose(outer: Matrix, inner: Matrix) -> Matrix:
    """The map that does `inner` first."""
    product: Matrix = _square(outer) @ _square(inner)
    return product[:2]


def invert(matrix: Matrix) -> Matrix:
    """The map back."""
    return np.asarray(np.linalg.inv(_square(matrix)), float)[:2]


def _square(matrix: Matrix) -> Matrix:
    return np.vstack([matrix, [0, 0, 1]])


def warp(original: NDArray[Any], matrix: Matrix, size: Size) -> tuple[Pixels, Mask]:
    """The original as the edited picture's frame shows it, and which pixels of it there are.

    Args:
        original: (height, width) or (height, width, 3) uint8.
        matrix: a map.
        size: (height, width) of the edited picture.
    """
    stretched = np.hypot(matrix[0], matrix[1])[:2]  # in x and y
    height, width = original.shape[:2]
    covered = _covered(matrix, (height, width), size)
    is_whole = np.allclose(matrix, resize_matrix((height, width), size), atol=1e-6)
    if is_whole or stretched.max() > 1.01:
        # Pillow's filters leave out detail that the smaller picture cannot hold.
        to = size
        if not is_whole:
            to = max(1, round(height / stretched[1])), max(1, round(width / stretched[0]))
        original = np.asarray(Image.fromarray(original).resize(to[::-1], Image.Resampling.LANCZOS))
        matrix = compose(resize_matrix(to, (height, width)), matrix)
    if original.shape[:2] == size and np.allclose(matrix, np.eye(2, 3), atol=1e-6):
        return np.ascontiguousarray(original), covered
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(
        original, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.uint8), covered


def _covered(matrix: Matrix, original: Size, edited: Size) -> Mask:
    """Pixels of the edited picture whose centres lie in the original."""
    rows, columns = np.ogrid[: edited[0], : edited[1]]
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
    inside: Mask = (x > -0.75) & (x < original[1] - 0.25) & (y > -0.75) & (y < original[0] - 0.25)
    return inside


def _reduced(pixels: Pixels) -> Pixels:
    """Grey levels (height, width) with at most `SIDE` pixels on the longer side."""
    grey = Image.fromarray(pixels).convert("L")
    scale = SIDE / max(grey.size)
    if scale < 1:
        size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
        grey = grey.resize(size, Image.Resampling.BOX)
    return np.asarray(grey)


def _similarity(original: Pixels, edited: Pixels) -> Matrix | None:
    """The similarity that most points agree on; None where they are too few."""
    finder = cv2.SIFT.create(nfeatures=POINTS, contrastThreshold=0.005)
    (positions, descriptors), (other_positions, theirs) = (
        _points(finder, picture) for picture in (edited, original)
    )
    if min(len(positions), len(other_positions)) < LEAST_POINTS:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(descriptors, theirs, k=2)
    matches = [best for best, second in pairs if best.distance < RATIO * second.distance]
    if len(matches) < LEAST_POINTS:
        return None
    matrix, used = cv2.estimateAffinePartial2D(
        positions[[match.queryIdx for match in matches]],
        other_positions[[match.trainIdx for match in matches]],
        ransacReprojThreshold=MISS,
        maxIters=5_000,
        confidence=0.999,
    )
    if matrix is None or int(used.sum()) < LEAST_POINTS:
        return None
    # RANSAC also returns collapsed maps, on which many points agree by chance.
    similarity: Matrix = np.asarray(matrix, float)
    return similarity if _is_plausible(similarity) else None


def _best_place(original: Pixels, edited: Pixels) -> Matrix:
    """The shift and scale under which the middle of the edited picture fits the original best.

    For pictures without points, such as a blurred wall; found at a size of few pixels.
    """
    best, matrix = -1.0, np.eye(2, 3)
    shrunk = min(1.0, COARSE / max(edited.shape))
    for scale in SCALES:
        template = _resized(edited, shrunk * scale)
        scene = _resized(original, shrunk)
        margins = [side // 8 for side in template.shape]
        y, x = margins
        # The middle alone: the edited picture may reach beyond the original.
        template = template[y : template.shape[0] - y, x : template.shape[1] - x]
        if min(template.shape) < 8 or any(
            part > side for part, side in zip(template.shape, scene.shape, strict=True)
        ):
            continue
        fit = cv2.matchTemplate(scene, template, cv2.TM_CCOEFF_NORMED)
        _, value, _, (left, top) = cv2.minMaxLoc(fit)
        if value > best:
            best = value
            matrix = np.array([[scale, 0, (left - x) / shrunk], [0, scale, (top - y) / shrunk]])
    return matrix


def _resized(grey: Pixels, scale: float) -> Pixels:
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))


def _points(finder: Any, grey: Pixels) -> tuple[Float32Array, Float32Array]:
    keys, descriptors = finder.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    return np.array([key.pt for key in keys], np.float32), descriptors


def _is_plausible(matrix: Matrix) -> bool:
    """True if it neither mirrors, nor stretches too much or much more one way than the other."""
    if np.linalg.det(matrix[:, :2]) <= 0:
        return False
    largest, smallest = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(
        smallest > 1 / MOST_SCALE and largest < MOST_SCALE and largest < MOST_STRETCH * smallest
    )


def _refined(original: Pixels, edited: Pixels, matrix: Matrix) -> Matrix:
    """The affine map near `matrix` under which what looks alike already correlates best."""
    alike = _correlation(original, edited, matrix).alike
    if not alike.any():
        return matrix
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ITERATIONS, PRECISION)
    # OpenCV masks the picture that is warped, so the way from the original to the edited one is
    # asked for: which parts were changed is known in the pixels of the latter.
    start = invert(matrix).astype(np.float32)
    levels = alike.astype(np.uint8) * np.uint8(255)
    try:
        _, transform = cv2.findTransformECC(
            original, edited, start, cv2.MOTION_AFFINE, criteria, levels, SMOOTHED
        )
        refined = invert(np.asarray(transform, float))
    except (cv2.error, np.linalg.LinAlgError):  # it did not converge
        return matrix
    return refined if _is_plausible(refined) else matrix


@dataclass(frozen=True, eq=False)
class _Correlation:
    """Local correlation of an edited picture with its warped original.

    Attributes:
        mean: over all windows with detail; what the original does not cover counts as 0.
        agreement: share of these windows that look alike; 1 where there are hardly any.
        alike: (height, width) bool, windows with detail that look alike.
    """

    mean: float
    agreement: float
    alike: Mask


def _correlation(original: Pixels, edited: Pixels, matrix: Matrix) -> _Correlation:
    warped, covered = warp(original, matrix, edited.shape)
    (mean, deviation), (other_mean, other_deviation) = _moments(edited), _moments(warped)
    # Moments in float32 are exact enough here: levels are 8 bits, windows 121 pixels.
    covariance = _box(edited.astype(np.float32) * warped) - mean * other_mean
    local = covariance / np.maximum(deviation * other_deviation, DETAIL**2)
    local = np.where(covered, local, 0)
    has_detail = np.maximum(deviation, other_deviation) > DETAIL
    alike = has_detail & (local > ALIKE)
    if has_detail.mean() < LEAST_DETAIL:
        return _Correlation(0.0, 1.0, alike)
    agreement = float(alike.sum() / has_detail.sum())
    return _Correlation(float(local[has_detail].mean()), agreement, alike)


def _moments(grey: Pixels) -> tuple[Float32Array, Float32Array]:
    """Mean and standard deviation in each pixel's window."""
    levels = grey.astype(np.float32)
    mean = _box(levels)
    return mean, np.sqrt(np.maximum(_box(levels**2) - mean**2, 0))


def _box(levels: Float32Array) -> Float32Array:
    return np.asarray(cv2.blur(levels, (WINDOW, WINDOW)), np.float32)
