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
    """Sentences; none says which side is right, for all of it can be edited.

    `size` is the picture's (width, height), upright.
    """
    statements = _Statements([statement for statement in declared if _is_own(statement)])
    camera = _camera(statements)
    generators = statements.of("generator")
    source_types = statements.of("digital_source_type")
    if camera and generators:
        verb = "carries settings of" if statements.of("settings") else "names"
        yield f"The file declares a camera ({camera}) and {verb} a generator ({generators[0]})."
    for source_type in source_types:
        if camera and source_type in GENERATED:
            yield (
                f"The file declares a camera ({camera}) and the digital source type {source_type}."
            )
        if generators and source_type in CAPTURED:
            yield f"The file declares {source_type} and names a generator ({generators[0]})."
    if camera and any(label.startswith("Label 1 ") for label in statements.of("aigc_label")):
        yield f"The file declares a camera ({camera}) and China's label of generated content."
    captured = [source_type for source_type in source_types if source_type in CAPTURED]
    generated = [source_type for source_type in source_types if source_type in GENERATED + PARTLY]
    if captured and generated:
        yield f"The file declares two digital source types: {captured[0]} and {generated[0]}."
    if ("C2PA", ALTERED) in statements.states:
        yield "The file carries a signature, and was altered after it was signed."
    if (SIDECAR, ALTERED) in statements.states:
        yield (
            "The content credentials beside the file are of another picture, or it was altered "
            "after it was signed."
        )
    yield from _earlier(
        statements, [statement for statement in declared if not _is_own(statement)], camera
    )
    models = {name.casefold() for name in statements.of("camera_model")}
    if len(models) > 1:
        yield f"The file declares two cameras: {' and '.join(statements.of('camera_model')[:2])}."
    yield from _times(statements)
    yield from _sizes(statements, size)
    yield from _pixels(statements, measured, camera)


def _is_own(declared: Declared) -> bool:
    """True of all but ingredients, which may be of another origin than what was made of them."""
    return not declared.source.startswith(("C2PA, ", f"{SIDECAR}, "))


def _earlier(
    statements: "_Statements", of_ingredients: Sequence[Declared], camera: str
) -> Iterator[str]:
    """Where what the file says of itself does not go with what it says of its earlier states."""
    captured = [
        source_type
        for source_type in statements.of("digital_source_type")
        if source_type in CAPTURED
    ]
    capture = f"a camera ({camera})" if camera else captured[0] if captured else ""
    for statement in of_ingredients:
        way = statement.source.partition(", ")[2].partition(' "')[0].split(" of a ")
        is_generated = statement.name == "digital_source_type" and statement.value in GENERATED
        if capture and is_generated and set(way) == {"parent"}:
            yield (
                f"The file declares {capture}, and that an earlier state of it was "
                f"{statement.value}."
            )
    altered = (statement.source for statement in of_ingredients if statement.state == ALTERED)
    for source in dict.fromkeys(altered):
        yield f"A picture that this one was made of was altered after it was signed ({source})."


class _Statements:
    """Declared values by name."""

    def __init__(self, declared: Sequence[Declared]) -> None:
        self.states = {(statement.source, statement.state) for statement in declared}
        self._values: dict[str, list[str]] = {}
        for statement in declared:
            self._values.setdefault(statement.name, []).append(str(statement.value))

    def of(self, name: str) -> list[str]:
        """Each value once, in order."""
        return list(dict.fromkeys(self._values.get(name, [])))


def _camera(statements: _Statements) -> str:
    """Make and model; many models begin with their make."""
    make, model = (" ".join(statements.of(name)[:1]) for name in ("camera_make", "camera_model"))
    return model if model.startswith(make) and model else f"{make} {model}".strip()


def _times(statements: _Statements) -> Iterator[str]:
    """EXIF writes times so that their order is that of the alphabet; other forms are left alone."""
    captured, changed = (
        [time for time in statements.of(name) if _TIME.fullmatch(time)]
        for name in ("taken", "changed")
    )
    if captured and changed and _plain(changed[0]) < _plain(captured[0]):
        yield f"The file says it was changed ({changed[0]}) before it was taken ({captured[0]})."


def _plain(time: str) -> str:
    """Digits alone, as many in every time."""
    return re.sub(r"\D", "", time)[:14].ljust(14, "9")


def _sizes(statements: _Statements, size: tuple[int, int]) -> Iterator[str]:
    for declared in statements.of("size"):
        sides = sorted(map(int, declared.split(" x ")))
        if sides[0] > 0 and sides != sorted(size):
            yield f"EXIF gives a size of {declared}; the picture is {size[0]} x {size[1]}."


def _pixels(statements: _Statements, measured: Sequence[Measured], camera: str) -> Iterator[str]:
    values = {measurement.name: measurement.value for measurement in measured}
    alike = values.get("thumbnail_likeness")
    if isinstance(alike, float) and alike < ALIKE:
        yield "The embedded thumbnail shows something else than the picture."
    tables = values.get("quantization_tables")
    family = str(tables.get("family")) if isinstance(tables, dict) else ""
    software = " ".join(statements.of("software") + statements.of("creator_tool")).casefold()
    if camera and "Photoshop" in family and not any(p in software for p in ("adobe", "photoshop")):
        yield (
            f"The file declares a camera ({camera}) and no editing program; its quantisation "
            "tables are those of Photoshop."
        )
