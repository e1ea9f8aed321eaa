"""`evaluate`: predict labelled sets, and compute every figure from the predictions.

    results = evaluate(["pictures/val"], "out", model="small")
    results["pictures/val"].get("detection", "accuracy")

Predictions are written first (`predictions.jsonl`); figures come from that file alone, so that they
are the same whenever, wherever and in how many shards it was made.
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
from sida.evaluation.budgets import BudgetCurve, calibration_of
from sida.evaluation.comparison import compare
from sida.evaluation.evaluation_page import evaluation_page, joint_page
from sida.evaluation.explanations import Explanations, SentenceEncoder, sentence_encoder
from sida.evaluation.prediction_rows import collect, merged
from sida.evaluation.prediction_run import (
    BASELINES,
    LEAKAGE,
    PREDICTIONS,
    ROBUSTNESS,
    RUN,
    BlockMapper,
    Perturb,
    Shard,
    folder_name,
    predict,
    run_folder,
)
from sida.evaluation.predictions import Prediction, Predictor, read_predictions
from sida.evaluation.protocol import Protocol
from sida.evaluation.result import Result, formulas, measure
from sida.evaluation.stability import StabilityFigures
from sida.evaluation.tables import as_csv, as_markdown, joint, markdown
from sida.files import natural_key, write_text, write_whole
from sida.image.perturbation import perturb
from sida.model.budget import BudgetCalibration
from sida.options import DetectOptions
from sida.run_folder import locked
from sida.verdict import ModelInfo

__all__ = ["Options", "StageProgress", "evaluate", "perturbations"]

log = logging.getLogger(__name__)

StageProgress = Callable[[str, int, int | None], None]
"""Called with the stage, how much of it is done, and of how much where that is known."""


@dataclass(frozen=True)
class Options:
    """Choices of what an evaluation measures, and how.

    Attributes:
        protocol: how masks are counted, `end_to_end` or `published`.
        published_formulas: whether the original's odd figures are worked out, too.
        perturbations: names that `sida.image.perturbation.perturb` knows.
        split, labels: as for `sida.data.open`.
        shard: predict only these blocks; figures need all shards together.
        leakage: probe first whether file formats reveal the class, which reads every picture.
        explanations: measure texts, too; the model has to write them.
        stability: measure how often verdicts change in deliveries, too; the model judges these.
        similarity: a sentence-embedding model that compares texts with the set's descriptions.
        baselines: other models, as `sida.evaluation.baselines.load` takes them.
        baseline_labels: their labels -> our classes.
        device: of the baselines.
        max_false_positives: count verdicts under this budget, and measure the curve of budgets.
        calibration: for that; of an embedded model its own, if not given.
    """

    protocol: Protocol = "end_to_end"
    published_formulas: bool = False
    perturbations: Sequence[str] = ()
    split: str | None = None
    labels: str | None = None
    shard: Shard = field(default_factory=Shard)
    leakage: bool = True
    explanations: bool = False
    stability: bool = False
    similarity: str | None = None
    baselines: Sequence[str] = ()
    baseline_labels: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    max_false_positives: float | None = None
    calibration: BudgetCalibration | None = None

    def __post_init__(self) -> None:
        DetectOptions(max_false_positives=self.max_false_positives)  # checks it
        if self.similarity is not None and not self.explanations:
            raise ConfigError("similarity is of explanations: ask for them, too (--explanations)")
        if self.stability and self.perturbations:
            raise ConfigError(
                "stability judges every picture in six deliveries, and each perturbation every "
                "picture again: measure one of them at a time, into two folders"
            )

    @property
    def detect(self) -> DetectOptions:
        """The parts of a verdict that are needed, beside masks."""
        return DetectOptions(explain=self.explanations, stability=self.stability)


def evaluate(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    predictor: Callable[[], Predictor] | None = None,
    predictions: Sequence[str | Path] = (),
    options: Options = Options(),
    fresh: bool = False,
    on_progress: StageProgress = lambda stage, finished, total: None,
    mapper: BlockMapper = map,
) -> dict[str, Result]:
    """Predict labelled sets, or take finished predictions, and measure.

    `out` gets `predictions.jsonl` with `maps/` and `truth/`, `metrics.json`, `metrics.md`,
    `metrics.csv` and `index.html`; of several sets each has a folder of its name there. A run that
    was stopped goes on when it is called again; what is measured of the same predictions may
    differ. One shard alone gets no figures.

    Args:
        data: sets, as `sida.data.open` takes them.
        out: a new or empty folder, or that of the same run.
        predictor: makes the predictor once all sets are open; the default model if not given.
        predictions: files to measure instead of `data`; several are the shards of one set.
        options: see `Options`.
        fresh: remove what an earlier run left in `out`, and start over.
        on_progress: called as work gets done.
        mapper: predicts blocks elsewhere, as for `predict`; baselines always run here.

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
            "baselines need pictures, and predictions have none: give labelled data; baselines "
            "that lie beside predictions are compared without being named"
        )
    if bool(data) == bool(predictions):
        raise InputError("nothing to evaluate: give labelled data, or predictions (--from)")
    run_folder(folder).check({})  # other things in it are refused before a model is loaded
    encoder = None if options.similarity is None else sentence_encoder(options.similarity)
    with locked(folder):
        if predictions:
            _require_whole(predictions)
            _require_budget(_model_of(predictions), options)
            _claim_for_predictions(folder, predictions, fresh)
            result = _measured(predictions, folder, options, (), on_progress, encoder)
            results = {_set_name(predictions): result}
        else:
            predictor = predictor or partial(_default_predictor, options.detect)
            results = _evaluate_sets(
                data, folder, predictor, options, on_progress, encoder, mapper, fresh
            )
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


def _default_predictor(options: DetectOptions) -> Predictor:
    from sida.detector import Detector
    from sida.evaluation.detector_predictor import DetectorPredictor

    return DetectorPredictor(Detector.load(), options)


def _claim_for_predictions(out: Path, files: Sequence[str | Path], fresh: bool) -> None:
    """Claim a folder for figures of predictions, which may be those of its own run."""
    paths = [Path(file).resolve() for file in files]
    folder = run_folder(out)
    # Figures of a run's own predictions, by another protocol for instance.
    if paths == [(out / PREDICTIONS).resolve()] and (out / RUN).is_file() and not fresh:
        return
    if fresh and any(out.resolve() in path.parents for path in paths):
        raise ConfigError(
            f"--fresh would remove predictions that are to be measured: they are in {str(out)!r}; "
            "choose another --out."
        )
    identity = {
        "data": _set_name(files),
        "from": [path.name for path in paths],
        "content": [_digest(path) for path in paths],
    }
    if folder.claim(identity, fresh=fresh) is None:
        folder.begin(identity)


def _require_budget(model: ModelInfo | None, options: Options) -> None:
    """Raise ConfigError where no calibration promises the budget, before anything is written."""
    if options.max_false_positives is not None and model is not None:
        calibration_of(model, options.calibration).budget(options.max_false_positives)


def _model_of(files: Sequence[str | Path]) -> ModelInfo | None:
    """The model of the first prediction; None where they are all failures."""
    lines = (line for file in files for line in read_predictions(file))
    return next((line.model for line in lines if isinstance(line, Prediction)), None)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _evaluate_sets(
    data: Sequence[str | Path],
    out: Path,
    load_predictor: Callable[[], Predictor],
    options: Options,
    on_progress: StageProgress,
    encoder: SentenceEncoder | None,
    mapper: BlockMapper,
    fresh: bool,
) -> dict[str, Result]:
    """Every set is opened before the first prediction: a wrong path is reported at once."""
    sets = [
        sida.data.open(path, options.split, labels=options.labels, further=True) for path in data
    ]
    for data_set in sets:
        if not _length(data_set):
            raise DataError(f"{data_set.name!r} holds no picture: expected a labelled set")
    perturbs = perturbations(options.perturbations)
    baselines = load(options.baselines, options.baseline_labels, options.device)
    predictor = load_predictor()
    _require_budget(predictor.model, options)
    folders = _claim_folders(out, sets, predictor, options, fresh)
    results = {}
    for data_set, folder in zip(sets, folders, strict=True):
        leakage = _leakage(data_set, folder, options, on_progress)
        for sentence in leakage:
            log.info("%s: %s", data_set.name, sentence)
        files = _predict_set(
            data_set, folder, predictor, options, perturbs, on_progress, mapper=mapper
        )
        for name, baseline in baselines.items():
            applicable = perturbs if baseline.sees_pixels else {}
            baseline_folder = folder / BASELINES / name
            _predict_set(
                data_set,
                baseline_folder,
                baseline.predictor,
                options,
                applicable,
                on_progress,
                name,
            )
        for problem in data_set.report.lines()[:20]:
            log.warning("%s", problem)
        if options.shard.count > 1:
            log.info("Shard %s is in %s: give all shards with --from.", options.shard, files)
            continue
        results[data_set.name] = _measured(
            [files], folder, options, leakage, on_progress, encoder, data_set
        )
    return results


def _claim_folders(
    out: Path, sets: Sequence[Dataset], predictor: Predictor, options: Options, fresh: bool
) -> list[Path]:
    """Claim the folder of a run before anything is written; gives that of each set."""
    names = _distinct(sets)
    if len(sets) == 1:
        identity = {**_identity(sets[0], predictor, options), "shard": str(options.shard)}
        folders = [out]
    else:
        folders = [out / name for name in names]
        identity = {"data": [data.name for data in sets]}
    folder = run_folder(out)
    if folder.claim(identity, fresh=fresh) is None:
        folder.begin(identity if len(sets) == 1 else {**identity, "folders": names})
    return folders


def _identity(
    data: Dataset,
    predictor: Predictor,
    options: Options,
    baseline: str = "",
    perturbation: str = "",
) -> dict[str, Any]:
    """All that predictions depend on."""
    return {
        "data": data.name,
        "split": data.split,
        "labels": options.labels,
        "model": predictor.model.model_dump(),
        "explanations": (options.explanations and not baseline) or None,
        "stability": (options.stability and not baseline) or None,
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
    for data_set in sets:
        stem = Path(data_set.name).resolve().stem if Path(data_set.name).exists() else data_set.name
        names.append(folder_name(stem, names, "data"))
    return names


def _predict_set(
    data: Dataset,
    folder: Path,
    predictor: Predictor,
    options: Options,
    perturbs: Mapping[str, Perturb],
    on_progress: StageProgress,
    baseline: str = "",
    mapper: BlockMapper = map,
) -> Path:
    for name, change in ({"": None} | dict(perturbs)).items():
        run_out = folder / ROBUSTNESS / name if name else folder
        details = ", ".join(filter(None, (baseline, name)))
        stage = f"Predicting {data.name}{f' ({details})' if details else ''}"
        predict(
            predictor,
            data,
            run_out,
            _identity(data, predictor, options, baseline, name),
            shard=options.shard,
            perturb=change,
            on_progress=partial(on_progress, stage),
            mapper=mapper,
        )
    return folder / PREDICTIONS


def _leakage(
    data: Dataset, folder: Path, options: Options, on_progress: StageProgress
) -> list[str]:
    """Sentences of the leakage probe on a set; kept in a file, as it takes long."""
    file = folder / LEAKAGE
    if not options.leakage or options.shard.count > 1:
        return []
    if file.is_file():
        return list(json.loads(file.read_text(encoding="utf-8"))["sentences"])
    traits = []
    for trait in survey(data, data.split, looks=False):
        traits.append(trait)
        # The probe needs all traits at once; they are a few numbers of each picture.
        on_progress(f"Probing {data.name}", len(traits), None)
    try:
        result = probe(traits)
    except MissingExtra as error:
        result = Probe(not_measured=str(error).rstrip("."))
    sentences = result.sentences()
    write_text(file, json.dumps({"sentences": sentences}, indent=1, ensure_ascii=False) + "\n")
    return sentences


def _set_name(files: Sequence[str | Path]) -> str:
    """The set of some predictions, as their run recorded it; else the files' own names."""
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
    on_progress: StageProgress,
    encoder: SentenceEncoder | None = None,
    data: Dataset | None = None,
) -> Result:
    """Figures of some predictions, written to a folder with the predictions themselves."""
    # Texts and deliveries are of the model alone.
    plain = replace(options, explanations=False, similarity=None, stability=False)
    perturbed = {
        name: _result(files_beside, folder / ROBUSTNESS / name, plain, on_progress)
        for name, files_beside in _beside(files, ROBUSTNESS).items()
    }
    # The scores of other models have no calibration here.
    others = replace(plain, max_false_positives=None)
    baselines = {
        name: _measured(files_beside, folder / BASELINES / name, others, (), on_progress, data=data)
        for name, files_beside in _beside(files, BASELINES).items()
    }
    result = _result(files, folder, options, on_progress, encoder)
    compared = {name: compare(result.rows, other.rows) for name, other in baselines.items()}
    result = replace(result, robustness=perturbed, baselines=baselines, compared=compared)
    if options.published_formulas:
        result = replace(result, published_formulas=formulas(result))
    text = json.dumps(result.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "metrics.json", text + "\n")
    write_text(folder / "metrics.md", as_markdown(result))
    write_text(folder / "metrics.csv", as_csv({result.data: result}))
    page = evaluation_page(result, folder / PREDICTIONS, leakage, data)
    page.write(folder / "index.html")
    return result


def _beside(files: Sequence[str | Path], section: str) -> dict[str, list[Path]]:
    """Perturbations or baselines beside all of the files: name -> their files."""
    names = [
        {path.parent.name for path in (Path(file).parent / section).glob(f"*/{PREDICTIONS}")}
        for file in files
    ]
    return {
        name: [Path(file).parent / section / name / PREDICTIONS for file in files]
        for name in sorted(set.intersection(*names), key=natural_key)
    }


def _result(
    files: Sequence[str | Path],
    folder: Path,
    options: Options,
    on_progress: StageProgress,
    encoder: SentenceEncoder | None = None,
) -> Result:
    _require_whole(files)
    target = folder / PREDICTIONS
    if [Path(file).resolve() for file in files] != [target.resolve()]:
        with write_whole(target) as temporary, temporary.open("w", encoding="utf-8") as stream:
            for line in merged(files, folder):
                print(line.model_dump_json(), file=stream)
    data = _set_name(files)
    if not (folder / RUN).is_file():
        run_folder(folder).begin({"data": data, "from": [Path(file).name for file in files]})
    rows = collect(merged([target], folder), partial(on_progress, "Reading maps"))
    if not len(rows.truth) and not rows.failures:
        raise InputError(f"{', '.join(map(str, files))} hold no prediction")
    texts = None
    if options.explanations:
        texts = Explanations(merged([target], folder), encoder)
    stability = StabilityFigures(merged([target], folder)) if options.stability else None
    budgets = None
    if options.max_false_positives is not None and rows.model is not None:
        calibration = calibration_of(rows.model, options.calibration)
        budgets = BudgetCurve(rows, calibration, options.max_false_positives, stability)
        if calibration.set == Path(data).name:
            note = (
                f"the budget rests on photographs of {calibration.set}, too: what it is found to "
                "keep here proves nothing"
            )
            rows = replace(rows, notes=(*rows.notes, note))
    intervals = partial(on_progress, "Intervals")
    return measure(
        rows,
        options.protocol,
        data,
        on_progress=intervals,
        explanations=texts,
        stability=stability,
        budgets=budgets,
    )


def _require_whole(files: Sequence[str | Path]) -> None:
    """Raise InputError where a file of several shards is missing."""
    for file in files:
        if not Path(file).is_file():
            raise InputError(
                f"{str(file)!r} was not found: expected the predictions.jsonl of a finished run"
            )
