"""How much `sida adapt` gains on sources that the model's training never saw, and what it costs.

    python benchmarks/adaptation.py $SIDA_SHARED/data/ood_select

DATA is a labelled set whose samples name their source, none of which the model was trained on.
Each of `--own` is what a user might have: a source of photographs and one of altered or generated
pictures, joined by `+`. Of these 20, 50 and 200 pictures are learned (or as many as leave a third
of each class), in draws by original, and the others judged. The known pictures are those that come
with the model; features are computed once and kept. Prints a table in Markdown: means over the
draws of balanced accuracy before and after, on the others and on the known check set, the largest
loss there, and the seconds of a fit.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import sida.data
from sida.cli.progress import progress_bar
from sida.evaluation.metrics import balanced_accuracy, confusion, recalls
from sida.inference.device import use_native_bfloat16
from sida.model.calibration import Calibration
from sida.model.checkpoint import find, load
from sida.train.class_features import ClassFeatures, FeatureReader
from sida.train.correction import fit_correction, relative_penalties
from sida.train.replay import Replay, load_replay
from sida.train.stop_request import StopRequest

OWN = (
    "vistaway+gpt_image2_commercial",
    "dreambooth_dataset+ai_or_not_game",
    "jetson_inference+wanghao137_gpt_image",
    "petrifilm+shayshoon_sd_inpaint",
    "ttaya_homepage+crfill_places",
)
"""Of `ood_select`."""
COUNTS = (20, 50, 200)
LEAST_JUDGED = 1 / 3
"""Share of each class that is not learned."""


class Figures(NamedTuple):
    """Balanced accuracies of one draw, and false accusations on known photographs."""

    before: float
    after: float
    known_before: float
    known_after: float
    accused_before: float
    accused_after: float
    seconds: float


def draw(own: ClassFeatures, count: int, rng: np.random.Generator) -> np.ndarray:
    """True (pictures,) for those that are learned: of each class the same, whole originals."""
    learned = np.zeros(len(own.labels), bool)
    classes = np.unique(own.labels)
    for label in classes:
        rows = own.labels == label
        room = min(count // len(classes), int(rows.sum() * (1 - LEAST_JUDGED)))
        for group in rng.permutation(np.unique(own.groups[rows])):
            if int((learned & rows).sum()) < room:
                learned |= own.groups == group
    return learned


def measure(
    own: ClassFeatures,
    learned: np.ndarray,
    replay: Replay,
    calibration: Calibration,
    penalties: torch.Tensor,
) -> Figures:
    """Learn some pictures and judge the others and the known ones."""
    start = time.perf_counter()
    fitted = fit_correction(own.rows(learned), replay.learned, calibration, penalties)
    seconds = time.perf_counter() - start
    others = own.rows(~learned)
    tables = [
        confusion(part.labels, calibration.probabilities(logits).argmax(1))
        for part in (others, replay.check)
        for logits in (part.logits.numpy(), fitted.correction.logits(part))
    ]
    scores = [balanced_accuracy(table) or 0.0 for table in tables]
    accused = [1 - recalls(table)["real"] for table in tables[2:]]
    return Figures(*scores, *accused, seconds)


def row(name: str, learned: int, judged: int, figures: Sequence[Figures]) -> str:
    """A line of the table."""
    means = Figures(*np.mean(figures, 0))
    worst = max(each.known_before - each.known_after for each in figures)
    cells = [name, str(learned), str(judged), f"{means.before:.3f}", f"{means.after:.3f}"]
    cells += [f"{means.known_before:.3f}", f"{means.known_after:.3f}", f"{worst:.3f}"]
    cells += [f"{means.accused_before:.3f}", f"{means.accused_after:.3f}", f"{means.seconds:.1f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Read features once, then fit and measure each draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--own", nargs="+", default=OWN, help="sources joined by +")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--limit", type=int, help="pictures of a source, for a quick trial")
    parser.add_argument("--model", default="small")
    parser.add_argument("--replay", type=Path, help="folder of replay.safetensors, if another")
    parser.add_argument("--cache", type=Path, default=FeatureReader.default_folder())
    options = parser.parse_args()
    base = load(options.model)
    use_native_bfloat16(base.model, "auto")
    replay = load_replay(options.replay or find(options.model), base.digest)
    if replay is None:
        parser.error(f"{options.model} comes without known pictures: scripts/make_replay.py")
    penalties = relative_penalties(base.model)
    samples = list(sida.data.open(options.data))
    headings = ("own pictures", "learned", "judged", "before", "after", "known before")
    headings += ("known after", "worst loss", "accused before", "accused after", "seconds")
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for name in options.own:
        members = [
            sample
            for source in name.split("+")
            for sample in [s for s in samples if s.source == source][: options.limit]
        ]
        start = time.perf_counter()
        with StopRequest() as stop, progress_bar(name) as show:
            reader = FeatureReader(base, options.cache, stop)
            own = reader.read([options.data, name], members, show)
        print(f"{name}: {len(own.labels)} pictures in {time.perf_counter() - start:.0f} s")
        counts = {int(draw(own, count, np.random.default_rng(0)).sum()) for count in options.counts}
        for count in sorted(counts):
            draws = [draw(own, count, np.random.default_rng(i)) for i in range(options.draws)]
            figures = [measure(own, rows, replay, base.calibration, penalties) for rows in draws]
            judged = int((~draws[0]).sum())
            lines.append(row(name, int(draws[0].sum()), judged, figures))
            print(lines[-1], flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
