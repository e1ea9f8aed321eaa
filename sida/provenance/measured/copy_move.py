"""Regions copied within a picture, also turned, scaled or mirrored.

Points that look alike (SIFT: D. Lowe, 2004, also against their mirror images) vote for moves of
the plane, as in I. Amerini et al., "A SIFT-based forensic method for copy-move attack detection",
2011. Each move that several points agree on is then tried pixel by pixel: where the picture, moved,
is the picture again up to a little noise, it was copied. Repeated things of the world, such as
windows, are alike but not that alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Float32Array, Mask

__all__ = ["Copy", "copied_regions"]


SIDE = 1200
"""Longer side, in pixels, at which larger pictures are looked at."""
POINTS = 6_000
APART = 0.04
"""Least distance of a match, as a fraction of the longer side."""
LEAST_POINTS = 4
MOVES = 16
"""Moves that are tried."""
ROUGH, FINE = 16.0, 3.0
"""Pixels by which a point may miss the place that a move leads it to."""
LEAST_AREA = 0.01
"""Fraction of the picture below which a copy is not told."""

WINDOW = (9, 9)
"""Pixels around each that are compared."""
SHIFTS = ((0, 4), (4, 0), (3, 3), (3, -3))
"""Rows and columns by which a picture is compared with itself: an edge is alike along itself."""
SURE = 0.1
"""Fraction of a region that has to be alike beyond doubt."""
OVERLAP = 0.3
"""Fraction of a region above which it may not overlap with its own copy."""


@dataclass(frozen=True, eq=False)
class Copy:
    """A copied region; which of the two came first cannot be told.

    Attributes:
        first, second: (height, width) bool.
        angle: degrees that the second is turned against the first, clockwise.
        scale: of the second against the first.
        mirrored: whether it is a mirror image; then left and right change places first.
    """

    first: Mask
    second: Mask
    angle: float
    scale: float
    mirrored: bool


class _Points(NamedTuple):
    """Places (points, 2) as x and y, sizes, angles in radians, unit descriptors (points, 128)."""

    positions: Float32Array
    sizes: Float32Array
    angles: Float32Array
    descriptors: Float32Array


class _Matches(NamedTuple):
    """Pairs of points, and the move (matches, 2, 3) that each of them stands for."""

    sources: Float32Array
    targets: Float32Array
    moves: Float32Array


def copied_regions(pixels: NDArray[np.uint8]) -> list[Copy]:
    """Copies in a picture (height, width, 3) uint8, largest first."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = pixels
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    copies: list[Copy] = []
    covered = np.zeros(small.shape[:2], bool)
    scene = _scene(small)
    for move, mirrored in _moves(small):
        for region in _alike(scene, move):
            moved = _warped(region, move)
            both = region | moved
            # A texture that repeats itself is alike where it overlaps with itself.
            if (region & moved).sum() > OVERLAP * region.sum():
                continue
            if (covered & both).sum() > 0.5 * both.sum():
                continue
            covered |= both
            masks = [_enlarged(region_mask, (width, height)) for region_mask in (region, moved)]
            copies.append(Copy(masks[0], masks[1], *_described(move, mirrored), mirrored))
    return sorted(copies, key=lambda copy: -int(copy.first.sum()))


def _described(move: Float32Array, mirrored: bool) -> tuple[float, float]:
    """Angle in degrees, after mirroring from left to right if so, and scale."""
    sense = -1 if mirrored else 1
    turned = np.degrees(np.arctan2(sense * move[1, 0], sense * move[0, 0]))
    scale = np.hypot(move[0, 0], move[1, 0])
    return round(float(turned), 1) + 0.0, round(float(scale), 3)  # never -0.0


def _moves(pixels: NDArray[np.uint8]) -> Iterator[tuple[Float32Array, bool]]:
    """Moves (2, 3) of the plane that several points agree on, those with most points first."""
    points = _points(pixels)
    if points is None:
        return
    apart = APART * max(pixels.shape[:2])
    # Descriptors do not survive mirroring, so mirrored copies are looked for by themselves.
    for mirrored in (False, True):
        matches = _matches(points, mirrored, apart)
        for _ in range(MOVES):
            if len(matches.sources) < LEAST_POINTS:
                break
            move, used = _best_move(matches, mirrored)
            if move is not None:
                yield move, mirrored
            # Points of a move that was tried are taken away, whether it held or not: this ends.
            matches = _Matches(*(part[~used] for part in matches))


def _points(pixels: NDArray[np.uint8]) -> _Points | None:
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    finder = cv2.SIFT.create(nfeatures=POINTS, contrastThreshold=0.01, edgeThreshold=20)
    keys, descriptors = finder.detectAndCompute(grey, None)
    if descriptors is None or len(keys) < 2 * LEAST_POINTS:
        return None
    rooted = np.sqrt(descriptors / (descriptors.sum(axis=1, keepdims=True) + 1e-6))
    return _Points(
        np.array([key.pt for key in keys], np.float32),
        np.array([key.size for key in keys], np.float32),
        np.radians([key.angle for key in keys]).astype(np.float32),
        rooted.astype(np.float32),
    )


def _mirrored(descriptors: Float32Array) -> Float32Array:
    """Descriptors of the mirror image: rows of cells and senses of turning change places."""
    cells = descriptors.reshape(-1, 4, 4, 8)[:, ::-1]
    turned = np.roll(cells[..., ::-1], 1, axis=-1)
    return np.ascontiguousarray(turned).reshape(-1, 128)


def _matches(points: _Points, mirrored: bool, apart: float) -> _Matches:
    """The two most similar points elsewhere, where they are much more so than a further one."""
    descriptors = _mirrored(points.descriptors) if mirrored else points.descriptors
    sources, targets = [], []
    for start in range(0, len(descriptors), 1000):
        part = np.s_[start : start + 1000]
        likeness = descriptors[part] @ points.descriptors.T
        likeness[_squares(points.positions[part], points.positions) < apart**2] = -1
        nearest = np.argpartition(-likeness, 3, axis=1)[:, :4]
        values = np.take_along_axis(likeness, nearest, axis=1)
        order = np.argsort(-values, axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        distance = np.sqrt(np.maximum(0, 2 - 2 * np.take_along_axis(values, order, axis=1)))
        good = (distance[:, 0] < 0.8 * distance[:, 2]) & (distance[:, 0] < 0.6)
        sources.append(np.flatnonzero(good) + start)
        targets.append(nearest[good, 0])
    first, second = np.concatenate(sources), np.concatenate(targets)
    scale = points.sizes[second] / points.sizes[first]
    sense = -1 if mirrored else 1
    angle = points.angles[second] - sense * points.angles[first]
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.stack(
        [np.stack([cosine, -sense * sine], 1), np.stack([sine, sense * cosine], 1)], axis=1
    )
    positions, to = points.positions[first], points.positions[second]
    shift = to - np.einsum("nij,nj->ni", linear, positions)
    moves = np.concatenate([linear, shift[..., None]], axis=2).astype(np.float32)
    sane = (scale > 0.5) & (scale < 2)
    return _Matches(positions[sane], to[sane], moves[sane])


def _squares(first: Float32Array, second: Float32Array) -> Float32Array:
    """(first, second): squared distances of points."""
    lengths = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.asarray(lengths - 2 * first @ second.T, np.float32)


def _best_move(matches: _Matches, mirrored: bool) -> tuple[Float32Array | None, Mask]:
    """The move that most matches agree with, fitted to them, if it holds; and which they are.

    A single point's move is sure only near it, so the first count is a rough one.
    """
    few = np.random.default_rng(0).permutation(len(matches.sources))[:1500]
    votes = [_agreeing(matches, matches.moves[index], ROUGH).sum() for index in few]
    inliers = _agreeing(matches, matches.moves[few[int(np.argmax(votes))]], ROUGH)
    move: Float32Array | None = None
    for _ in range(2):
        if len(np.unique(matches.sources[inliers].round(), axis=0)) < LEAST_POINTS:
            return None, inliers
        move = _fitted(matches.sources[inliers], matches.targets[inliers], mirrored)
        if move is None:
            return None, inliers
        inliers |= _agreeing(matches, move, FINE)
    close = move is not None and _agreeing(matches, move, FINE).sum() >= LEAST_POINTS
    return move if close else None, inliers


def _agreeing(matches: _Matches, move: Float32Array, within: float) -> Mask:
    """Matches that a move takes to their targets, to so many pixels."""
    reached = matches.sources @ move[:, :2].T + move[:, 2]
    agreeing: Mask = ((reached - matches.targets) ** 2).sum(axis=1) < within**2
    return agreeing


def _fitted(sources: Float32Array, targets: Float32Array, mirrored: bool) -> Float32Array | None:
    """The turn, scale and shift, after mirroring if so, that most of the pairs agree on."""
    import cv2

    sense = np.array([-1 if mirrored else 1, 1], np.float32)
    result: Any = cv2.estimateAffinePartial2D(
        sources * sense, targets, method=cv2.RANSAC, ransacReprojThreshold=FINE
    )
    if result[0] is None:
        return None
    move = np.asarray(result[0], np.float32)
    move[:, :2] *= sense
    return move


class _Scene(NamedTuple):
    """A picture, slightly blurred (height, width, 3), and how much it varies around each pixel:
    in all (`spread`), and in the direction in which it varies least when shifted (`self_distance`).
    """

    pixels: Float32Array
    spread: Float32Array
    self_distance: Float32Array


def _scene(pixels: NDArray[np.uint8]) -> _Scene:
    import cv2

    soft = np.asarray(cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 1.0), np.float32)
    mean = cv2.boxFilter(soft, -1, WINDOW)
    spread = (cv2.boxFilter(soft**2, -1, WINDOW) - mean**2).mean(axis=2)
    self_distance = np.min(
        [_distance(soft, np.roll(soft, shift, (0, 1))) for shift in SHIFTS], axis=0
    )
    return _Scene(soft, spread, self_distance)


def _alike(scene: _Scene, move: Float32Array) -> list[Mask]:
    """(height, width): parts where the picture is the same at the place that the move leads to."""
    import cv2

    if not 0.4 < abs(np.linalg.det(move[:, :2])) < 2.5:
        return []
    size = scene.self_distance.shape[::-1]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = np.asarray(cv2.warpAffine(scene.pixels, move, size, flags=flags), np.float32)
    inside = (
        cv2.warpAffine(np.ones(scene.self_distance.shape, np.uint8), move, size, flags=flags) > 0
    )
    apart = _distance(scene.pixels, moved)
    same = (apart < 0.25 * scene.spread + 1.5) & inside
    sure = (apart < 0.1 * scene.self_distance) & (scene.self_distance > 4) & inside
    return _grown(same, sure)


def _distance(first: Float32Array, second: Float32Array) -> Float32Array:
    """Mean squared difference around each pixel."""
    import cv2

    squares = np.square(first - second).mean(axis=2)
    return np.asarray(cv2.boxFilter(squares, -1, WINDOW), np.float32)


def _grown(same: Mask, sure: Mask) -> list[Mask]:
    """Connected parts of what is the same that are sure in much of them, without holes."""
    import cv2

    least = LEAST_AREA * same.size
    opened = cv2.morphologyEx(same.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    _, labels = cv2.connectedComponents(closed)
    sizes = np.bincount(labels.ravel())
    certain = np.bincount(labels.ravel(), weights=(sure & (closed > 0)).ravel())
    labels_kept = np.flatnonzero((sizes >= least) & (certain >= SURE * sizes))
    return [_filled(labels == label) for label in labels_kept if label]


def _filled(region: Mask) -> Mask:
    """Without holes."""
    import cv2

    outlines, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled: Any = np.zeros(region.shape, np.uint8)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
    return np.asarray(filled, bool)


def _warped(mask: Mask, move: Float32Array) -> Mask:
    import cv2

    height, width = mask.shape
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8), move, (width, height)), bool)


def _enlarged(mask: Mask, size: tuple[int, int]) -> Mask:
    import cv2

    if mask.shape == size[::-1]:
        return mask
    return np.asarray(
        cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), bool
    )
