"""`inspect`: what a file says of itself, what can be measured in it, and where the two disagree."""

import importlib.util

from sida.errors import MissingExtra
from sida.evidence.contradictions import contradictions
from sida.evidence.declared import declarations, exif_of
from sida.evidence.measured import Draw, measurements
from sida.image.read import Picture, Source, read_with_bytes
from sida.verdict import Provenance

__all__ = ["examine", "inspect", "require_provenance"]

PACKAGES = {"c2pa": "c2pa-python", "defusedxml": "defusedxml", "cv2": "opencv-python-headless"}


def inspect(
    source: Source, *, personal: bool = False, trust: str | None = None, draw: Draw | None = None
) -> Provenance:
    """What a picture's file declares, what is measured in it, and contradictions.

        for each in inspect("photo.jpg").declared:
            print(each.name, each.value, each.state)

    Of a Pillow image or an array, which are no files, only what can be measured in pixels.

    Args:
        source: whatever `sida.image.read.read_picture` takes.
        personal: whether places, serial numbers and names of people are told, too.
        trust: certificates of trusted issuers of content credentials, in PEM; without them no
            issuer is trusted.
        draw: called with the name and the picture (height, width, 3) uint8 of each map.

    Raises:
        PictureError: the picture cannot be read. Metadata that cannot are a sentence in the result.
        MissingExtra: a package of the extra `provenance` is not installed.
    """
    return examine(source, personal, trust, draw)[1]


def examine(
    source: Source, personal: bool, trust: str | None, draw: Draw | None
) -> tuple[Picture, Provenance]:
    """As `inspect`, with the picture."""
    require_provenance()
    picture, data = read_with_bytes(source)
    declared = [] if data is None else declarations(data, picture, personal, trust)
    exif = exif_of(data or b"", picture)
    measured = measurements(data, picture, exif.thumbnail, draw)
    disagree = contradictions(declared, measured, (picture.width, picture.height))
    return picture, Provenance(
        declared=tuple(declared), measured=tuple(measured), contradictions=tuple(disagree)
    )


def require_provenance() -> None:
    """Raise `MissingExtra` where a package is missing, though not every picture would need it."""
    for module, package in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(package, "provenance", "Looking for a picture's provenance")
