"""Make the file of known pictures that lies beside a model's weights, for `sida adapt`.

    python scripts/make_replay.py --learned TRAIN MORE --check VAL MORE

Needs the sets that the model was trained on, and others of the same sources that it was not. Of
each class and source about as many pictures are drawn, each of another original; `--check` takes
all that it can. Run it again whenever the weights change: the file holds their digest.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import sida.data
from sida.cli.progress import progress_bar
from sida.data.sample import Sample
from sida.inference.device import use_native_bfloat16
from sida.model.checkpoint import find, load
from sida.train.class_features import ClassFeatures, FeatureReader
from sida.train.replay import FILE, Replay, save_replay
from sida.train.stop_request import StopRequest
from sida.verdict import LABELS


def draw(folders: list[str], count: int, seed: int) -> list[Sample]:
    """At most `count` samples of each class, its sources in turn, one of each original."""
    samples = [sample for folder in folders for sample in sida.data.open(folder)]
    order = np.random.default_rng(seed).permutation(len(samples))
    pools: dict[str, dict[str | None, list[Sample]]] = {
        label: defaultdict(list) for label in LABELS
    }
    originals: set[str] = set()
    for index in order:
        sample = samples[index]
        original = sample.group or f"{sample.label} {sample.source} {sample.name}"
        if original not in originals:
            originals.add(original)
            pools[sample.label][sample.source].append(sample)
    drawn = []
    for sources in pools.values():
        of_class: list[Sample] = []
        while len(of_class) < count and any(sources.values()):
            for pool in sources.values():
                if pool and len(of_class) < count:
                    of_class.append(pool.pop())
        drawn += of_class
    return drawn


def main() -> None:
    """Draw, run the model once over the pictures, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learned", nargs="+", required=True, metavar="DATA")
    parser.add_argument("--check", nargs="+", required=True, metavar="DATA")
    parser.add_argument("--learned-count", type=int, default=120, help="pictures of each class")
    parser.add_argument("--check-count", type=int, default=200, help="pictures of each class")
    parser.add_argument("--model", default="small")
    parser.add_argument("--out", type=Path, help="by default beside the model's weights")
    parser.add_argument("--cache", type=Path, default=FeatureReader.default_folder())
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    base = load(options.model)
    use_native_bfloat16(base.model, "auto")

    def features(folders: list[str], count: int, title: str) -> ClassFeatures:
        samples = draw(folders, count, options.seed)
        with progress_bar(title) as show:
            pictures = reader.read(folders, samples, show)
        counts = {label: int((pictures.labels == i).sum()) for i, label in enumerate(LABELS)}
        print(f"{title}: {counts}")
        return pictures

    with StopRequest() as stop:
        reader = FeatureReader(base, options.cache, stop)
        replay = Replay(
            features(options.learned, options.learned_count, "learned"),
            features(options.check, options.check_count, "check"),
        )
    out = options.out or find(options.model) / FILE
    save_replay(out, replay, base.digest)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, for the weights {base.digest[:12]}")


if __name__ == "__main__":
    main()
