"""Wrong verdicts, kept with their pictures: regression cases for any model, and a labelled set.

    FOLDER/real/photo-1a2b3c4d.jpg     also full_synthetic/, tampered/: the picture's bytes
    FOLDER/masks/photo-1a2b3c4d_mask.png
    FOLDER/cases/photo-1a2b3c4d.json   the verdict, the model, the right label, a note

`sida.data.open` reads the folder, so that a model can learn from it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sida.errors import DataError, InputError
from sida.files import natural_key, write_bytes, write_text
from sida.formats import FORMATS, PICTURE_SUFFIXES
from sida.image.overlay import save_png
from sida.options import Request
from sida.verdict import Failure, Label, Verdict

if TYPE_CHECKING:
    from sida.detector import Detector

__all__ = ["CheckedCase", "WrongCase", "WrongCases"]

DIGITS = 8
"""Of a picture's digest that make its name unlike any other's."""


class WrongCase(BaseModel):
    """A picture with the verdict that a model gave, and the right label.

    Attributes:
        image: path below the folder.
        sha256: of the picture's file.
        label: the right one.
        note: in the user's words.
        verdict: as it was given, with the model's name, version and digest.
    """

    model_config = ConfigDict(frozen=True)

    schema_id: Literal["sida.wrong/1"] = Field("sida.wrong/1", alias="schema")
    image: str
    sha256: str
    label: Label
    note: str | None = None
    verdict: Verdict


class CheckedCase(NamedTuple):
    """A case, and what a model says of its picture now."""

    case: WrongCase
    result: Verdict | Failure

    @property
    def right(self) -> bool:
        """True where the label is right now."""
        return isinstance(self.result, Verdict) and self.result.label == self.case.label


class WrongCases:
    """The cases in a folder.

    Args:
        folder: need not exist before the first is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self,
        picture: Path,
        label: Label,
        verdict: Verdict,
        note: str | None = None,
        mask: NDArray[np.uint8] | None = None,
    ) -> WrongCase:
        """Keep a picture with its verdict; the same file again replaces what was kept of it.

        Args:
            mask: (height, width), where a tampered picture was altered: 255, else 0.

        Raises:
            SidaError: a file cannot be read or written.
        """
        content = _read(picture)
        digest = hashlib.sha256(content).hexdigest()
        earlier = [case for case in self.read() if case.sha256 == digest]
        suffix = picture.suffix.lower()
        if suffix not in PICTURE_SUFFIXES:
            suffix = next(row.suffixes[0] for row in FORMATS if row.name == verdict.format)
        name = f"{picture.stem}-{digest[:DIGITS]}"
        if earlier:
            name = Path(earlier[0].image).stem
        case = WrongCase(
            image=f"{label}/{name}{suffix}",
            sha256=digest,
            label=label,
            note=note,
            verdict=verdict,
        )
        write_bytes(self.folder / case.image, content)
        mask_file = self.folder / "masks" / f"{name}_mask.png"
        if mask is not None:
            save_png(mask_file, mask)
        elif label != "tampered":
            mask_file.unlink(missing_ok=True)
        text = case.model_dump_json(indent=1, by_alias=True)
        write_text(self.folder / "cases" / f"{name}.json", f"{text}\n")
        for old in earlier:
            if old.image != case.image:
                (self.folder / old.image).unlink(missing_ok=True)
        return case

    def read(self) -> list[WrongCase]:
        """All cases, by name.

        Raises:
            DataError: a file of a case cannot be read.
        """
        files = (self.folder / "cases").glob("*.json")
        return [_case(file) for file in sorted(files, key=lambda file: natural_key(file.name))]

    def check(self, detector: "Detector", cases: Sequence[WrongCase]) -> Iterator[CheckedCase]:
        """What a model says of the pictures of these cases now."""
        requests = (Request(self.folder / case.image, masks="none") for case in cases)
        for case, result in zip(cases, detector.run(requests), strict=True):
            yield CheckedCase(case, result)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def _case(file: Path) -> WrongCase:
    try:
        return WrongCase.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise DataError(
            f"{str(file)!r} is no case that can be read ({reason}): correct or remove it"
        ) from error
