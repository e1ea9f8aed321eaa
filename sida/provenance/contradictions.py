"""Where what a file declares does not go together with itself or with what was measured."""

import re
from collections.abc import Iterator, Sequence

from sida.provenance.declared.manifests import ALTERED
from sida.provenance.declared.source_types import GENERATED, PARTLY
from sida.verdict import Declared, Measured

__all__ = ["contradictions"]

CAPTURED = ("digitalCapture", "computationalCapture", "negativeFilm", "positiveFilm", "print")
_TIME = re.compile(r"[12]\d{3}[:./-](0[1-9]|1[0-2])[:./-](0[1-9]|[12]\d|3[01])( [\d:.]*)?")
SIDECAR = "C2PA sidecar"
ALIKE = 0.8  # correlation of a thumbnail with its picture below which it is of another one


def contradictions(
    declared: Sequence[Declared], measured: Sequence[Measured], size: tuple[int, int]
) -> Iterator[str]:
    """One sentence each; none says which side is right, for all of it can be edited.

    `size` is the picture's (width, height), upright.
    """
    said = _Said([each for each in declared if _is_own(each)])
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
    if ("C2PA", ALTERED) in said.states:
        yield "The file carries a signature, and was altered after it was signed."
    if (SIDECAR, ALTERED) in said.states:
        yield (
            "The content credentials beside the file are of another picture, or it was altered "
            "after it was signed."
        )
    yield from _earlier(said, [each for each in declared if not _is_own(each)], camera)
    models = {name.casefold() for name in said.of("camera_model")}
    if len(models) > 1:
        yield f"The file declares two cameras: {' and '.join(said.of('camera_model')[:2])}."
    yield from _times(said)
    yield from _sizes(said, size)
    yield from _pixels(said, measured, camera)


def _is_own(declared: Declared) -> bool:
    """True of all but ingredients, which may be of another origin than what was made of them."""
    return not declared.source.startswith(("C2PA, ", f"{SIDECAR}, "))


def _earlier(said: "_Said", of_ingredients: Sequence[Declared], camera: str) -> Iterator[str]:
    """Where what the file says of itself does not go with what it says of its earlier states."""
    captured = [kind for kind in said.of("digital_source_type") if kind in CAPTURED]
    told = f"a camera ({camera})" if camera else captured[0] if captured else ""
    for each in of_ingredients:
        way = each.source.partition(", ")[2].partition(' "')[0].split(" of a ")
        made = each.name == "digital_source_type" and each.value in GENERATED
        if told and made and set(way) == {"parent"}:
            yield f"The file declares {told}, and that an earlier state of it was {each.value}."
    altered = (each.source for each in of_ingredients if each.state == ALTERED)
    for source in dict.fromkeys(altered):
        yield f"A picture that this one was made of was altered after it was signed ({source})."


class _Said:
    """Declared values by name."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self.states = {(each.source, each.state) for each in declared}
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
