"""The tables of an evaluation, once for the terminal, Markdown and the page; and all as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sida.evaluation.budgets import FOUND
from sida.evaluation.masks import HEADINGS as MASK_HEADINGS
from sida.evaluation.result import Result
from sida.evaluation.scores import AGAINST_REAL, HEADINGS, RECALLS, Figure
from sida.evaluation.stability import ANY, EVERY_CLASS, UNSTABLE
from sida.image.deliveries import DELIVERIES
from sida.verdict import LABELS

__all__ = ["BUDGETS_TITLE", "Sheet", "as_csv", "as_markdown", "joint", "sheets"]

NONE = "—"
BUDGETS_TITLE = "Budget of false accusations"


@dataclass(frozen=True)
class Sheet:
    """A table of texts under a title."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def sheets(result: Result) -> list[Sheet]:
    """The tables of one result; those that would be empty are left out."""
    tables = [
        _detection(result),
        _ranking(result),
        _against_real(result),
        _stated_verdicts(result),
        _budgets(result),
        _confusion(result),
        _localization(result),
        _origins("by_source", "Source", result),
        _origins("by_generator", "Generator", result),
        _robustness(result),
        _further_robustness(result),
        _stability(result),
        _explanations(result),
        _baselines(result),
        _differences(result),
        _formulas(result),
        _not_measured(result),
    ]
    return [sheet for sheet in tables if sheet.rows]


def joint(results: Mapping[str, Result]) -> Sheet:
    """Several sets side by side: the generalisation from one to the other."""
    names = (
        *(("detection", name) for name in ("accuracy", "macro_f1", "auroc_real_vs_not")),
        ("detection", "fpr_real"),
        *(("localization", f"{name}_mean_tampered") for name in ("f1_fixed", "iou_fixed")),
        ("localization", "pixel_auc_mean_tampered"),
    )
    rows = [
        (
            name,
            str(len(result.rows.truth)),
            *(figure_text(result.get(*figure_name)) for figure_name in names),
        )
        for name, result in results.items()
    ]
    return Sheet("Sets", ("Set", "Pictures", *(name[-1] for name in names)), rows)


def figure_text(figure: Figure | None) -> str:
    """A figure with its interval, for people."""
    if figure is None:
        return NONE
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def as_markdown(result: Result, title: str = "Evaluation") -> str:
    """All tables as Markdown."""
    rows, model = result.rows, result.rows.model
    lines = [
        f"# {title}",
        "",
        f"Data: {result.data}. Model: {model.name if model else NONE}. Protocol: "
        f"{result.protocol}. {len(rows.truth)} pictures judged, {len(rows.failures)} could not be. "
        f"In brackets: 95 % intervals over {'originals' if rows.grouped else 'pictures'}.",
        *(f"\n- {note}" for note in rows.notes),
    ]
    for sheet in sheets(result):
        lines += ["", f"## {sheet.title}", "", markdown(sheet)]
    return "\n".join(lines) + "\n"


def markdown(sheet: Sheet) -> str:
    """A table as Markdown."""
    rows = [sheet.headings, ["---"] * len(sheet.headings), *sheet.rows]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def as_csv(results: Mapping[str, Result]) -> str:
    """Every figure of every set, a line each."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("data", "protocol", "section", "name", "value", "low", "high"))
    for data, result in results.items():
        parts = [("", result), *((f"robustness.{n}.", r) for n, r in result.robustness.items())]
        parts += [(f"baselines.{n}.", r) for n, r in result.baselines.items()]
        for prefix, part in parts:
            for (section, *name), figure in part.figures.items():
                row = (data, result.protocol, prefix + section, ".".join(name))
                writer.writerow((*row, *map(repr, figure)))
    return stream.getvalue()


def _detection(result: Result) -> Sheet:
    """The paper's form: each class and all together; its accuracy of a class is the recall."""
    columns = ("accuracy", "f1", "precision", "auroc")
    rows = [
        (
            _words(label),
            *(figure_text(result.get("per_class", label, name)) for name in columns),
        )
        for label in LABELS
    ]
    overall = tuple(figure_text(result.get("detection", name)) for name in ("accuracy", "macro_f1"))
    rows.append(("overall (F1: macro)", *overall, NONE, NONE))
    return Sheet("Detection", ("Class", "Accuracy", "F1", "Precision", "AUROC"), rows)


def _ranking(result: Result) -> Sheet:
    rows = [
        (name[-1], figure_text(figure))
        for name, figure in result.figures.items()
        if name[0] == "detection" and name[-1] not in _IN_OTHER_TABLES
    ]
    return Sheet("Real against not real, and calibration", ("Figure", "Value"), rows)


_VERDICT_ROWS = {
    "all pictures": ("stated_share", "stated_accuracy"),
    "real and full synthetic": ("stated_share_real_synthetic", "stated_accuracy_real_synthetic"),
}
_IN_OTHER_TABLES = (
    *("accuracy", "macro_f1", *AGAINST_REAL.values()),
    *(name for names in _VERDICT_ROWS.values() for name in names),
)


def _against_real(result: Result) -> Sheet:
    """Each other class against real pictures alone."""
    rows = []
    for label, area in AGAINST_REAL.items():
        cells = [result.get("detection", area)]
        cells += [result.get("per_class", label, name) for name in RECALLS]
        if any(cells):
            rows.append((_words(label), *map(figure_text, cells)))
    recalls = [f"Recall at FPR {fpr:.0%}" for fpr in RECALLS.values()]
    return Sheet("Against real alone", ("Class", "AUROC", *recalls), rows)


def _stated_verdicts(result: Result) -> Sheet:
    rows = []
    for pictures, names in _VERDICT_ROWS.items():
        cells = [result.get("detection", name) for name in names]
        if any(cells):
            rows.append((pictures, *map(figure_text, cells)))
    headings = ("Pictures", "Verdict stated", "Right where stated")
    return Sheet("Stated verdicts", headings, rows)


def _budgets(result: Result) -> Sheet:
    """The curve: budgets, and the shares of each class that they call altered or generated."""
    rows = [
        (
            share,
            f"{budget.threshold:.6g}",
            *(figure_text(result.get("by_budget", share, name)) for name in FOUND),
        )
        for share, budget in (result.budgets.budgets.items() if result.budgets else ())
    ]
    return Sheet(BUDGETS_TITLE, ("Budget", "Threshold", *FOUND.values()), rows)


def _confusion(result: Result) -> Sheet:
    names = map(_words, LABELS)
    rows = [
        (name, *map(str, row))
        for name, row in zip(names, result.confusion, strict=True)
        if any(row)
    ]
    called = [f"called {_words(name)}" for name in result.called]
    return Sheet("Confusion", ("True class", *called), rows)


_CONVENTIONS = {
    "mean over tampered": "_mean_tampered",
    "mean over tampered, map or its inverse": "_inverse_mean_tampered",
    "mean over those called tampered": "_mean_detected",
    "pooled over tampered": "_pooled_tampered",
    "mean over tampered and real": "_mean_all",
    "pooled over tampered and real": "_pooled_all",
}
_COLUMNS = ("pixel_auc", "f1_fixed", "f1_best", "iou_fixed")


def _localization(result: Result) -> Sheet:
    rows = []
    for convention, suffix in _CONVENTIONS.items():
        names = [f"{column}{suffix}" for column in _COLUMNS]
        if suffix.startswith("_pooled"):
            names[-1] = f"iou{suffix}"
        cells = [result.get("localization", name) for name in names]
        if any(cells):
            rows.append((convention, *map(figure_text, cells)))
    title = f"Localisation ({result.protocol})"
    headings = [MASK_HEADINGS[name] for name in _COLUMNS]
    return Sheet(title, ("Convention", *headings), rows)


def _origins(section: str, heading: str, result: Result) -> Sheet:
    names = list(dict.fromkeys(name[1] for name in result.figures if name[0] == section))
    columns = (
        *("accuracy", "stated_share", "stated_accuracy"),
        *("f1_fixed_mean_tampered", "pixel_auc_mean_tampered"),
    )
    rows = [
        (origin, *(figure_text(result.get(section, origin, c)) for c in columns))
        for origin in names
    ]
    return Sheet(f"By {heading.lower()}", (heading, *map(_heading, columns)), rows)


def _robustness(result: Result) -> Sheet:
    figure_names = (
        *(("detection", "accuracy"), ("detection", "macro_f1"), ("detection", "auroc_real_vs_not")),
        *(("localization", f"{name}_mean_tampered") for name in ("f1_fixed", "pixel_auc")),
    )
    parts = {"none": result, **result.robustness} if result.robustness else {}
    rows = [
        (name, *(figure_text(part.get(*p)) for p in figure_names)) for name, part in parts.items()
    ]
    headings = [_heading(name) for _, name in figure_names]
    return Sheet("Robustness", ("Perturbation", *headings), rows)


def _further_robustness(result: Result) -> Sheet:
    columns = (
        *AGAINST_REAL.values(),
        *("fpr_real_stated", "stated_share", "stated_accuracy"),
    )
    parts = {"none": result, **result.robustness} if result.robustness else {}
    rows = [
        (name, *(figure_text(part.get("detection", column)) for column in columns))
        for name, part in parts.items()
    ]
    title = "Robustness against real alone, and of stated verdicts"
    return Sheet(title, ("Perturbation", *map(_heading, columns)), rows)


STABILITY_ROWS = {
    **{name: delivery.title for name, delivery in DELIVERIES.items()},
    ANY: "any of them",
    UNSTABLE: "half of them or more",
}


def _stability(result: Result) -> Sheet:
    """Shares of verdicts that change, by delivery and by true class."""
    names = dict.fromkeys(name[2] for name in result.figures if name[0] == "stability")
    classes = (EVERY_CLASS, *LABELS)
    rows = [
        (
            STABILITY_ROWS.get(name, name),
            *(figure_text(result.get("stability", label, name)) for label in classes),
        )
        for name in names
    ]
    headings = ("Changed by", *(_words(label) for label in classes))
    return Sheet("Stability", headings, rows)


def _explanations(result: Result) -> Sheet:
    """Figures of texts; how many differ is no mean over pictures, and has no interval."""
    rows = [
        (name[-1], figure_text(figure))
        for name, figure in result.figures.items()
        if name[0] == "explanations"
    ]
    counts = result.explanation_texts or {}
    rows += [(_words(name), str(count)) for name, count in counts.items()]
    return Sheet("Explanations", ("Figure", "Value"), rows)


def _baselines(result: Result) -> Sheet:
    figure_names = (
        *(("detection", name) for name in ("accuracy", "macro_f1", "accuracy_real_vs_not")),
        ("detection", "auroc_real_vs_not"),
        ("localization", "f1_fixed_mean_tampered"),
    )
    parts = {"model": result, **result.baselines} if result.baselines else {}
    rows = [
        (
            name,
            str(len(part.rows.truth)),
            *(figure_text(part.get(*figure_name)) for figure_name in figure_names),
        )
        for name, part in parts.items()
    ]
    headings = [_heading(name) for _, name in figure_names]
    return Sheet("Baselines", ("Model", "Pictures", *headings), rows)


def _differences(result: Result) -> Sheet:
    """Model minus baseline, on the pictures that both have judged."""
    names = ("accuracy", "accuracy_real_vs_not", "auroc_real_vs_not")
    rows = []
    for baseline, comparison in result.compared.items():
        values = [figure_text(comparison.difference.get(("difference", name))) for name in names]
        test, p = comparison.test, NONE
        if test is not None:
            p = f"{test.p:.2g} ({test.ours} : {test.theirs})"
        rows.append((baseline, str(comparison.count), *values, p))
    headings = ("Model less", "Pictures", *map(_heading, names), "McNemar's p")
    return Sheet("Model against baselines", headings, rows)


def _formulas(result: Result) -> Sheet:
    """Figures of the published script, which has no intervals."""
    formulas = result.published_formulas or {}
    rows = [(name, NONE if value is None else f"{value:.3f}") for name, value in formulas.items()]
    return Sheet("Published formulas", ("What it is", "Value"), rows)


def _not_measured(result: Result) -> Sheet:
    """Reasons with the figures they keep from being had."""
    reasons: dict[str, list[str]] = {}
    for name, reason in result.not_measured.items():
        reasons.setdefault(reason, []).append(".".join(name[1:]))
    rows = [(reason, ", ".join(names)) for reason, names in reasons.items()]
    return Sheet("Not measured", ("Why", "Figures"), rows)


def _words(label: str) -> str:
    return label.replace("_", " ")


def _heading(name: str) -> str:
    """The heading of a figure of detection, or of a mean over tampered pictures."""
    if name in HEADINGS:
        return HEADINGS[name]
    return f"Mask {MASK_HEADINGS[name.removesuffix('_mean_tampered')]}"
