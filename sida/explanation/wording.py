"""Descriptions in the published form: written from what is known and measured, read, and checked.

    Type: tampered. Areas: lower right, a small area. Tampered Content: not named. Visual
    Inconsistencies: <lighting> brighter than around <edges> a harder border than around
    <resolution> less noise than around <shadows> shadow tones as around

`describe` writes one of many wordings, `facts_text` the bare facts that a model writes from,
`parse` takes a text apart, `statements` says what it states, and `claims` what was measured of it.
A text tells only of what `Facts` holds.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

import numpy as np

from sida.explanation import phrases
from sida.explanation.cues import CUES, Cue
from sida.image.arrays import Mask
from sida.image.geometry import POSITIONS, area, position
from sida.verdict import LABELS, Claim, Inconsistencies

__all__ = [
    "DescriptionParts",
    "Facts",
    "Statement",
    "WindowFact",
    "claims",
    "describe",
    "evidence_text",
    "facts_of",
    "facts_text",
    "is_complete",
    "parse",
    "sentences",
    "statements",
    "supported",
    "window_facts",
    "write",
]


NAMED_WINDOWS = 2
"""Windows that a text names at most."""


class WindowFact(NamedTuple):
    """A window of the picture: where it lies, and how far it speaks for the label, in percent."""

    position: str
    percent: int


@dataclass(frozen=True)
class Facts:
    """Facts of a picture that a description may state.

    Attributes:
        label: "real", "full_synthetic" or "tampered".
        position: of the largest altered region, as `sida.image.geometry` names it.
        area: of all altered regions, as a fraction of the picture.
        directions: how cues compare, by name; a cue that was not measured is absent.
        content: what the region shows, or what was done to it, where that is known.
        windows: of the picture, those that speak most for the label first.
        unsure: whether the verdict is inconclusive.
    """

    label: str
    position: str | None = None
    area: float | None = None
    directions: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None
    windows: tuple[WindowFact, ...] = ()
    unsure: bool = False


class DescriptionParts(TypedDict):
    """The parts of a description as `sida.verdict.Explanation` has them; None where missing."""

    type: str | None
    areas: str | None
    content: str | None
    inconsistencies: Inconsistencies


@dataclass(frozen=True)
class Statement:
    """A statement of a text, in its own words.

    `about` is "type" (`value` a label), "position", "area" (a word of `phrases.AREAS`), "window"
    (its position, the word for a label, and a number), "certainty" ("unsure") or a cue (one of its
    two words, or "same").
    """

    about: str
    value: str
    text: str


def facts_of(
    label: str,
    mask: Mask | None,
    cues: Sequence[Cue] = (),
    content: str | None = None,
    windows: Sequence[WindowFact] = (),
    unsure: bool = False,
) -> Facts:
    """The facts in a label, a mask (height, width) bool, cues measured in it, and windows.

    Only a tampered picture has a region; a mask of another class is passed over.
    """
    if label != "tampered" or mask is None or not mask.any():
        return Facts(label, content=content, windows=tuple(windows), unsure=unsure)
    directions = {cue.name: cue.direction for cue in cues}
    return Facts(label, position(mask), area(mask), directions, content, tuple(windows), unsure)


def facts_text(facts: Facts) -> str:
    """The facts of the region in a fixed, short form, for a model to write from.

    For example "position lower right, area small, brightness same, noise lower".
    """
    if facts.label != "tampered":
        return "no region" if facts.label == "real" else "whole picture"
    if facts.position is None or facts.area is None:
        return "position unknown"
    parts = [f"position {facts.position}", f"area {phrases.area_word(facts.area)}"]
    return ", ".join(
        parts + [f"{cue} {facts.directions[cue]}" for cue in CUES if cue in facts.directions]
    )


def evidence_text(facts: Facts) -> str:
    """The windows that spoke for the label, as measured; it goes behind what a model writes.

    For example "Evidence: the upper left window looks generated 93 %."
    """
    word = phrases.WINDOW_WORDS[facts.label]
    parts = [phrases.WINDOW.format(w.position, word, w.percent) for w in facts.windows]
    if not parts:
        parts.append(phrases.NO_WINDOW)
    if facts.unsure:
        parts.append(phrases.UNSURE)
    return f"Evidence: {', '.join(parts)}."


def window_facts(label: str, windows: Sequence[tuple[str, float]]) -> tuple[WindowFact, ...]:
    """The windows that speak for a label, the strongest first; none below one half, at most two.

    Of windows whose position has the same words, the strongest alone is named.

    Args:
        windows: position and probability of the label in each window.
    """
    # Sorting is stable: of equal windows the first one is named.
    strongest: dict[str, float] = {}
    for name, probability in sorted(windows, key=lambda window: -window[1]):
        strongest.setdefault(name, probability)
    named = list(strongest.items())[:NAMED_WINDOWS]
    return tuple(WindowFact(p, min(99, round(100 * x))) for p, x in named if x >= 0.5)


def describe(
    label: str,
    mask: Mask | None,
    cues: Sequence[Cue],
    rng: np.random.Generator,
    content: str | None = None,
) -> str:
    """A description in the published form, in one of many wordings.

    Args:
        label: "real", "full_synthetic" or "tampered".
        mask: (height, width) bool, True = altered; None where there is none.
        cues: measured with that mask; a cue that is absent is said to be not measured.
        rng: chooses the wording.
        content: what the region shows, or what was done, where that is known.
    """
    return write(facts_of(label, mask, cues, content), rng)


def write(facts: Facts, rng: np.random.Generator) -> str:
    """The same from ready facts."""

    def one_of(choices: Sequence[str]) -> str:
        return choices[int(rng.integers(len(choices)))]

    plain_content = _plain(_MARKS.sub(" ", facts.content or ""))
    if facts.label != "tampered":
        wordings = phrases.REAL if facts.label == "real" else phrases.SYNTHETIC
        content = plain_content or one_of(wordings["content"])
        return _form(
            one_of(wordings["type"]),
            one_of(wordings["areas"]),
            content,
            one_of(wordings["inconsistencies"]),
        )
    areas = "not located"
    if facts.position is not None and facts.area is not None:
        position = one_of(phrases.POSITION).format(facts.position)
        areas = f"{position}, {one_of(phrases.AREA).format(phrases.area_word(facts.area))}"
    content = (
        one_of(phrases.CONTENT).format(plain_content) if plain_content else one_of(phrases.UNNAMED)
    )
    clauses = {}
    for heading, cues in phrases.HEADINGS.items():
        directions = {cue: facts.directions[cue] for cue in cues if cue in facts.directions}
        # Only what differs is told; where nothing does, that itself is.
        differing = {cue: way for cue, way in directions.items() if way != "same"} or directions
        said_cues = [one_of(phrases.cue_phrases(cue, way)) for cue, way in differing.items()]
        clauses[heading] = ", ".join(said_cues) or "not measured"
    headed = " ".join(f"<{heading}> {text}" for heading, text in clauses.items())
    return _form(one_of(phrases.TAMPERED), areas, content, headed)


def _form(type_: str, areas: str, content: str, inconsistencies: str) -> str:
    return (
        f"Type: {type_}. Areas: {areas}. Tampered Content: {content}. "
        f"Visual Inconsistencies: {inconsistencies}"
    )


_MARKS = re.compile(r"[<>{}.:;\[\]\s]+")
"""Marks that would end a part of a description, or begin another, were they in the content."""
_SECTION = re.compile(
    r"\b(type|areas?|tampered content|visual inconsistenc(?:y|ies)|evidence)\s*:", re.I
)
_TAG = re.compile(r"<\s*(lighting|edges|resolution|shadows)\s*>", re.I)
_ANY_TAG = re.compile(r"<[^<>]*>")
_KEYS = {
    "type": "type",
    "area": "areas",
    "tamp": "content",
    "visu": "inconsistencies",
    "evid": "evidence",
}


def parse(text: str) -> DescriptionParts:
    """The parts of a description, whoever wrote it; any text at all can be parsed.

    Braces and placeholders in angle brackets, which published descriptions hold, are dropped. Of
    a part that comes twice the first one counts.
    """
    sections = _sections(text)
    tagged = _tagged(sections.get("inconsistencies", ""))
    return DescriptionParts(
        type=_plain(sections.get("type", "")),
        areas=_plain(sections.get("areas", "")),
        content=_plain(sections.get("content", "")),
        inconsistencies=Inconsistencies(**{tag: _plain(clause) for tag, clause in tagged.items()}),
    )


def _sections(text: str) -> dict[str, str]:
    return _cut(text, _SECTION, lambda head: _KEYS[head.lower()[:4]])


def _tagged(text: str) -> dict[str, str]:
    return _cut(text, _TAG, str.lower)


def _cut(text: str, heads: re.Pattern[str], name: Callable[[str], str]) -> dict[str, str]:
    """Text after each head up to the next; `name` makes a key of the head's first group."""
    segments = heads.split(text)
    sections: dict[str, str] = {}
    for head, part in zip(segments[1::2], segments[2::2], strict=True):
        sections.setdefault(name(head), part)
    return sections


def _plain(text: str) -> str | None:
    plain = " ".join(_ANY_TAG.sub(" ", text).replace("{", " ").replace("}", " ").split())
    return plain.strip(" .,;") or None


def is_complete(text: str) -> bool:
    """True if a description has all its parts; of a tampered picture, the four headings as well."""
    parts = parse(text)
    if None in (parts["type"], parts["areas"], parts["content"]):
        return False
    if _label(parts["type"] or "") != "tampered":
        return _plain(_sections(text).get("inconsistencies", "")) is not None
    return None not in parts["inconsistencies"].model_dump().values()


_CLAUSE = re.compile(r"[^.,;:\n]+")
_POSITION = re.compile(
    r"\b(upper|top|middle|center|central|lower|bottom)[ -](left|cent(?:re|er)|right)\b"
)
_ROWS = {"u": "upper", "t": "upper", "m": "middle", "c": "middle", "l": "lower", "b": "lower"}
_AREA = re.compile(rf"\b({'|'.join(word for word, _ in phrases.AREAS)})\b")
_TYPES = (
    ("tampered", r"tamper|altered|edited|manipulat"),
    ("full_synthetic", r"synthetic|generated"),
    ("real", r"\breal\b|authentic"),
)
_DEFAULTS = {heading: cues[0] for heading, cues in phrases.HEADINGS.items()}


def statements(text: str) -> tuple[Statement, ...]:
    """Statements of a text on type, position, area and cues; in a text without parts, anywhere.

    What it says of the content is not looked at: a "dark blue car" is no statement on brightness.
    """
    result = [
        Statement("window", " ".join(m.groups()), m[0]) for m in phrases.WINDOW_READ.finditer(text)
    ]
    if phrases.UNSURE in text:
        result.append(Statement("certainty", "unsure", phrases.UNSURE))
    # Sentences on windows name positions, too, which must not count as those of the region.
    text = phrases.WINDOW_READ.sub(" ", text)
    sections = _sections(text)
    free = "" if sections else text
    result += _type(sections.get("type", ""))
    result += _areas(sections.get("areas", free))
    text_left = sections.get("inconsistencies", free)
    for heading, part in (_tagged(text_left) or {"": text_left}).items():
        result += _cues(_ANY_TAG.sub(" ", part), _DEFAULTS.get(heading))
    return tuple(dict.fromkeys(result))


def _label(text: str) -> str | None:
    return next((label for label, words in _TYPES if re.search(words, text.lower())), None)


def _type(text: str) -> Iterator[Statement]:
    if (label := _label(text)) is not None:
        yield Statement("type", label, _plain(text) or text)


def _areas(text: str) -> Iterator[Statement]:
    for clause in _CLAUSE.findall(_ANY_TAG.sub(" ", text)):
        for match in _POSITION.finditer(clause.lower()):
            column = "centre" if match[2].startswith("cent") else match[2]
            yield Statement("position", f"{_ROWS[match[1][0]]} {column}", clause.strip())
        for size in _AREA.findall(clause.lower()):
            yield Statement("area", size, clause.strip())


def _cues(text: str, default: str | None) -> Iterator[Statement]:
    for clause in _CLAUSE.findall(text):
        if (read := phrases.read_cue(clause, default)) is not None:
            yield Statement(*read, clause.strip())


def supported(statement: Statement, facts: Facts) -> bool | None:
    """True if facts bear a statement out; None where they do not say."""
    if statement.about == "type":
        return statement.value == facts.label
    if statement.about == "position":
        return None if facts.position is None else statement.value == facts.position
    if statement.about == "area":
        return None if facts.area is None else statement.value == phrases.area_word(facts.area)
    if statement.about == "window":
        if not facts.windows:
            return None
        word = phrases.WINDOW_WORDS[facts.label]
        return statement.value in {f"{w.position} {word} {w.percent}" for w in facts.windows}
    if statement.about == "certainty":
        return facts.unsure
    direction = facts.directions.get(statement.about)
    return None if direction is None else statement.value == direction


_WINDOW_CLAUSE = re.compile(rf"(?:, )?{phrases.WINDOW_READ.pattern}")


def corrected(text: str, facts: Facts) -> str:
    """The text with what it says of a cue replaced where something else was measured.

    What it says of windows is left out: `evidence_text` has what was measured of them.
    """
    text = _WINDOW_CLAUSE.sub("", text)
    for statement in statements(text):
        measured = facts.directions.get(statement.about)
        if measured is not None and statement.value != measured:
            text = text.replace(statement.text, phrases.cue_phrases(statement.about, measured)[0])
    return text


def claims(text: str, cues: Sequence[Cue]) -> tuple[Claim, ...]:
    """Statements of a text on cues, each with what was measured, which shows whether it is true."""
    measured = {cue.name: cue for cue in cues}
    return tuple(
        Claim(cue=cue.name, inside=cue.inside, outside=cue.outside, text=statement.text)
        for statement in statements(text)
        if (cue := measured.get(statement.about)) is not None
    )


_CONTENTS = (
    "a person", "a face", "a dog", "a cat", "a bird", "a car", "a tree", "a building", "a sign",
    "a boat", "a chair", "a bottle", "food", "a flower", "the sky", "water", "a window", "text",
)  # fmt: skip


def sentences(count: int = 3000) -> Iterator[str]:
    """Descriptions and facts of all kinds, always the same: what the small tokenizer learns from.

    `count` descriptions come, and as many facts.
    """
    # A fixed seed: the embedded tokenizer was made from exactly these sentences.
    rng = np.random.default_rng(0)
    for _ in range(count):
        facts = _some_facts(rng)
        yield write(facts, rng)
        yield facts_text(facts)


def _some_facts(rng: np.random.Generator) -> Facts:
    label = LABELS[int(rng.choice(3, p=(0.1, 0.1, 0.8)))]
    if label != "tampered":
        return Facts(label)
    ways = {cue: (*CUES[cue].words, "same")[int(rng.integers(3))] for cue in CUES}
    measured = {cue: way for cue, way in ways.items() if rng.random() < 0.95}
    content = _CONTENTS[int(rng.integers(len(_CONTENTS)))] if rng.random() < 0.3 else None
    position = POSITIONS[int(rng.integers(len(POSITIONS)))]
    return Facts(label, position, float(rng.random() ** 3), measured, content)
