"""Bytes to 8-bit pixels: which files are opened, and what is refused before anything is decoded.

The reading is that of OpenCV's colour read, which the published model was trained on: 8 bits a
channel (the high byte of 16), alpha dropped without blending, palettes and grey expanded, the EXIF
rotation applied, no colour management. Pillow does the work, but not through `Image.open`: its
limit on pixels and its list of formats belong to the whole program, and are left alone.
"""

import io
import math
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypedDict, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from sida.errors import MissingExtra, PictureError, optional_package
from sida.formats import FORMATS, alternatives
from sida.image import tiff
from sida.image.jpeg import END_IS_MISSING, JpegCoding, complete_variants, jpeg_coding, scan_count
from sida.image.png import TEXTS_LEFT_OUT, without_broken_parts, without_texts
from sida.image.signatures import looks_like, raw_name

__all__ = [
    "Decoded",
    "PictureMetadata",
    "decode",
    "decode_pillow",
    "read_image",
    "require_size",
    "upright",
]

READABLE = alternatives([format.title for format in FORMATS if format.is_common])
PICTURES = frozenset({
    "JPEG XL", "JPEG 2000", "JPEG XR", "OpenEXR", "Radiance HDR", "BPG", "a Photoshop document",
    "a GIMP document", "an SVG drawing",
})  # fmt: skip
"""Names of picture formats that are recognised and not read."""
MAX_SCANS = 100  # progressive JPEGs have about ten; each scan costs a pass over all pixels

Mode = Literal["RGB", "L"]
Result = TypeVar("Result")

_ORIENTATION = 0x0112
_NEW_SUBFILE_TYPE = 0x00FE
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PPM_HEADER = 64  # bytes, at most
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_filters = threading.Lock()


class PictureMetadata(TypedDict, total=False):
    """Raw metadata of a file; keys are missing where it has none. It never changes a verdict."""

    exif: bytes
    icc: bytes
    jpeg: JpegCoding
    info: Mapping[str, str | bytes | float | tuple[object, ...]]
    """Pillow's further fields, texts among them."""


@dataclass(frozen=True)
class Decoded:
    """Upright 8-bit pixels, (height, width, 3) or (height, width), and what the file says."""

    pixels: NDArray[np.uint8]
    format: str | None
    metadata: PictureMetadata = field(default_factory=PictureMetadata)
    warnings: tuple[str, ...] = ()


def decode(data: bytes, title: str, max_pixels: int, mode: Mode = "RGB") -> Decoded:
    """Decode the first picture in a file's bytes; `title` names it in messages.

    Raises PictureError: `too_large` by the header, before decoding, or `unreadable_image`.
    """

    decoded, notes = read_image(data, title, max_pixels, partial(_finish_first, mode=mode))
    return replace(decoded, warnings=(*decoded.warnings, *notes))


def decode_pillow(image: Image.Image, title: str, max_pixels: int, mode: Mode = "RGB") -> Decoded:
    """The same for a picture that a caller has opened with Pillow; its current frame is taken."""

    def work() -> Decoded:
        with _refused(title, image.format):
            require_size(image.size, title, max_pixels)
            tiff.prepare(image, title)
            image.load()
            return _finish(image, mode)

    return _despite_strict_warnings(work)


def read_image(
    data: bytes,
    title: str,
    max_pixels: int,
    finish: Callable[[Image.Image], Result],
    rawmodes: Mapping[str, str] | None = None,
) -> tuple[Result, tuple[str, ...]]:
    """Result of `finish` for the decoded Pillow image, and sentences on what had to be mended.

    `rawmodes` are Pillow's names for arrangements of samples, and those to be taken instead.
    Raises as `decode`.
    """

    def read(file: bytes, notes: tuple[str, ...]) -> tuple[Result, tuple[str, ...]]:
        image, more_notes = _loaded(file, title, max_pixels, rawmodes or {})
        with _refused(title, image.format):
            return finish(image), (*notes, *more_notes)

    def work() -> tuple[Result, tuple[str, ...]]:
        file, notes = without_broken_parts(data)
        try:
            return read(file, notes)
        except PictureError as error:
            textless = without_texts(file)
            if error.code == "too_large" or textless == file:
                raise
        return read(textless, (*notes, TEXTS_LEFT_OUT))

    return _despite_strict_warnings(work)


def _loaded(
    data: bytes, title: str, max_pixels: int, rawmodes: Mapping[str, str]
) -> tuple[Image.Image, tuple[str, ...]]:
    """The decoded image, and a sentence where its file is not quite whole."""
    variants, has_end = complete_variants(data)
    image, *variants_decoded = (
        _decoded(variant, title, max_pixels, rawmodes) for variant in variants
    )
    for other in variants_decoded:
        with _refused(title, image.format):
            if other.tobytes() != image.tobytes():
                raise OSError("image file is truncated")
    return image, () if has_end else (END_IS_MISSING,)


def _decoded(data: bytes, title: str, max_pixels: int, rawmodes: Mapping[str, str]) -> Image.Image:
    stream = _Stream(data)
    image = _open(stream, data, title, max_pixels)
    with _refused(title, image.format):
        if isinstance(image, ImageFile.ImageFile):
            tiff.prepare(image, title)
            image.tile = [_arranged(tile, rawmodes) for tile in image.tile]
            image.decodermaxblock = len(data)  # at once; by and by, decoders stop and look around
        image.load()
        if stream.starved and ImageFile.LOAD_TRUNCATED_IMAGES:  # a switch of the whole program
            raise OSError("the file ends too early")
    return image


def _arranged(tile: Any, rawmodes: Mapping[str, str]) -> Any:
    """A tile of Pillow's whose samples are arranged as another of its names says."""
    args = tile.args
    if isinstance(args, str):
        return tile._replace(args=rawmodes.get(args, args))
    if args and isinstance(args, tuple):
        return tile._replace(args=(rawmodes.get(args[0], args[0]), *args[1:]))
    return tile


class _Stream(io.BytesIO):
    """Remembers whether a decoder asked for more than there is."""

    starved = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.starved = self.starved or (not data and size != 0)
        return data


@contextmanager
def _refused(title: str, format: str | None) -> Iterator[None]:
    """Whatever Pillow raises on a bad file is one sentence about this picture."""
    try:
        yield
    except (PictureError, MemoryError, Warning):
        raise
    except Image.DecompressionBombError as error:
        raise PictureError(f"{title} is too large: {error}", "too_large") from error
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise PictureError(
            f"{title} cannot be read as {format or 'a picture'} ({reason}): the file is broken or "
            "in an unusual form; copy or download it again, or re-save it with another program"
        ) from error


def _despite_strict_warnings(work: Callable[[], Result]) -> Result:
    """Read again if the program turns warnings into errors: Pillow's are about metadata only.

    Filters belong to the whole program, so they are touched in this case alone, one at a time.
    """
    try:
        return work()
    except Warning:
        with _filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work()


def _open(stream: io.BytesIO, data: bytes, title: str, max_pixels: int) -> Image.Image:
    """Read the header; nothing is decoded before the size is known to be allowed."""
    if _is_heif(data):
        return _open_heif(stream, title, max_pixels)
    Image.init()
    for name in (format.name for format in FORMATS if format.decoder == "pillow"):
        factory, accept = Image.OPEN.get(name, (None, None))
        accepted = factory is not None and (accept is None or accept(data[:16]))
        if isinstance(accepted, str):
            raise PictureError(f"{title} is {name}, which this Pillow was built without: update it")
        if factory is not None and accepted:
            with _refused(title, name):
                _require_no_raw(data, name, title)
                image = factory(stream, "")
                require_size(image.size, title, max_pixels)
                _require_few_scans(image, data, title)
                _require_no_preview(image, title)
                return image
    raise _unreadable(title, looks_like(data))


def _open_heif(stream: io.BytesIO, title: str, max_pixels: int) -> Image.Image:
    try:
        with optional_package("pillow-heif", "heif", "Reading HEIC pictures"):
            import pillow_heif
    except MissingExtra as error:
        raise PictureError(f"{title} is HEIC. {error}") from None
    with _refused(title, "HEIF"):
        file = pillow_heif.open_heif(stream)
        require_size(file.size, title, max_pixels)
        image: Image.Image = file.to_pillow()
        image.format = "HEIF"
        return image


def _is_heif(data: bytes) -> bool:
    brands = data[8 : max(16, min(64, int.from_bytes(data[:4])))]
    return data[4:8] == b"ftyp" and b"avif" not in brands and any(b in brands for b in _HEIF_BRANDS)


def require_size(size: tuple[int, int], title: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(
            f"{title} is {width} x {height} = {width * height / 1e6:,.1f} megapixels, expected at "
            f"most {max_pixels / 1e6:,.0f}: make it smaller, or cut out the part in question",
            "too_large",
        )


def _require_few_scans(image: Image.Image, data: bytes, title: str) -> None:
    if image.format in ("JPEG", "MPO") and (scans := scan_count(data)) > MAX_SCANS:
        raise PictureError(
            f"{title} is a JPEG of {scans} scans, expected at most {MAX_SCANS}: it looks made to "
            "keep a reader busy; re-save it with another program"
        )


def _unreadable(title: str, name: str) -> PictureError:
    """Pictures of forms that are not read are told how to become readable."""
    if name in PICTURES or name.startswith("a camera raw"):
        return PictureError(f"{title} is {name}, which is not read: export it as JPEG or PNG")
    return PictureError(f"{title} is {name}, no picture: expected {READABLE}")


def _require_no_raw(data: bytes, format: str, title: str) -> None:
    raw = raw_name(data, tiff.first_tags(data)) if format == "TIFF" else None
    if raw is not None:
        raise _unreadable(title, f"a camera raw ({raw})")


def _require_no_preview(image: Image.Image, title: str) -> None:
    """Camera raws are TIFFs that begin with a small preview; a verdict on that would mislead."""
    subfile_type = getattr(image, "tag_v2", {}).get(_NEW_SUBFILE_TYPE, 0)
    if subfile_type & 1:
        raise PictureError(
            f"{title} begins with a reduced preview, as camera raws do, and its full picture "
            "cannot be read: export it as JPEG or TIFF"
        )


def _more_frames(image: Image.Image) -> tuple[str, ...]:
    """Say so where a file holds more than the picture that is read."""
    noun = {"TIFF": "pages", "MPO": "pictures"}.get(image.format or "", "frames")
    try:
        count = getattr(image, "n_frames", 1)
    except Warning:
        raise
    except Exception:  # a later frame is broken; the first one is not
        return (f"first of several {noun}",)
    return (f"first of {count} {noun}",) if count > 1 else ()


def _finish_first(image: Image.Image, mode: Mode) -> Decoded:
    """As `_finish`, with a word on further frames; they are counted last, for that moves it on."""
    decoded = _finish(image, mode)
    return replace(decoded, warnings=_more_frames(image) + decoded.warnings)


def _finish(image: Image.Image, mode: Mode) -> Decoded:
    flat, notes = _eight_bit(image, mode)
    return Decoded(_pixels(upright(flat, image)), image.format, _metadata(image), notes)


def upright(flat: Image.Image, image: Image.Image) -> Image.Image:
    """Turn what was made of an image as the image's EXIF orientation asks for."""
    turn = _turn(image)
    return flat if turn is None else flat.transpose(turn)


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels as `np.array` gives them, (height, width[, 3]), in less than half its time.

    It would collect blocks, join them and copy the result; PPM is the pixels after a short header.
    """
    shape = (image.height, image.width, *((3,) if image.mode == "RGB" else ()))
    size = math.prod(shape)
    stream = io.BytesIO()
    stream.seek(size + _PPM_HEADER)
    stream.write(b"\0")  # all the memory at once: it need not grow
    stream.seek(0)
    image.save(stream, "PPM")
    levels = np.frombuffer(stream.getbuffer(), np.uint8, size, stream.tell() - size)
    return levels.reshape(shape)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Transposition for the EXIF orientation; None where it is absent, broken or impossible."""
    try:
        return _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Warning:
        raise
    except Exception:
        return None


def _eight_bit(image: Image.Image, mode: Mode) -> tuple[Image.Image, tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    if "transparency" in image.info:  # Pillow would convert the transparent colour too, and warn
        image = image.copy()
        del image.info["transparency"]
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = Image.fromarray((tiff.samples(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        levels, notes = _scaled(tiff.samples(image))
        image = Image.fromarray(levels)
    image = tiff.with_alpha_applied(image)
    return image if image.mode == mode else image.convert(mode), notes


def _scaled(values: NDArray[Any]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Values without a stated white: the least of 1 (floats), 255 and 65535 that holds them."""
    real = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = min(float(real.min()), 0.0), float(real.max())
    whites = (1.0, 255.0, 65535.0) if values.dtype.kind == "f" else (255.0, 65535.0)
    white = next((w for w in whites if low == 0 and high <= w), max(high, low + 1.0))
    levels = ((real - low) * (255.0 / (white - low)) + 0.5).clip(0, 255).astype(np.uint8)
    value_type = "floating-point" if values.dtype.kind == "f" else "32-bit"
    return levels, (f"{value_type} values were read as {low:g} (black) to {white:g} (white)",)


def _metadata(image: Image.Image) -> PictureMetadata:
    """Raw metadata of the file; nothing of it ever reaches the verdict."""
    info = dict(image.info)
    metadata = PictureMetadata()
    if exif := info.pop("exif", None):
        metadata["exif"] = exif
    if icc := info.pop("icc_profile", None):
        metadata["icc"] = icc
    if (coding := jpeg_coding(image)) is not None:
        metadata["jpeg"] = coding
    plain = (str, bytes, int, float, tuple)
    metadata["info"] = {
        str(name): value for name, value in info.items() if isinstance(value, plain)
    }
    return metadata
