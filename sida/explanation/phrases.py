"""The wordings of descriptions: how each fact may be said, and how it is recognised again.

Every phrase that is written here is read back as the fact it stands for; a test goes through all.
"""

import re
from collections.abc import Mapping, Sequence

from sida.explanation.cues import CUES

__all__ = [
    "AREA",
    "AREAS",
    "CONTENT",
    "HEADINGS",
    "NO_WINDOW",
    "POSITION",
    "REAL",
    "SYNTHETIC",
    "TAMPERED",
    "UNNAMED",
    "UNSURE",
    "WINDOW",
    "WINDOW_READ",
    "WINDOW_WORDS",
    "area_word",
    "cue_phrases",
    "read_cue",
]

HEADINGS: Mapping[str, tuple[str, ...]] = {
    "lighting": ("brightness", "colour"),
    "edges": ("edges",),
    "resolution": ("noise", "sharpness", "compression"),
    "shadows": ("shadows",),
}
"""The four headings of visual inconsistencies, and the cues that are told under each."""

AREAS: tuple[tuple[str, float], ...] = (
    ("tiny", 0.01),
    ("small", 0.05),
    ("medium", 0.2),
    ("large", 0.6),
    ("huge", 1.0),
)
"""Words for how much of the picture a region covers, each with its upper limit."""


def area_word(area: float) -> str:
    """The word for a region of that fraction of the picture."""
    return next((word for word, limit in AREAS if area < limit), AREAS[-1][0])


TAMPERED = ("tampered", "part tampered", "tampered in part")
REAL: Mapping[str, tuple[str, ...]] = {
    "type": ("real",),
    "areas": ("none", "no region stands out", "no region is marked"),
    "content": ("none", "nothing"),
    "inconsistencies": ("none to tell of", "no region to compare", "no region stands out"),
}
SYNTHETIC: Mapping[str, tuple[str, ...]] = {
    "type": ("full synthetic",),
    "areas": ("the whole picture", "the picture as a whole", "whole picture"),
    "content": ("all that is shown", "everything in the picture", "everything"),
    "inconsistencies": (
        "no single region, the whole picture is concerned",
        "not tied to one region",
        "no region to compare, the whole picture is concerned",
    ),
}
POSITION = (
    "{}",
    "in the {}",
    "the {} of the picture",
    "the {} part",
    "around the {}",
    "mainly in the {}",
)
AREA = ("a {} area", "a {} region", "{} in size", "a {} part of the picture", "a {} share of it")
CONTENT = ("{}", "{}", "it is said to be {}", "what is concerned: {}")
UNNAMED = ("not named", "an unnamed part", "what it shows is not named", "a part not named")

WINDOW_WORDS: Mapping[str, str] = {
    "real": "photographed",
    "full_synthetic": "generated",
    "tampered": "tampered",
}
"""Label -> how a window that speaks for it looks."""
WINDOW = "the {} window looks {} {} %"
WINDOW_READ = re.compile(
    r"the ((?:upper|middle|lower) (?:left|centre|right)) window looks "
    rf"({'|'.join(WINDOW_WORDS.values())}) (\d+) %"
)
NO_WINDOW = "no window speaks for it by itself"
UNSURE = "there is little to go by"

_THAN = ("than around", "than the surroundings", "inside than outside", "than what is around it")
_WORDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "brightness": (("brighter", "more light", "higher brightness"),
                   ("darker", "less light", "lower brightness")),
    "colour": (("warmer", "warmer colours", "a warmer tint"),
               ("cooler", "cooler colours", "a cooler tint")),
    "edges": (("a harder border", "harder edges", "a stronger step at the border"),
              ("a softer border", "softer edges", "a weaker step at the border")),
    "noise": (("more noise", "stronger noise", "more grain"),
              ("less noise", "weaker noise", "less grain")),
    "sharpness": (("sharper", "more fine detail", "higher sharpness"),
                  ("blurrier", "less fine detail", "lower sharpness")),
    "compression": (("stronger compression", "more block traces", "stronger block borders"),
                    ("weaker compression", "fewer block traces", "weaker block borders")),
    "shadows": (("lighter shadows", "lighter dark tones"),
                ("deeper shadows", "deeper dark tones")),
}  # fmt: skip
_NOUNS: Mapping[str, str] = {
    "brightness": "brightness",
    "colour": "colour tone",
    "edges": "the border",
    "noise": "noise",
    "sharpness": "sharpness",
    "compression": "compression",
    "shadows": "shadow tones",
}


def cue_phrases(cue: str, direction: str) -> Sequence[str]:
    """All ways to say that a cue lies in that direction inside the region."""
    if direction == "same":
        noun = _NOUNS[cue]
        return f"{noun} as around", f"no difference in {noun}", f"{noun} like the surroundings"
    wordings = _WORDS[cue][CUES[cue].words.index(direction)]
    return [f"{quality} {than}" for quality in wordings for than in _THAN]


_SAME = re.compile(r"\b(same|as around|no difference|like the|match\w*|equal|consistent|even)\b")
_NAMES = {
    "shadows": r"shadow|dark tone",
    "edges": r"border|edge|outline|boundar|contour|seam",
    "compression": r"compress|block|jpe?g",
    "noise": r"nois|grain",
    "sharpness": r"sharpness|detail|resolution",
    "colour": r"colou?r|tint|hue|white balance",
    "brightness": r"brightness|light\b|lighting|exposure",
}
"""Patterns that name a cue in a clause, tried in this order."""
_UP = r"\b(more|higher|stronger|greater|heavier|too much)\b"
_DOWN = r"\b(less|lower|weaker|fewer|lesser|fainter|lack\w*|missing|too little)\b"
_CUE_WORDS = {
    "sharpness": (r"sharp|crisp", r"blur|soft|smooth"),
    "colour": (r"warm|redd", r"cool|cold|blu(e|ish)"),
    "brightness": (r"bright|lighter|\blit\b", r"dark"),
    "edges": (r"hard|sharp|crisp|abrupt", r"soft|blur|smooth"),
    "noise": (r"nois|grain", r"clean|smooth"),
    "compression": (r"block", r"clean"),
    "shadows": (r"light|pale|bright", r"deep|dark(?! tone)"),
}
"""Words for up and down that a cue has for itself; of a clause that names none, the first that fits
says which it is."""
_BORDERS_OF_BLOCKS = re.compile(r"block (border|edge)s?")


def read_cue(clause: str, default: str | None = None) -> tuple[str, str] | None:
    """The cue and its direction that a clause of a few words tells of; None where it does not.

    `default` is the cue that a clause without a name of its own is about, from its heading.
    """
    text = _BORDERS_OF_BLOCKS.sub("blocks", clause.lower())
    cue = _cue(text, default)
    if cue is None:
        return None
    if _SAME.search(text):
        return cue, "same"
    up, down = CUES[cue].words
    more, less = re.search(_UP, text), re.search(_DOWN, text)
    if more or less:
        turned = "blur" in text  # less blur is sharper
        return cue, up if bool(more) != turned else down
    own_up, own_down = _CUE_WORDS[cue]
    if re.search(own_down, text):
        return cue, down
    return (cue, up) if re.search(own_up, text) else None


def _cue(text: str, default: str | None) -> str | None:
    for name, words in _NAMES.items():
        if re.search(words, text):
            return name
    if default is not None and any(re.search(words, text) for words in _CUE_WORDS[default]):
        return default
    fitting = (
        name
        for name, patterns in _CUE_WORDS.items()
        if any(re.search(words, text) for words in patterns)
    )
    return next(fitting, default)
