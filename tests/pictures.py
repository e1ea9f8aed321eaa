"""Small pictures in every kind of file, made on the spot. `KINDS` maps a name to its bytes."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

HEIGHT, WIDTH = 32, 48


def photo(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Pixels:
    """(height, width, 3) uint8: a slope, a block and some noise, so that nothing is symmetric."""
    y, x = np.mgrid[0:height, 0:width]
    slope = np.stack([x * 180 / max(1, width), y * 180 / max(1, height), (x + y) % 90], axis=2)
    slope[: height // 4, : width // 4] = (200, 40, 30)
    noise = np.random.default_rng(seed).integers(0, 40, (height, width, 3))
    return (slope + noise).clip(0, 255).astype(np.uint8)


def encoded(picture: Pixels | Image.Image, format: str, **options: Any) -> bytes:
    """The bytes of a file of that format."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, format=format, **options)
    return stream.getvalue()


def with_orientation(orientation: object, format: str = "JPEG", **options: Any) -> bytes:
    """`photo()` with that EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(photo(), format, exif=exif, **options)


def png(rows: bytes, width: int, height: int, depth: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG of raw rows (each with its filter byte), for kinds that Pillow cannot write.

    `extra` is put between header and data: ready chunks.
    """
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(rows))
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + data + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png16(samples: NDArray[np.uint16], colour: int) -> bytes:
    """A 16-bit PNG of (height, width, channels); colour type 0 grey, 2 RGB, 4 LA, 6 RGBA."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(rows, width, height, 16, colour)


def samples16(channels: int) -> NDArray[np.uint16]:
    """(HEIGHT, WIDTH, channels) uint16; the high bytes of the first three are `photo()`."""
    high = np.concatenate([photo(), photo(seed=1)], axis=2)[..., :channels].astype(np.uint16)
    return high * np.uint16(256) + np.uint16(200)


def _palette() -> Image.Image:
    return Image.fromarray(photo()).quantize(32)


def _rgba() -> Image.Image:
    image = Image.fromarray(photo()).convert("RGBA")
    image.putalpha(Image.fromarray(photo(seed=2)[..., 0]))
    return image


def _animation(format: str, **options: Any) -> bytes:
    later = [Image.fromarray(photo(seed=seed)) for seed in (1, 2)]
    return encoded(photo(), format, save_all=True, append_images=later, **options)


def _heic() -> bytes:
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(photo())).save(stream, quality=90)
    return stream.getvalue()


KINDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(photo(), "JPEG", quality=90),
    "jpeg progressive": lambda: encoded(photo(), "JPEG", progressive=True),
    "jpeg grey": lambda: encoded(photo()[..., 0], "JPEG"),
    "jpeg cmyk": lambda: encoded(Image.fromarray(photo()).convert("CMYK"), "JPEG"),
    "jpeg rotated": lambda: with_orientation(6),
    "mpo": lambda: _animation("MPO"),
    "png": lambda: encoded(photo(), "PNG"),
    "png grey": lambda: encoded(photo()[..., 0], "PNG"),
    "png 1 bit": lambda: encoded(Image.fromarray(photo()).convert("1"), "PNG"),
    "png palette": lambda: encoded(_palette(), "PNG"),
    "png palette, one transparent": lambda: encoded(_palette(), "PNG", transparency=3),
    "png palette, transparency": lambda: encoded(_palette(), "PNG", transparency=bytes(range(32))),
    "png rgb, one transparent": lambda: encoded(photo(), "PNG", transparency=(1, 2, 3)),
    "png alpha": lambda: encoded(_rgba(), "PNG"),
    "png grey and alpha": lambda: encoded(_rgba().convert("LA"), "PNG"),
    "png 16-bit grey": lambda: png16(samples16(1), 0),
    "png 16-bit rgb": lambda: png16(samples16(3), 2),
    "png 16-bit grey and alpha": lambda: png16(samples16(2), 4),
    "png 16-bit rgba": lambda: png16(samples16(4), 6),
    "apng": lambda: _animation("PNG"),
    "gif": lambda: encoded(photo(), "GIF"),
    "gif animated": lambda: _animation("GIF"),
    "webp": lambda: encoded(photo(), "WEBP", lossless=True),
    "webp lossy": lambda: encoded(photo(), "WEBP"),
    "webp alpha": lambda: encoded(_rgba(), "WEBP", lossless=True, exact=True),
    "webp animated": lambda: _animation("WEBP", lossless=True),
    "tiff": lambda: encoded(photo(), "TIFF"),
    "tiff lzw": lambda: encoded(photo(), "TIFF", compression="tiff_lzw"),
    "tiff pages": lambda: _animation("TIFF"),
    "tiff cmyk": lambda: encoded(Image.fromarray(photo()).convert("CMYK"), "TIFF"),
    "tiff 16-bit": lambda: encoded(Image.fromarray(samples16(1)[..., 0]), "TIFF"),
    "tiff float": lambda: encoded(Image.fromarray(photo()[..., 0] / np.float32(255)), "TIFF"),
    "tiff rotated": lambda: with_orientation(8, "TIFF"),
    "bmp": lambda: encoded(photo(), "BMP"),
    "bmp palette": lambda: encoded(_palette(), "BMP"),
    "avif": lambda: encoded(photo(), "AVIF", quality=90),
    "heic": _heic,
    "ppm": lambda: encoded(photo(), "PPM"),
    "pgm 16-bit": lambda: encoded(Image.fromarray(samples16(1)[..., 0]), "PPM"),
}


@cache
def file_bytes(kind: str) -> bytes:
    """The bytes of one of `KINDS`, made once."""
    return KINDS[kind]()
