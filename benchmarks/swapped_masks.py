"""Whether explanations follow the mask: each tampered verdict is explained again with another one.

python benchmarks/swapped_masks.py DATA [--model NAME]

The other mask is that of the next picture called tampered whose largest region lies elsewhere,
scaled to size. Prints how many texts state another position then, and that of the other mask.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import sida.data
from sida.detector import Detector
from sida.explanation.wording import statements
from sida.verdict import Verdict


def counts_of_statements(verdict: Verdict) -> str | None:
    """The position that the text of a verdict names."""
    text = "" if verdict.explanation is None else verdict.explanation.text
    found = [verdict.value for verdict in statements(text) if verdict.about == "position"]
    return found[0] if found else None


def measured(verdict: Verdict) -> str | None:
    """The position of the largest region."""
    found = verdict.localization
    return found.regions[0].position if found is not None and found.regions else None


def explained(
    detector: Detector, picture: Any, other: np.ndarray | None = None
) -> tuple[Verdict, np.ndarray | None]:
    """A verdict and its mask logits; with `other`, explained by these instead of its own."""
    verdicts: list[np.ndarray] = []
    localize = Detector._localize

    def swapped(self: Detector, logits: np.ndarray) -> Any:
        verdicts.append(logits)
        if other is not None:
            logits = cv2.resize(other, logits.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return localize(self, logits)

    with patch.object(Detector, "_localize", swapped):
        verdict = detector.detect(picture, explain=True)
    return verdict, verdicts[0] if verdicts else None


def main() -> None:
    """Explain every picture called tampered twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    detector = Detector.load(options.model)
    found = []
    for sample in sida.data.open(options.data):
        verdict, logits = explained(detector, sample.read().pixels)
        if logits is not None and measured(verdict):
            found.append((sample, verdict, logits))
    changed, followed, pairs = 0, 0, 0
    for number, (sample, verdict, _) in enumerate(found):
        other_masks = found[number + 1 :] + found[:number]
        other = next((o for o in other_masks if measured(o[1]) != measured(verdict)), None)
        if other is None:
            continue
        again, _ = explained(detector, sample.read().pixels, other[2])
        pairs += 1
        changed += counts_of_statements(again) != counts_of_statements(verdict)
        followed += counts_of_statements(again) == measured(again)
    print(json.dumps({"explained": len(found), "swapped": pairs, "changed": changed / max(1, pairs),
                      "followed": followed / max(1, pairs)}))  # fmt: skip


if __name__ == "__main__":
    main()
