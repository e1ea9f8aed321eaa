"""Where what a file declares does not go together with itself or with what was measured."""

import re
from collections.abc import Iterator, Sequence

from sida.verdict import Declared, Measured

__all__ = ["contradictions"]

GENERATED = ("trainedAlgorithmicMedia", "algorithmicMedia", "compositeSynthetic")
PARTLY = ("compositeWithTrainedAlgorithmicMedia",)
CAPTURED = ("digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print")
_TIME = re.compile(r"[12]\d{3}[:./-](0[1-9]|1[0-2])[:./-](0[1-9]|[12]\d|3[01])( [\d:.]*)?")
ALIKE = 0.8  # correlation of a thumbnail with its picture below which it is of another one


def contradictions(
    declared: Sequence[Declared], measured: Sequence[Measured], size: tuple[int, int]
) -> Iterator[str]:
    """One sentence each; none says which side is right, for all of it can be edited.

    `size` is the picture's (width, height), upright.
    """
    said = _Said(declared)
    camera = _camera(said)
    generators = said.of("generator")
    kinds = said.of("digital_source_type")
    if camera and generators:
        verb = "carries settings of" if said.of("settings") else "names"
        yield f"The file declares a camera ({camera}) and {verb} a generator ({generators[0]})."
    for kind in kinds:
        if camera and kind in GENERATED:
            yield f"The file declares a camera ({camera}) and the digital source type {kind}."
        if generators and kind in CAPTURED:
            yield f"The file declares {kind} and names a generator ({generators[0]})."
    if camera and any(label.startswith("Label 1 ") for label in said.of("aigc_label")):
        yield f"The file declares a camera ({camera}) and China's label of generated content."
    captured = [kind for kind in kinds if kind in CAPTURED]
    made = [kind for kind in kinds if kind in GENERATED + PARTLY]
    if captured and made:
        yield f"The file declares two digital source types: {captured[0]} and {made[0]}."
    if "signed, altered after signing" in said.states:
        yield "The file carries a signature, and was altered after it was signed."
    models = {name.casefold() for name in said.of("camera_model")}
    if len(models) > 1:
        yield f"The file declares two cameras: {' and '.join(said.of('camera_model')[:2])}."
    yield from _times(said)
    yield from _sizes(said, size)
    yield from _pixels(said, measured, camera)


class _Said:
    """Declared values by name."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self.states = {each.state for each in declared}
        self._values: dict[str, list[str]] = {}
        for each in declared:
            self._values.setdefault(each.name, []).append(str(each.value))

    def of(self, name: str) -> list[str]:
        """Each value once, in order."""
        return list(dict.fromkeys(self._values.get(name, [])))


def _camera(said: _Said) -> str:
    """Make and model; many models begin with their make."""
    make, model = (" ".join(said.of(name)[:1]) for name in ("camera_make", "camera_model"))
    return model if model.startswith(make) and model else f"{make} {model}".strip()


def _times(said: _Said) -> Iterator[str]:
    """EXIF writes times so that their order is that of the alphabet; other forms are left alone."""
    taken, changed = (
        [time for time in said.of(name) if _TIME.fullmatch(time)] for name in ("taken", "changed")
    )
    if taken and changed and _plain(changed[0]) < _plain(taken[0]):
        yield f"The file says it was changed ({changed[0]}) before it was taken ({taken[0]})."


def _plain(time: str) -> str:
    """Digits alone, as many in every time."""
    return re.sub(r"\D", "", time)[:14].ljust(14, "9")


def _sizes(said: _Said, size: tuple[int, int]) -> Iterator[str]:
    for declared in said.of("size"):
        sides = sorted(map(int, declared.split(" x ")))
        if sides[0] > 0 and sides != sorted(size):
            yield f"EXIF gives a size of {declared}; the picture is {size[0]} x {size[1]}."


def _pixels(said: _Said, measured: Sequence[Measured], camera: str) -> Iterator[str]:
    values = {each.name: each.value for each in measured}
    alike = values.get("thumbnail_likeness")
    if isinstance(alike, float) and alike < ALIKE:
        yield "The embedded thumbnail shows something else than the picture."
    tables = values.get("quantization_tables")
    family = str(tables.get("family")) if isinstance(tables, dict) else ""
    software = " ".join(said.of("software") + said.of("creator_tool")).casefold()
    if camera and "Photoshop" in family and not any(p in software for p in ("adobe", "photoshop")):
        yield (
            f"The file declares a camera ({camera}) and no editing program; its quantisation "
            "tables are those of Photoshop."
        )
