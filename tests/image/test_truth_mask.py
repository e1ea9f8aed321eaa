"""Masks in every form that people save them in: altered is what is not background."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sida.errors import PictureError
from sida.image.truth_mask import read_truth_mask
from tests.pictures import encoded, file_bytes, png16

MARKED = np.zeros((16, 24), bool)
MARKED[3:9, 5:20] = True
RED, WHITE = (255, 0, 0), (255, 255, 255)


def grey(low: int, high: int, dtype: type = np.uint8) -> np.ndarray:
    return np.where(MARKED, high, low).astype(dtype)


def coloured(mark: tuple[int, ...], ground: tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    return np.where(MARKED[..., None], mark, ground).astype(np.uint8)


def palette(*colours: tuple[int, int, int], mark: int = 1, ground: int = 0) -> Image.Image:
    """A picture of two indices, or of three, 255 at the left, where there is a 256th colour."""
    image = Image.fromarray(np.where(MARKED, mark, ground).astype(np.uint8)).convert("P")
    image.putpalette([level for colour in colours for level in colour])
    return image


def with_void(image: Image.Image) -> Image.Image:
    """The same with its left column of index 255 in VOC's colour."""
    colours = [*(image.getpalette() + [0] * 768)[:765], 224, 224, 192]
    indices = np.array(image)
    indices[:, 0] = 255
    void = Image.fromarray(indices).convert("P")
    void.putpalette(colours)
    return void


def with_alpha(colours: np.ndarray, alpha: np.ndarray) -> Image.Image:
    image = Image.fromarray(colours)
    image.putalpha(Image.fromarray(alpha))
    return image


VOC = ((0, 0, 0), (128, 0, 0), (0, 128, 0))
PLAIN: dict[str, Callable[[], bytes]] = {
    "0 and 255": lambda: encoded(grey(0, 255), "PNG"),
    "1 bit": lambda: encoded(Image.fromarray(MARKED), "PNG"),
    "1 bit, TIFF": lambda: encoded(Image.fromarray(MARKED), "TIFF"),
    "rgb": lambda: encoded(coloured(WHITE), "PNG"),
    "bmp": lambda: encoded(grey(0, 255), "BMP"),
    "grey palette": lambda: encoded(Image.fromarray(grey(0, 255)).convert("P"), "PNG"),
    "palette, black last": lambda: encoded(palette(WHITE, (0, 0, 0), mark=0, ground=1), "PNG"),
    "gif": lambda: encoded(grey(0, 255), "GIF"),
}
UNUSUAL: dict[str, Callable[[], bytes]] = {
    "0 and 1": lambda: encoded(grey(0, 1), "PNG"),
    "0 and 2": lambda: encoded(grey(0, 2), "PNG"),
    "0 and 100": lambda: encoded(grey(0, 100), "PNG"),
    "100 and 255": lambda: encoded(grey(100, 255), "PNG"),
    "254 and 255": lambda: encoded(grey(254, 255), "PNG"),
    "16 bits, 0 and 1": lambda: encoded(Image.fromarray(grey(0, 1, np.uint16)), "PNG"),
    "16 bits, 0 and 255": lambda: encoded(Image.fromarray(grey(0, 255, np.uint16)), "PNG"),
    "16 bits, 0 and 65535": lambda: encoded(Image.fromarray(grey(0, 65535, np.uint16)), "PNG"),
    "16 bits, TIFF": lambda: encoded(Image.fromarray(grey(0, 1, np.uint16)), "TIFF"),
    "16 bits, PGM": lambda: encoded(Image.fromarray(grey(0, 1, np.uint16)), "PPM"),
    "16 bits, rgb of 0 and 1": lambda: png16(np.repeat(grey(0, 1, np.uint16)[..., None], 3, 2), 2),
    "32 bits": lambda: encoded(Image.fromarray(grey(0, 1, np.int32)), "TIFF"),
    "floats": lambda: encoded(Image.fromarray(grey(0, 1, np.float32) / np.float32(2)), "TIFF"),
    "red": lambda: encoded(coloured(RED), "PNG"),
    "blue": lambda: encoded(coloured((0, 0, 255)), "PNG"),
    "almost black": lambda: encoded(coloured((1, 0, 0)), "PNG"),
    "VOC": lambda: encoded(palette(*VOC), "PNG"),
    "VOC, index 2": lambda: encoded(palette(*VOC, mark=2), "PNG"),
    "VOC with a void": lambda: encoded(with_void(palette(*VOC)), "PNG"),
    "VOC, GIF": lambda: encoded(palette(*VOC), "GIF", optimize=False),
    "VOC, BMP": lambda: encoded(palette(*VOC), "BMP"),
    "all colours black": lambda: encoded(palette((0, 0, 0), (0, 0, 0)), "PNG"),
    "quantized red": lambda: encoded(Image.fromarray(coloured(RED)).quantize(2), "PNG"),
    "palette, the ground transparent": lambda: encoded(palette(WHITE, RED), "PNG", transparency=0),
    "alpha of white": lambda: encoded(with_alpha(coloured(WHITE, WHITE), grey(0, 255)), "PNG"),
    "alpha of black": lambda: encoded(
        with_alpha(coloured((0, 0, 0)), grey(0, 255)), "PNG"
    ),
    "alpha of grey": lambda: encoded(with_alpha(grey(9, 9), grey(0, 255)), "PNG"),
    "alpha of 0 and 1": lambda: encoded(with_alpha(grey(9, 9), grey(0, 1)), "PNG"),
    "red on nothing": lambda: encoded(with_alpha(coloured(RED), grey(0, 255)), "PNG"),
    "red on a white that is hidden": lambda: encoded(
        with_alpha(coloured(RED, WHITE), grey(0, 255)), "PNG"
    ),
    "a cut-out photograph": lambda: encoded(
        with_alpha(np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8), grey(0, 255)),
        "PNG",
    ),
    "webp with alpha": lambda: encoded(
        with_alpha(coloured(WHITE, WHITE), grey(0, 255)), "WEBP", lossless=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", PLAIN)
def test_plain_masks_are_read_without_a_word(form: str) -> None:
    mask = read_truth_mask(PLAIN[form]())
    assert np.array_equal(mask.levels, grey(0, 255))
    assert (mask.levels.dtype, mask.reading, mask.is_cut) == (np.uint8, None, False)


@pytest.mark.parametrize("form", UNUSUAL)
def test_unusual_masks_mark_the_same_and_say_how_they_were_read(form: str) -> None:
    mask = read_truth_mask(UNUSUAL[form]())
    assert np.array_equal(mask.levels, grey(0, 255))
    assert mask.reading is not None
    assert not mask.is_cut


@pytest.mark.parametrize("colours", [grey(0, 255), coloured(WHITE)], ids=["grey", "rgb"])
def test_an_alpha_that_says_nothing_is_left_out(colours: np.ndarray) -> None:
    for level in (0, 128, 255):
        alpha = np.full(MARKED.shape, level, np.uint8)
        mask = read_truth_mask(encoded(with_alpha(colours, alpha), "PNG"))
        assert np.array_equal(mask.levels, grey(0, 255))
        assert mask.reading is None


def test_black_and_white_count_where_they_are_seen() -> None:
    """A border of transparency around an opaque mask."""
    alpha = np.full(MARKED.shape, 255, np.uint8)
    alpha[:, -2:] = 0
    mask = read_truth_mask(encoded(with_alpha(grey(0, 255), alpha), "PNG"))
    assert np.array_equal(mask.levels, grey(0, 255))


@pytest.mark.parametrize("level", [0, 1, 77, 255])
def test_one_level_is_all_or_nothing(level: int) -> None:
    mask = read_truth_mask(encoded(grey(level, level), "PNG"))
    assert (mask.levels == (255 if level else 0)).all()
    assert (mask.reading is None) == (level in (0, 255))


def test_an_empty_palette_mask_is_empty() -> None:
    assert not read_truth_mask(encoded(palette(*VOC, mark=0), "PNG")).levels.any()
    assert not read_truth_mask(encoded(with_void(palette(*VOC, mark=0)), "PNG")).levels.any()


def test_more_levels_are_cut_at_half_of_their_range_and_named() -> None:
    levels = grey(0, 255)
    levels[0, :4] = 76
    mask = read_truth_mask(encoded(levels, "PNG"))
    assert np.array_equal(mask.levels, grey(0, 255))
    assert mask.is_cut
    assert str(mask.reading).startswith("has levels 0, 76, 255: 76 counts as unaltered (1.0%")
    red_and_white = coloured(WHITE)
    red_and_white[0, :4] = RED
    assert "levels 0, 76, 255" in str(read_truth_mask(encoded(red_and_white, "PNG")).reading)
    low = grey(0, 100)
    low[0, 0], low[0, 1] = 49, 50
    expected = grey(0, 255)
    expected[0, 1] = 255
    assert np.array_equal(read_truth_mask(encoded(low, "PNG")).levels, expected)


def test_many_levels_are_counted() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = read_truth_mask(encoded(ramp, "PNG"))
    assert mask.reading == (
        "has 256 levels from 0 to 255: 127 counts as unaltered (49.6% of the pixels lie between)"
    )
    assert np.array_equal(mask.levels == 255, ramp >= 128)
    deep = encoded(Image.fromarray(ramp.astype(np.uint16) * np.uint16(200)), "PNG")
    assert np.array_equal(read_truth_mask(deep).levels, mask.levels)


def test_a_jpeg_of_a_mask_keeps_its_shape() -> None:
    mask = read_truth_mask(encoded(grey(0, 255), "JPEG", quality=95))
    assert (mask.levels == grey(0, 255)).mean() > 0.95
    assert mask.is_cut


def test_masks_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = read_truth_mask(encoded(grey(0, 1), "PNG", exif=exif))
    assert np.array_equal(mask.levels, np.rot90(grey(0, 255), -1))


def test_what_is_no_mask_is_a_sentence(tmp_path: Path) -> None:
    for source in (b"", b"words", file_bytes("png")[:200], tmp_path / "none.png"):
        with pytest.raises(PictureError):
            read_truth_mask(source)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_two_values_of_any_form_mark_the_higher(data: st.DataObject) -> None:
    """Grey of 8 and 16 bits, in PNG and TIFF, with an opaque alpha or not."""
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    top = int(np.iinfo(dtype).max)
    low, high = sorted(
        data.draw(st.lists(st.integers(0, top), min_size=2, max_size=2, unique=True))
    )
    altered = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12))).reshape(3, 4)
    altered[0, 0], altered[-1, -1] = True, False
    image = Image.fromarray(np.where(altered, high, low).astype(dtype))
    if dtype == np.uint8 and data.draw(st.booleans()):
        image.putalpha(data.draw(st.sampled_from([0, 255])))
    stream = io.BytesIO()
    image.save(stream, data.draw(st.sampled_from(["PNG", "TIFF"])))
    assert np.array_equal(read_truth_mask(stream.getvalue()).levels, altered * np.uint8(255))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_palettes_mark_all_but_0_and_the_void(data: st.DataObject) -> None:
    used = data.draw(st.sets(st.integers(1, 255), min_size=1, max_size=4))
    indices = np.array([0, *sorted(used)] * 2, np.uint8).reshape(2, -1)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    colours = rng.integers(1, 250, (256, 3))
    colours[0] = 0
    colours[:, 1] = colours[:, 0] // 2  # none is grey
    image = Image.fromarray(indices).convert("P")
    image.putpalette(colours.ravel().tolist())
    expected = (indices != 0) & (indices != 255)
    mask = read_truth_mask(encoded(image, data.draw(st.sampled_from(["PNG", "BMP", "TIFF"]))))
    assert np.array_equal(mask.levels == 255, expected)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([*PLAIN, *UNUSUAL]),
    st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), max_size=6),
)
def test_a_mask_that_is_broken_anywhere_is_read_or_refused(
    form: str, changes: dict[float, int]
) -> None:
    data = bytearray({**PLAIN, **UNUSUAL}[form]())
    for path, value in changes.items():
        data[int(path * len(data))] = value
    with contextlib.suppress(PictureError):
        mask = read_truth_mask(bytes(data))
        assert set(np.unique(mask.levels)) <= {0, 255}
