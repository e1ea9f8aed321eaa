"""Registration finds the map that was applied."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.pairs.registration import compose, invert, register, resize_matrix, warp
from tests.pairs.pictures import jpeg, scene, similarity, with_blot

SIZE = (150, 200)


def corners_apart(matrix: np.ndarray, truth: np.ndarray, size: tuple[int, int]) -> float:
    """Largest distance at the corners, in pixels of the edited picture."""
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], float)
    predicted, expected = (
        corners @ candidate[:, :2].T + candidate[:, 2] for candidate in (matrix, truth)
    )
    scale = np.sqrt(np.linalg.det(truth[:, :2]))
    return float(np.abs(predicted - expected).max() / scale)


@settings(max_examples=6)
@given(
    scale=st.floats(0.7, 1.5),
    angle=st.floats(-3, 3),
    x=st.floats(10, 40),
    y=st.floats(15, 30),
    quality=st.integers(60, 95),
)
def test_a_known_map_is_found(scale: float, angle: float, x: float, y: float, quality: int) -> None:
    original = scene(300, 380)
    truth = similarity(scale, angle, x, y)
    edited = jpeg(warp(original, truth, SIZE)[0], quality)
    registration = register(original, edited)
    assert corners_apart(registration.matrix, truth, SIZE) < 0.5
    assert registration.agreement > 0.9


def test_an_altered_region_does_not_move_it() -> None:
    original = scene()
    truth = similarity(1.1, 1.0, 12, 9)
    edited = jpeg(warp(with_blot(original)[0], truth, SIZE)[0], 80)
    assert corners_apart(register(original, edited).matrix, truth, SIZE) < 0.5


def test_a_resized_picture_is_resized_as_a_whole_without_interpolation() -> None:
    original = scene()
    edited, _ = warp(original, resize_matrix((240, 320), (150, 200)), (150, 200))
    matrix = register(original, jpeg(edited, 85)).matrix
    assert (matrix == resize_matrix((240, 320), (150, 200))).all()
    assert (warp(original, matrix, (150, 200))[0] == edited).all()


def test_a_crop_is_a_shift_by_whole_pixels() -> None:
    original = scene()
    edited = original[17:217, 30:300]
    matrix = register(original, edited).matrix
    assert matrix.tolist() == [[1, 0, 30], [0, 1, 17]]
    assert (warp(original, matrix, edited.shape[:2])[0] == edited).all()


def test_a_picture_may_be_squeezed_one_way_and_enlarged_the_other() -> None:
    original, size = scene(), (533, 200)
    edited, _ = warp(original, resize_matrix((240, 320), size), size)
    assert (
        corners_apart(register(original, edited).matrix, resize_matrix((240, 320), size), size) < 2
    )


def test_pictures_without_points_are_laid_over_each_other() -> None:
    """Smooth waves: nothing that SIFT could find."""
    y, x = np.mgrid[0:240, 0:320]
    levels = 128 + 60 * np.sin(x / 40) * np.cos(y / 55) + 40 * np.sin((x + 2 * y) / 130)
    original = np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)
    truth = similarity(1.2, 0, 20, 14)
    edited, _ = warp(original, truth, (170, 230))
    assert corners_apart(register(original, edited).matrix, truth, (170, 230)) < 1


@pytest.mark.parametrize("seed", range(3))
def test_unrelated_pictures_do_not_agree(seed: int) -> None:
    assert register(scene(seed=seed), scene(seed=seed + 10)).agreement < 0.1


def test_flat_pictures_agree() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    assert register(flat, flat).agreement == 1


@given(st.floats(0.3, 3), st.floats(-180, 180), st.floats(-99, 99), st.floats(-99, 99))
def test_a_map_and_its_inverse_are_nothing(scale: float, angle: float, x: float, y: float) -> None:
    matrix = similarity(scale, angle, x, y)
    assert np.allclose(compose(matrix, invert(matrix)), np.eye(2, 3), atol=1e-6)


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_a_resize_leads_edges_to_edges(height: int, width: int, tall: int, wide: int) -> None:
    matrix = resize_matrix((height, width), (tall, wide))
    first, last = matrix @ [-0.5, -0.5, 1], matrix @ [wide - 0.5, tall - 0.5, 1]
    assert np.allclose(first, [-0.5, -0.5])
    assert np.allclose(last, [width - 0.5, height - 0.5])


def test_what_the_original_does_not_show_is_not_covered() -> None:
    _, covered = warp(scene(100, 100), similarity(1, 0, -20, 30), (100, 100))
    assert (~covered[:, :20]).all()
    assert (~covered[70:]).all()
    assert covered[:70, 20:].all()
