"""`sida data`: look at a labelled set, check it, change its form, fetch it."""

import json as json_
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sida.cli.errors import messages, notify
from sida.cli.options import Fresh
from sida.cli.progress import progress_bar

if TYPE_CHECKING:
    from sida.data.checks.findings import Findings
    from sida.data.problems import DataProblem

__all__ = ["register"]

MAX_PROBLEMS = 20  # problems that are printed; the JSON and the page have all

data = typer.Typer(
    name="data", no_args_is_help=True, help="Check, convert and download labelled sets."
)

DataArgument = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of classes or splits, parquet, a manifest, or a name on the hub.",
    ),
]
Split = Annotated[str | None, typer.Option(help="Use only this split.")]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Labels of the numbers 0, 1, 2 if not real,full_synthetic,tampered.",
    ),
]
Tau = Annotated[
    float,
    typer.Option(help="For PIXAR: the difference (0 to 1) above which a pixel counts as altered."),
]
Json = Annotated[
    str | None, typer.Option("--json", metavar="FILE|-", help="Write all findings as JSON.")
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write an HTML page with plots.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the app."""
    app.add_typer(data)


def _doctor(name: Literal["check", "stats"], text: str) -> None:
    """Add one of the doctor's two verbs; they take the same."""

    def verb(
        source: DataArgument,
        split: Split = None,
        labels: Labels = None,
        tau: Tau = 0.05,
        json: Json = None,
        html: Html = None,
    ) -> None:
        from sida.data.checks import doctor

        run = {"check": doctor.check, "stats": doctor.stats}[name]
        with progress_bar("Reading") as progress:
            findings = run(source, split, labels=labels, tau=tau, progress=progress)
        _deliver(findings, json, html)

    data.command(name, help=text)(verb)


_doctor(
    "check",
    """
    Find broken rows, duplicates, and what gives the class away.

    Every picture is read; nothing is changed. Exit status 1: some rows have problems.

    \b
    Examples:
      sida data check pictures --json check.json --html check.html
      sida data check pictures/train
    """,
)
_doctor(
    "stats",
    """
    Count classes, formats, sizes, qualities and masks.

    The same as check, without the search for duplicates and leakage.

    \b
    Example:
      sida data stats pictures --json -
    """,
)


@data.command()
def export(
    source: DataArgument,
    to: Annotated[
        Literal["folder", "parquet", "manifest"], typer.Option(help="The layout to write.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the set.")],
    split: Split = None,
    labels: Labels = None,
    descriptions: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="A set or a JSON file with descriptions, joined by name."
        ),
    ] = None,
    tau: Tau = 0.05,
    equalise: Annotated[
        bool,
        typer.Option(
            "--equalise", help="Draw format, size and quality by the same rule for all classes."
        ),
    ] = False,
    split_by_group: Annotated[
        bool,
        typer.Option("--split-by-group", help="Draw splits so that no original is in two of them."),
    ] = False,
    shares: Annotated[
        str, typer.Option(help="Splits to draw, with their shares.")
    ] = "train=0.8,validation=0.1,test=0.1",
    seed: Annotated[int, typer.Option(help="Seed of both draws.")] = 0,
    fresh: Fresh = False,
) -> None:
    """Write a labelled set in another layout.

    Files are copied unchanged unless --equalise is given. Unreadable pictures are left out and
    named (exit status 1). The same command resumes a stopped run.

    \b
    Examples:
      sida data export pictures --to parquet --out pictures-parquet
      sida data export mine.csv --to folder --out mine --equalise --split-by-group
    """
    from sida.data.writing.export import export as run
    from sida.data.writing.splitting import parse_shares

    with messages(), progress_bar("Writing") as progress:
        drawn = parse_shares(shares)  # a slip in them is said in any case
        written = run(
            source,
            out,
            to,
            split=split,
            labels=labels,
            descriptions=descriptions,
            tau=tau,
            equalise=equalise,
            shares=drawn if split_by_group else None,
            seed=seed,
            fresh=fresh,
            progress=progress,
        )
    typer.echo(_counts(written.counts), nl=False)
    _say_problems(written.problems)
    notify(f"Wrote {written.pictures} pictures to {out}.")
    if not written.is_sound:
        raise typer.Exit(1)


@data.command()
def download(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the files.")],
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A set on the hub.")
    ] = "saberzl/SID_Set",
    split: Split = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1, help="Download only this many files of each split; SID-Set has 140 GB."
        ),
    ] = None,
) -> None:
    """Download a set in the parquet layout from the hub.

    Files that exist are not downloaded again. check, stats and export also take the name, and then
    stream the set.

    \b
    Examples:
      sida data download --out sid-set --split validation
      sida data download saberzl/SID_Set_description --out descriptions
    """
    from sida.data.formats.hub import download as run

    files = run(name, out, split, shards)
    notify(f"{len(files)} files of {name} are in {out}.")


def _deliver(findings: "Findings", json: str | None, html: Path | None) -> None:
    """Write what was asked for; print for people unless standard output belongs to the JSON."""
    from sida.files import write_text

    text = json_.dumps(findings.as_json(), indent=1, ensure_ascii=False)
    if html is not None:
        from sida.data.checks.doctor_page import data_page

        data_page(findings).write(html)
    if json == "-":
        typer.echo(text)
    else:
        if json is not None:
            write_text(json, text + "\n")
        typer.echo(_counts(findings.counts()), nl=False)
        for sentence in findings.sentences():
            typer.echo(f"\n{sentence}")
        _say_problems(findings.problems)
    if not findings.is_sound:
        raise typer.Exit(1)


def _counts(counts: Mapping[str, Mapping[str, int]]) -> str:
    from sida.cli.table import columns
    from sida.verdict import LABELS

    rows = [
        (split, *(str(row.get(label, 0)) for label in LABELS), str(sum(row.values())))
        for split, row in counts.items()
    ]
    headings = ("Split", *(label.replace("_", " ").capitalize() for label in LABELS), "All")
    return columns(headings, rows, right=(1, 2, 3, 4))


def _say_problems(problems: "Sequence[DataProblem]") -> None:
    for problem in problems[:MAX_PROBLEMS]:
        notify(problem.line)
    if len(problems) > MAX_PROBLEMS:
        notify(f"… and {len(problems) - MAX_PROBLEMS} more; --json and --html list them all.")
