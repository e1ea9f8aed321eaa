"""`inspect`: what a file says of itself, what can be measured in it, and where the two disagree."""

import importlib.util
from pathlib import Path

from sida.errors import MissingExtra
from sida.files import Input
from sida.image.read import Picture, Source, read_with_bytes
from sida.provenance.contradictions import contradictions
from sida.provenance.declared.exif import PERSONAL
from sida.provenance.declared.metadata import declarations, exif_of
from sida.provenance.declared.sidecar import Sidecar, read_sidecar, sidecar_of
from sida.provenance.measured.measurements import Draw, measurements
from sida.verdict import Provenance

__all__ = ["examine", "inspect", "require_provenance"]

PACKAGES = {"c2pa": "c2pa-python", "defusedxml": "defusedxml", "cv2": "opencv-python-headless"}


def inspect(
    source: Source,
    *,
    personal: bool = False,
    trust: str | None = None,
    draw: Draw | None = None,
    sidecar: str | Path | None = None,
) -> Provenance:
    """Provenance of a picture: what its file declares, what is measured, and contradictions.

        for each in inspect("photo.jpg").declared:
            print(each.name, each.value, each.state)

    Of a Pillow image or an array, which are no files, only what can be measured in pixels.

    Args:
        source: whatever `sida.image.read.read_picture` takes.
        personal: whether places, serial numbers and names of people are told, too.
        trust: certificates of trusted issuers of content credentials, in PEM; without them no
            issuer is trusted.
        draw: called with the name and the picture (height, width, 3) uint8 of each map.
        sidecar: a file of content credentials, read instead of those in the picture. Of a path
            `photo.c2pa` beside `photo.jpg` is read where the picture holds none.

    Raises:
        PictureError: the picture cannot be read. Metadata that cannot are a sentence in the result.
        MissingExtra: a package of the extra `provenance` is not installed.
    """
    return examine(source, personal, trust, draw, sidecar)[1]


def examine(
    source: Source,
    personal: bool,
    trust: str | None,
    draw: Draw | None,
    sidecar: str | Path | None = None,
) -> tuple[Picture, Provenance]:
    """As `inspect`, with the picture."""
    require_provenance()
    picture, data = read_with_bytes(source)
    beside = _beside(source, sidecar)
    everything = [] if data is None else declarations(data, picture, trust, beside)
    hidden = frozenset() if personal else PERSONAL
    declared = [statement for statement in everything if statement.name not in hidden]
    left_out = dict.fromkeys(statement.name for statement in everything if statement.name in hidden)
    exif = exif_of(data or b"", picture)
    measured = measurements(data, picture, exif.thumbnail, draw)
    disagree = contradictions(declared, measured, (picture.width, picture.height))
    return picture, Provenance(
        declared=tuple(declared),
        measured=tuple(measured),
        contradictions=tuple(disagree),
        left_out=tuple(left_out),
    )


def _beside(source: Source, sidecar: str | Path | None) -> Sidecar | None:
    """The sidecar that is asked for, else that of a path."""
    if sidecar is not None:
        return read_sidecar(Path(sidecar), is_asked_for=True)
    path = source.path if isinstance(source, Input) else source
    return sidecar_of(Path(path)) if isinstance(path, str | Path) else None


def require_provenance() -> None:
    """Raise `MissingExtra` where a package is missing, though not every picture would need it."""
    for module, package in PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(package, "provenance", "Looking for a picture's provenance")
