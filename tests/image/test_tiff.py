"""TIFF: every arrangement of samples as OpenCV reads it, or one sentence."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sida.errors import PictureError
from sida.image.read import read_picture
from tests.pictures import encoded, photo

HEIGHT, WIDTH = 16, 48
EXTRA = {None: (), "unspecified": (0,), "associated": (1,), "unassociated": (2,)}


def tiff(
    samples: np.ndarray,
    photometric: int,
    planar: bool = False,
    extra: str | None = None,
    big: bool = False,
    deflate: bool = False,
    tile: bool = False,
) -> bytes:
    """A file of (height, width, channels); Pillow writes but a few of these forms."""
    tifffile = pytest.importorskip("tifffile", reason="writes TIFFs, of the extra 'data'")
    options: dict[str, Any] = {"photometric": photometric, "metadata": None}
    if samples.shape[2] > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    if extra is not None:
        options["extrasamples"] = EXTRA[extra]
    if deflate:
        options["compression"] = "zlib"
    if tile:
        options["tile"] = (16, 16)
    if samples.shape[2] == 1:
        samples = samples[..., 0]
    elif planar:
        samples = np.moveaxis(samples, -1, 0)
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, byteorder=">" if big else "<", **options)
    return stream.getvalue()


def ramp(channels: int, dtype: str) -> np.ndarray:
    """(HEIGHT, WIDTH, channels): slopes, that stand for 0 to white, and a block."""
    across = np.tile(np.linspace(0, 1, WIDTH), (HEIGHT, 1))
    down = np.tile(np.linspace(0, 1, HEIGHT)[:, None], (1, WIDTH))
    complete = np.stack([across, down, 1 - across, 0.2 + 0.8 * down], axis=2)[..., :channels]
    complete[2:5, 3:9, :3] = 0.9
    if dtype[0] == "f":
        return complete.astype(dtype)
    return np.round(complete * np.iinfo(dtype).max).astype(dtype)


def by_opencv(data: bytes) -> np.ndarray | None:
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV, of the extra 'data'")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else pixels[..., ::-1]


def pixels_of(data: bytes) -> np.ndarray | None:
    """None where it is refused; anything else is a failure of the test."""
    try:
        return read_picture(data).pixels
    except PictureError:
        return None


FORMS = [
    (photometric, channels, extra, planar)
    for photometric, channels, extras in (
        (1, 1, (None,)),
        (0, 1, (None,)),
        (2, 3, (None,)),
        (2, 4, ("unspecified", "associated", "unassociated")),
        (1, 2, ("unspecified", "associated", "unassociated")),
    )
    for extra in extras
    for planar in ((False, True) if channels > 1 else (False,))
]
MUST_BE_READ = [(1, 1, None), (0, 1, None), (2, 3, None), (2, 4, "unassociated")]


@pytest.mark.parametrize("dtype", ["u1", "u2"])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_8_and_16_bits_are_read_as_opencv_reads_them(form: tuple[Any, ...], dtype: str) -> None:
    photometric, channels, extra, planar = form
    for big, deflate, tile in itertools.product((False, True), repeat=3):
        data = tiff(ramp(channels, dtype), photometric, planar, extra, big, deflate, tile)
        expected, pixels = by_opencv(data), pixels_of(data)
        if pixels is not None and expected is not None:
            # libtiff rounds to 8 bits where colours have 16, and alpha as well.
            tolerance = (0 if dtype == "u1" else 1) + (extra == "unassociated" and dtype == "u2")
            assert np.abs(pixels.astype(int) - expected).max() <= tolerance, (big, deflate, tile)
        if (photometric, channels, extra) in MUST_BE_READ and not (photometric == 0 and big):
            assert pixels is not None


@pytest.mark.parametrize("planar", [False, True])
def test_planes_of_16_bits_give_a_ramp(planar: bool) -> None:
    data = tiff(ramp(3, "u2"), 2, planar)
    assert np.array_equal(read_picture(data).pixels, ramp(3, "u2") >> 8)


def test_white_may_be_0() -> None:
    for dtype, shift in (("u1", 0), ("u2", 8)):
        grey = ramp(1, dtype)
        inverted = np.iinfo(dtype).max - grey
        pixels = read_picture(tiff(inverted.astype(dtype), 0)).pixels
        assert np.array_equal(pixels[..., 0], grey[..., 0] >> shift)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "i4", "i2"])
def test_floats_and_signed_values_in_any_order_of_bytes(
    dtype: str, deflate: bool, big: bool
) -> None:
    values = ramp(1, "f4") if dtype == "f4" else (ramp(1, "f4") * 30_000).astype(dtype)
    pixels = read_picture(tiff(values, 1, big=big, deflate=deflate)).pixels
    white = 1.0 if dtype == "f4" else 65535.0
    expected = values[..., 0].astype(float) * 255 / white
    assert np.abs(pixels[..., 0] - expected).max() <= 1


def test_unsigned_values_of_32_bits_are_no_negative_ones() -> None:
    values = (ramp(1, "f8") * (2**32 - 1)).astype(np.uint32)
    pixels = read_picture(tiff(values, 1)).pixels
    assert np.abs(pixels[..., 0] - ramp(1, "f8")[..., 0] * 255).max() <= 1


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (lambda: tiff(ramp(1, "f4"), 0), "the lowest of 32-bit values is white"),
        (lambda: tiff(ramp(2, "u1"), 1, True, "unassociated", deflate=True), "grey and alpha"),
        (lambda: tiff(ramp(4, "u2"), 2, True, "associated"), "colours times alpha"),
    ],
)
def test_what_would_be_read_wrongly_is_a_sentence(data: Any, form: str) -> None:
    with pytest.raises(PictureError, match=f"is a TIFF in an unusual form \\({form}.*re-save it"):
        read_picture(data())


def test_a_pillow_image_is_read_the_same() -> None:
    for data in (tiff(ramp(3, "u2"), 2, True), tiff(ramp(1, "u2"), 0)):
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(read_picture(image).pixels, read_picture(data).pixels)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_samples_are_read_as_opencv_reads_them(data: st.DataObject) -> None:
    photometric, channels, extra, planar = data.draw(st.sampled_from(FORMS))
    dtype = data.draw(st.sampled_from(["u1", "u2"]))
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    top = np.iinfo(dtype).max
    samples = rng.integers(0, top, (height, width, channels), dtype, endpoint=True)
    booleans = [data.draw(st.booleans()) for _ in range(2)]
    file = tiff(samples, photometric, planar, extra, *booleans)
    expected, pixels = by_opencv(file), pixels_of(file)
    if expected is not None and pixels is not None:
        assert np.abs(pixels.astype(int) - expected).max() <= (0 if dtype == "u1" else 2)


RAW_TAGS = {0xC612: b"\1\4\0\0"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "CR2"),
        (lambda: encoded(photo(), "TIFF", tiffinfo=RAW_TAGS), "DNG"),
        (lambda: _sensor(), "a sensor's own values"),
    ],
)
def test_camera_raws_are_named(data: Any, name: str) -> None:
    with pytest.raises(PictureError, match=rf"is a camera raw \({name}\), which is not read: exp"):
        read_picture(data())


def _sensor() -> bytes:
    """A TIFF whose samples are those of a colour filter array."""
    data = encoded(photo()[..., 0], "TIFF")
    entry = data.index(b"\x06\x01\x03\x00\x01\0\0\0\x01\0")
    return data[: entry + 8] + (32803).to_bytes(2, "little") + data[entry + 10 :]
