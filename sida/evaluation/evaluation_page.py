"""An evaluation as a self-contained page."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.data.sample import Sample
from sida.evaluation.metrics import Order
from sida.evaluation.mistakes import Mistake, mistakes, thumbs
from sida.evaluation.result import Result
from sida.evaluation.stability import EVERY_CLASS
from sida.evaluation.tables import BUDGETS_TITLE, STABILITY_ROWS, Sheet, joint, sheets
from sida.html import (
    Bars,
    FactList,
    Gallery,
    Histogram,
    Lines,
    Note,
    Page,
    Paragraph,
    Section,
    Table,
)
from sida.verdict import LABELS

__all__ = ["evaluation_page", "joint_page"]

POINTS = 200  # of a curve


def evaluation_page(
    result: Result,
    predictions: Path,
    leakage: Sequence[str] = (),
    samples: Sequence[Sample] | None = None,
) -> Page:
    """The page of a result.

    Args:
        result: all figures.
        predictions: the file that they were measured from, for the gallery.
        leakage: sentences of the leakage probe.
        samples: the set, where it is at hand: for the gallery of pictures that lie in tables.
    """
    rows, model = result.rows, result.rows.model
    page = Page("Evaluation", f"{model.name if model else 'nothing'} on {result.data}")
    _summary(page, result, leakage)
    for sheet in sheets(result):
        section = page.section(sheet.title, _INTROS.get(sheet.title, ""))
        section.add(_table(sheet))
        if sheet.title == "Real against not real, and calibration" and len(rows.truth):
            _curves(section, _orders(result))
            _reliability(section, result)
        if sheet.title == "Against real alone":
            against_real = result.detection.against_real.items()
            _curves(section, {_words(label): pair.order for label, pair in against_real})
        if sheet.title == "Robustness":
            _robustness(section, result)
        if sheet.title == "Stability":
            _stability(section, result)
    _gallery(page, result, predictions, samples)
    return page


def joint_page(results: Mapping[str, Result]) -> Page:
    """Several sets side by side; each has a page of its own in its folder."""
    page = Page("Evaluation", "several sets")
    section = page.section("Sets", "Each set has a page of its own in the folder of its name.")
    section.add(_table(joint(results)))
    return page


_INTROS = {
    "Detection": "Accuracy of a class is the share of its pictures that are called so.",
    "Against real alone": "Each class and real pictures, without the third class; the score is the "
    "probability of the class where only it and real are left. Recall is the share that is found "
    "where at most so many real pictures are mistaken.",
    "Stated verdicts": "Verdicts that are not inconclusive.",
    BUDGETS_TITLE: "Real accused is the share of real pictures that score above the threshold of "
    "the budget: it should be at most the budget, where they are like the photographs that the "
    "threshold rests on. Found is the share of the others that still do.",
    "Robustness": "The same pictures, perturbed before the model sees them.",
    "Stability": "The share of verdicts that change when the picture is delivered: to another "
    "label, or between stated and inconclusive.",
    "Explanations": "Each text is held against its own verdict and what was measured for it.",
    "Baselines": "Other models on the same set; each has a page of its own below baselines.",
    "Model against baselines": "On the pictures that both have predictions for. Beside p: the "
    "number that only the model had right, and the number that only the baseline had right.",
}


def _summary(page: Page, result: Result, leakage: Sequence[str]) -> None:
    rows = result.rows
    section = page.section("Summary")
    section.add(
        FactList(
            {
                "protocol": result.protocol.replace("_", " "),
                "pictures": len(rows.truth),
                "not judged": len(rows.failures),
                "accuracy": _value(result, "detection", "accuracy"),
                "AUROC, real or not": _value(result, "detection", "auroc_real_vs_not"),
                "mask F1": _value(result, "localization", "f1_fixed_mean_tampered"),
            }
        )
    )
    for sentence in leakage:
        section.add(Note(sentence, "bad" if "gives the class away" in sentence else "plain"))
    for note in rows.notes:
        section.add(Note(note, "warn"))
    for failure in rows.failures[:10]:
        section.add(Note(f"Not judged: {failure.image}: {failure.message}", "warn"))
    section.add(
        Paragraph(
            "In brackets: 95 % intervals of 1000 bootstrap samples of "
            f"{'originals' if rows.grouped else 'pictures'}."
        )
    )


def _value(result: Result, *name: str) -> float | None:
    figure = result.get(*name)
    return None if figure is None else figure.value


def _table(sheet: Sheet) -> Table:
    return Table(sheet.headings, sheet.rows)


def _orders(result: Result) -> dict[str, Order]:
    orders = {"real or not": result.detection.not_real}
    if result.detection.three:
        orders |= {_words(label): order for label, order in result.detection.order.items()}
    return orders


def _words(label: str) -> str:
    return label.replace("_", " ")


def _curves(section: Section, orders: Mapping[str, Order]) -> None:
    rocs, precisions = {}, {}
    for name, order in orders.items():
        if order.positive.any() and not order.positive.all():
            rocs[name], precisions[name] = _points(order)
    if rocs:
        section.add(
            Lines(rocs, "false positive rate", "true positive rate", "ROC", diagonal=True),
            Lines(precisions, "recall", "precision", "Precision and recall"),
        )


def _points(order: Order) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """ROC and precision over recall, thinned."""
    hits, alarms = order.curve()
    # A curve of a large set has as many points as pictures; the page shows a few hundred.
    steps = np.unique(np.linspace(0, len(hits) - 1, POINTS).astype(int))
    recall, false = hits / hits[-1], alarms / alarms[-1]
    precision = hits / (hits + alarms)
    roc = [(0.0, 0.0), *_pairs(false[steps], recall[steps])]
    return roc, _pairs(recall[steps], precision[steps])


def _pairs(across: NDArray[Any], up: NDArray[Any]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(across, up, strict=True)]


def _reliability(section: Section, result: Result) -> None:
    if not result.reliability:
        return
    points = [(group.confidence, group.accuracy) for group in result.reliability]
    label = "stated probability of the class"
    caption = "Reliability, in bins of equal size"
    section.add(Lines({"measured": points}, label, "share that was right", caption, diagonal=True))
    edges = np.linspace(1 / len(LABELS), 1, 21)
    counts = np.histogram(result.detection.confidence, edges)[0].tolist()
    ticks = [f"{edge:.2f}" for edge in edges]
    section.add(Histogram(edges.tolist(), {"pictures": counts}, label, ticks=ticks))


def _robustness(section: Section, result: Result) -> None:
    parts = {"none": result, **result.robustness}
    names = {
        "accuracy": ("detection", "accuracy"),
        "AUROC, real or not": ("detection", "auroc_real_vs_not"),
        "mask F1 at 0.5": ("localization", "f1_fixed_mean_tampered"),
    }
    bars: dict[str, dict[str, float]] = {
        perturbation: {
            name: figure.value
            for name, figure_name in names.items()
            if (figure := part.get(*figure_name)) is not None
        }
        for perturbation, part in parts.items()
    }
    section.add(Bars(bars, "By perturbation", limit=1))


def _stability(section: Section, result: Result) -> None:
    bars: dict[str, dict[str, float]] = {}
    for (part, *name), figure in result.figures.items():
        if part == "stability" and name[0] == EVERY_CLASS:
            bars[STABILITY_ROWS.get(name[1], name[1])] = {"changed": figure.value}
    section.add(Bars(bars, "By delivery", limit=1))


def _gallery(
    page: Page, result: Result, predictions: Path, samples: Sequence[Sample] | None
) -> None:
    verdicts, masks = mistakes(result)
    if not verdicts and not masks:
        return
    section = page.section(
        "Worst mistakes",
        "Picture, truth and prediction side by side; what is marked as altered is red.",
    )
    selected = list({m.position: m for m in (*masks, *verdicts)}.values())
    small_pictures = dict(thumbs(predictions, selected, samples))
    by_position = {mistake.position: thumb for mistake, thumb in small_pictures.items()}
    for title, ranked in (("Wrong verdicts, the surest first", verdicts), ("Worst masks", masks)):
        thumbnails = [
            _badged(by_position[m.position], m) for m in ranked if m.position in by_position
        ]
        if thumbnails:
            section.add(Gallery(thumbnails, title, wide=True))
        if missing := len(ranked) - len(thumbnails):
            reason = "they were moved or changed, or are not at hand (--from, a streamed set)"
            section.add(Note(f"{missing} of {len(ranked)} pictures cannot be shown: {reason}."))


def _badged(thumb: Any, mistake: Mistake) -> Any:
    return replace(thumb, badge=mistake.badge)
