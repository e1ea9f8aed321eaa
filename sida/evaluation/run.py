"""`evaluate`: judge labelled sets, and work out every figure from what was said.

    results = evaluate(["pictures/val"], "out", model="small")
    results["pictures/val"].get("detection", "accuracy")

What is judged is written first (`predictions.jsonl`); figures come from that file alone, so that
they are the same whenever, wherever and in how many parts it was made.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import sida.data
from sida.data.checks.leakage import Probe, probe
from sida.data.checks.traits import survey
from sida.data.dataset import Dataset
from sida.errors import ConfigError, DataError, InputError, MissingExtra
from sida.evaluation.baselines import load
from sida.evaluation.collect import collect, merged
from sida.evaluation.comparison import compare
from sida.evaluation.evaluation_page import evaluation_page, joint_page
from sida.evaluation.explanations import Encoder, Explanations, sentence_encoder
from sida.evaluation.judging import (
    BASELINES,
    LEAKAGE,
    PREDICTIONS,
    ROBUSTNESS,
    RUN,
    Mapper,
    Perturb,
    Shard,
    predict,
    run_folder,
)
from sida.evaluation.predictions import Judge
from sida.evaluation.protocol import Protocol
from sida.evaluation.result import Result, formulas, measure
from sida.evaluation.tables import as_csv, as_markdown, joint, markdown
from sida.files import natural_key, write_text, write_whole
from sida.image.perturbation import perturb
from sida.run_folder import locked

__all__ = ["Options", "Progress", "evaluate", "perturbations"]

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much of it is, and of how much where that is known."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how.

    Attributes:
        protocol: how masks are counted, `end_to_end` or `published`.
        published_formulas: whether the original's odd figures are worked out, too.
        perturbations: names that `sida.image.perturbation.perturb` knows.
        split, labels: as for `sida.data.open`.
        shard: the part that is judged; figures are worked out of all parts together.
        leakage: whether the sets' containers are probed first, which reads every picture.
        explanations: whether texts are measured; the judge has to write them.
        similarity: a sentence-embedding model that compares texts with the set's descriptions.
        baselines: other judges, as `sida.evaluation.baselines.load` takes them.
        baseline_labels: what their words for a class stand for.
        device: of the baselines.
    """

    protocol: Protocol = "end_to_end"
    published_formulas: bool = False
    perturbations: Sequence[str] = ()
    split: str | None = None
    labels: str | None = None
    shard: Shard = field(default_factory=Shard)
    leakage: bool = True
    explanations: bool = False
    similarity: str | None = None
    baselines: Sequence[str] = ()
    baseline_labels: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.similarity is not None and not self.explanations:
            raise ConfigError("similarity is of explanations: ask for them, too (--explanations)")


def evaluate(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    judge: Callable[[], Judge] | None = None,
    predictions: Sequence[str | Path] = (),
    options: Options = Options(),
    fresh: bool = False,
    progress: Progress = lambda what, done, total: None,
    mapper: Mapper = map,
) -> dict[str, Result]:
    """Judge labelled sets, or take what was judged, and measure.

    `out` gets `predictions.jsonl` with `maps/` and `truth/`, `metrics.json`, `metrics.md`,
    `metrics.csv` and `index.html`; of several sets each has a folder of its name there. A run that
    was stopped goes on when it is called again; what is measured of the same predictions may
    differ. One shard alone gets no figures.

    Args:
        data: sets, as `sida.data.open` takes them.
        out: a new or empty folder, or that of the same run.
        judge: makes what judges; called when something is left to be judged. `tiny` if not given.
        predictions: files to measure instead of `data`; several are the shards of one set.
        options: see `Options`.
        fresh: remove what an earlier run left in `out`, and begin anew.
        progress: called as work gets done.
        mapper: judges blocks elsewhere, as for `predict`; baselines judge here.

    Returns:
        Results by the names of the sets.

    Raises:
        InputError: nothing to evaluate, `out` holds other things, or predictions are empty.
        DataError: a set or a line of predictions is not what it should be.
        ConfigError: options contradict each other, or `out` belongs to another run.
        MissingExtra, CheckpointError: what compares texts, or a baseline, cannot be loaded.
    """
    folder = Path(out)
    if predictions and options.baselines:
        raise ConfigError(
            "baselines judge pictures, and predictions have none: give labelled data; baselines "
            "that lie beside predictions are compared without being named"
        )
    if bool(data) == bool(predictions):
        raise InputError("nothing to evaluate: give labelled data, or predictions (--from)")
    run_folder(folder).check({})  # other things in it are refused before a model is loaded
    encoder = None if options.similarity is None else sentence_encoder(options.similarity)
    with locked(folder):
        if predictions:
            _claim_for_predictions(folder, predictions, fresh)
            found = _measured(predictions, folder, options, (), progress, encoder)
            results = {_named(predictions): found}
        else:
            judge = judge or partial(_tiny, options.explanations)
            results = _evaluate_sets(data, folder, judge, options, progress, encoder, mapper, fresh)
        if len(results) > 1:
            write_text(folder / "metrics.md", f"# Evaluation\n\n{markdown(joint(results))}\n")
            write_text(folder / "metrics.csv", as_csv(results))
            joint_page(results).write(folder / "index.html")
    return results


def perturbations(names: Sequence[str]) -> dict[str, Perturb]:
    """Perturbations by name, such as `jpeg_70`. Raises ConfigError where there is none such."""
    for name in names:
        perturb(name, np.zeros((32, 32, 3), np.uint8), None, seed=0)
    return {name: partial(perturb, name) for name in names}


def _tiny(explain: bool) -> Judge:
    from sida.detector import Detector
    from sida.evaluation.detecting import DetectorJudge

    return DetectorJudge(Detector.load(), explain)


def _claim_for_predictions(out: Path, files: Sequence[str | Path], fresh: bool) -> None:
    """Claim a folder for figures of predictions, which may be those of its own run."""
    _require_whole(files)
    paths = [Path(file).resolve() for file in files]
    folder = run_folder(out)
    if paths == [(out / PREDICTIONS).resolve()] and (out / RUN).is_file() and not fresh:
        return
    if fresh and any(out.resolve() in path.parents for path in paths):
        raise ConfigError(
            f"--fresh would remove predictions that are to be measured: they are in {str(out)!r}; "
            "choose another --out."
        )
    identity = {
        "data": _named(files),
        "from": [path.name for path in paths],
        "content": [_digest(path) for path in paths],
    }
    if folder.claim(identity, fresh=fresh) is None:
        folder.begin(identity)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _evaluate_sets(
    data: Sequence[str | Path],
    out: Path,
    judge: Callable[[], Judge],
    options: Options,
    progress: Progress,
    encoder: Encoder | None,
    mapper: Mapper,
    fresh: bool,
) -> dict[str, Result]:
    """Every set is opened before the first picture is judged: a wrong path is said at once."""
    sets = [
        sida.data.open(path, options.split, labels=options.labels, further=True) for path in data
    ]
    for each in sets:
        if not _length(each):
            raise DataError(f"{each.name!r} holds no picture: expected a labelled set")
    chosen = perturbations(options.perturbations)
    baselines = load(options.baselines, options.baseline_labels, options.device)
    judging = judge()
    folders = _claim(out, sets, judging, options, fresh)
    results = {}
    for each, folder in zip(sets, folders, strict=True):
        leakage = _leakage(each, folder, options, progress)
        for sentence in leakage:
            log.info("%s: %s", each.name, sentence)
        files = _judge_set(each, folder, judging, options, chosen, progress, mapper=mapper)
        for name, baseline in baselines.items():
            own = chosen if baseline.sees_pixels else {}
            place = folder / BASELINES / name
            _judge_set(each, place, baseline.judge, options, own, progress, name)
        for problem in each.report.lines()[:20]:
            log.warning("%s", problem)
        if options.shard.count > 1:
            log.info("shard %s is in %s: give all with --from", options.shard, files)
            continue
        results[each.name] = _measured([files], folder, options, leakage, progress, encoder, each)
    return results


def _claim(
    out: Path, sets: Sequence[Dataset], judge: Judge, options: Options, fresh: bool
) -> list[Path]:
    """Claim the folder of a run before anything is written; gives that of each set."""
    names = _distinct(sets)
    if len(sets) == 1:
        identity = {**_identity(sets[0], judge, options), "shard": str(options.shard)}
        folders = [out]
    else:
        folders = [out / name for name in names]
        identity = {"data": [data.name for data in sets]}
    folder = run_folder(out)
    if folder.claim(identity, fresh=fresh) is None:
        folder.begin(identity if len(sets) == 1 else {**identity, "folders": names})
    return folders


def _identity(
    data: Dataset, judge: Judge, options: Options, baseline: str = "", perturbation: str = ""
) -> dict[str, Any]:
    """What predictions depend on."""
    return {
        "data": data.name,
        "split": data.split,
        "labels": options.labels,
        "model": judge.model.model_dump(),
        "explanations": (options.explanations and not baseline) or None,
        "perturbation": perturbation or None,
    }


def _length(data: Dataset) -> int:
    try:
        return len(data)
    except TypeError:  # streamed
        return 1


def _distinct(sets: Sequence[Dataset]) -> list[str]:
    """A folder's name for each set: its own, with a number where that is there already."""
    names: list[str] = []
    for each in sets:
        stem = Path(each.name).resolve().stem if Path(each.name).exists() else each.name
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in stem) or "data"
        number, name = 1, plain
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _judge_set(
    data: Dataset,
    folder: Path,
    judge: Judge,
    options: Options,
    chosen: Mapping[str, Perturb],
    progress: Progress,
    baseline: str = "",
    mapper: Mapper = map,
) -> Path:
    for name, change in ({"": None} | dict(chosen)).items():
        place = folder / ROBUSTNESS / name if name else folder
        further = ", ".join(filter(None, (baseline, name)))
        what = f"Judging {data.name}{f' ({further})' if further else ''}"
        predict(
            judge,
            data,
            place,
            _identity(data, judge, options, baseline, name),
            shard=options.shard,
            perturb=change,
            progress=partial(progress, what),
            mapper=mapper,
        )
    return folder / PREDICTIONS


def _leakage(data: Dataset, folder: Path, options: Options, progress: Progress) -> list[str]:
    """What the set's container gives away, in sentences; kept, as it takes long."""
    kept = folder / LEAKAGE
    if not options.leakage or options.shard.count > 1:
        return []
    if kept.is_file():
        return list(json.loads(kept.read_text(encoding="utf-8"))["sentences"])
    traits = []
    for one in survey(data, data.split, looks=False):
        traits.append(one)
        progress(f"Probing {data.name}", len(traits), None)
    try:
        found = probe(traits)
    except MissingExtra as error:
        found = Probe(not_measured=str(error).rstrip("."))
    sentences = found.sentences()
    write_text(kept, json.dumps({"sentences": sentences}, indent=1, ensure_ascii=False) + "\n")
    return sentences


def _named(files: Sequence[str | Path]) -> str:
    """The set that predictions are of, as their run noted; else the files' own names."""
    names = []
    for file in files:
        try:
            run = json.loads((Path(file).parent / RUN).read_text(encoding="utf-8"))
            names.append(str(run["data"]))
        except (OSError, ValueError, KeyError, TypeError):
            names.append(str(file))
    return ", ".join(dict.fromkeys(names))


def _measured(
    files: Sequence[str | Path],
    folder: Path,
    options: Options,
    leakage: Sequence[str],
    progress: Progress,
    encoder: Encoder | None = None,
    data: Dataset | None = None,
) -> Result:
    """Figures of some predictions, written to a folder with the predictions themselves."""
    plain = replace(options, explanations=False, similarity=None)  # texts are of the model alone
    perturbed = {
        name: _result(beside, folder / ROBUSTNESS / name, plain, progress)
        for name, beside in _beside(files, ROBUSTNESS).items()
    }
    baselines = {
        name: _measured(beside, folder / BASELINES / name, plain, (), progress, data=data)
        for name, beside in _beside(files, BASELINES).items()
    }
    result = _result(files, folder, options, progress, encoder)
    compared = {name: compare(result.rows, other.rows) for name, other in baselines.items()}
    result = replace(result, robustness=perturbed, baselines=baselines, compared=compared)
    if options.published_formulas:
        result = replace(result, extra={**result.extra, "published_formulas": formulas(result)})
    text = json.dumps(result.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "metrics.json", text + "\n")
    write_text(folder / "metrics.md", as_markdown(result))
    write_text(folder / "metrics.csv", as_csv({result.data: result}))
    page = evaluation_page(result, folder / PREDICTIONS, leakage, data)
    page.write(folder / "index.html")
    return result


def _beside(files: Sequence[str | Path], kind: str) -> dict[str, list[Path]]:
    """Perturbations or baselines that all of the files have beside them: name -> their files."""
    names = [
        {each.parent.name for each in (Path(file).parent / kind).glob(f"*/{PREDICTIONS}")}
        for file in files
    ]
    return {
        name: [Path(file).parent / kind / name / PREDICTIONS for file in files]
        for name in sorted(set.intersection(*names), key=natural_key)
    }


def _result(
    files: Sequence[str | Path],
    folder: Path,
    options: Options,
    progress: Progress,
    encoder: Encoder | None = None,
) -> Result:
    _require_whole(files)
    target = folder / PREDICTIONS
    if [Path(file).resolve() for file in files] != [target.resolve()]:
        with write_whole(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for line in merged(files, folder):
                print(line.model_dump_json(), file=stream)
    data = _named(files)
    if not (folder / RUN).is_file():
        run_folder(folder).begin({"data": data, "from": [Path(file).name for file in files]})
    rows = collect(merged([target], folder), partial(progress, "Reading maps"))
    if not len(rows.truth) and not rows.failures:
        raise InputError(f"{', '.join(map(str, files))} hold no prediction")
    texts = None
    if options.explanations:
        texts = Explanations(merged([target], folder), encoder)
    intervals = partial(progress, "Intervals")
    return measure(rows, options.protocol, data, progress=intervals, explanations=texts)


def _require_whole(files: Sequence[str | Path]) -> None:
    """Raise InputError where a file of several shards is missing."""
    for file in files:
        if not Path(file).is_file():
            raise InputError(
                f"{str(file)!r} was not found: expected the predictions.jsonl of a finished run"
            )
