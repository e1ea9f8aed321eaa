"""TIFF as OpenCV reads it, where Pillow reads something else or its parts in the wrong order.

Pillow takes each plane of 16-bit samples for 8-bit ones, swaps what libtiff has swapped already,
undoes the multiplication by alpha, and leaves 16-bit pictures inverted whose white is 0.
"""

import io
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from sida.errors import PictureError

__all__ = ["first_tags", "prepare", "samples", "with_alpha_applied"]

_COMPRESSION, _PHOTOMETRIC, _PLANAR, _EXTRA, _FORMAT = 259, 262, 284, 338, 339
_DEFLATE = 8
_ASSOCIATED, _UNASSOCIATED = 1, 2
_NATIVE = {
    "F;32F": "F;32NF", "F;32BF": "F;32NF", "I;32S": "I;32NS", "I;32BS": "I;32NS",
    "I;16S": "I;16NS", "I;16BS": "I;16NS",
}  # fmt: skip
"""Orders of bytes in a file, and the machine's own, which libtiff hands over."""


def first_tags(data: bytes) -> Mapping[int, object]:
    """Tags of a TIFF's first picture, which may be none that Pillow opens; {} where broken."""
    stream = io.BytesIO(data)
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
        stream.seek(directory.next)
        directory.load(stream)
        return dict(directory)
    except Warning:
        raise
    except Exception:  # Pillow raises whatever a broken directory leads it to
        return {}


def prepare(image: Image.Image, title: str) -> None:
    """Arrange how a TIFF's samples will be decoded; nothing for other pictures.

    Raises PictureError for the kinds that can only be read wrongly.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.tile:
        return
    tags = image.tag_v2
    is_planar, alpha = tags.get(_PLANAR) == 2, _first_extra(image)
    if tags.get(_PHOTOMETRIC) == 0 and image.mode in ("F", "I"):
        raise _unknown(title, "the lowest of 32-bit values is white")
    if is_planar and image.mode == "RGBA" and alpha == _ASSOCIATED:
        raise _unknown(title, "colours times alpha in planes of their own")
    if is_planar and tags.get(_PHOTOMETRIC) in (0, 1) and alpha in (_ASSOCIATED, _UNASSOCIATED):
        raise _unknown(title, "grey and alpha in planes of their own")
    if is_planar and image.tile[0].codec_name == "raw":
        _through_libtiff(image)
    image.tile = [_as_stored(tile) for tile in image.tile]


def _unknown(title: str, form: str) -> PictureError:
    return PictureError(
        f"{title} is a TIFF in an unusual form ({form}), which would be read wrongly: re-save it "
        "as PNG, or as a TIFF of 8 or 16 bits"
    )


def _first_extra(image: Image.Image) -> int | None:
    extra = getattr(image, "tag_v2", {}).get(_EXTRA) or ()
    return next(iter(extra), None) if isinstance(extra, tuple) else extra


def _through_libtiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Pillow hands everything that is compressed to libtiff, which knows planes of any depth."""
    compression = image.tag_v2.get(_COMPRESSION, 1)
    image.tag_v2[_COMPRESSION] = _DEFLATE
    image._setup()
    image.tag_v2[_COMPRESSION] = compression


def _as_stored(tile: Any) -> Any:
    """A tile without what Pillow does to its samples on top of libtiff."""
    raw, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
    if not isinstance(raw, str):
        return tile
    if tile.codec_name == "libtiff" and sys.byteorder == "little":
        raw = _NATIVE.get(raw, raw)
    if raw.startswith("RGBa"):
        raw = raw.replace("RGBa", "RGBA")
    return tile._replace(args=(raw, *rest))


def samples(image: Image.Image) -> NDArray[Any]:
    """The values of a decoded grey image of 16 or 32 bits, high = light."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16") and tags.get(_PHOTOMETRIC) == 0:
        return np.uint16(65535) - values
    if image.mode == "I" and tags and 2 not in np.atleast_1d(tags.get(_FORMAT, 1)):
        return values.view(np.uint32)
    return values


def with_alpha_applied(image: Image.Image) -> Image.Image:
    """Colours over black, where a TIFF keeps them apart from their alpha; libtiff does so."""
    is_tiff = image.format == "TIFF" and image.mode == "RGBA"
    if not is_tiff or _first_extra(image) != _UNASSOCIATED:
        return image
    return Image.merge("RGB", image.convert("RGBa").split()[:3])
