"""`sida detect`: pictures in; a table, JSON lines, masks and overlays out."""

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sida.assets import DEFAULT_MODEL
from sida.cli.errors import REACHED, notify
from sida.cli.loading import calibration_text, certificates, load, require_one_model
from sida.cli.options import (
    Address,
    BatchSizeOption,
    CalibrationFile,
    Device,
    Dtype,
    Fresh,
    FromList,
    MaxFalsePositives,
    ModelName,
    Quantize,
    RandomWeights,
    RayEngine,
    Recursive,
    StabilityFlag,
    Trust,
    Workers,
)
from sida.cli.progress import progress_bar
from sida.cli.ray_engine import RayInputs, detect_with_ray, reject
from sida.errors import InputError
from sida.files import Input, find_pictures

if TYPE_CHECKING:
    from sida.detector import Detector
    from sida.options import DetectOptions
    from sida.verdict import Failure, Verdict

__all__ = ["STDIN", "inputs_of", "register"]

STDIN = Input(path=Path("stdin"), name="-", relative=PurePosixPath("stdin"))
"""The picture on standard input; its mask is called `stdin_mask.png`."""


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command()(detect)


def detect(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATHS", help="Files, folders, globs, or - for standard input."),
    ] = None,
    model: ModelName = None,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|-", help="Write one line of JSON per picture; - is standard output."
        ),
    ] = None,
    masks: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write masks (0 or 255) to this folder.")
    ] = None,
    overlays: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write pictures with their masks drawn over them."),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Use one window of each picture besides the whole, not several."
        ),
    ] = False,
    evidence: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write drawings of the evidence for each verdict."),
    ] = None,
    mask_for: Annotated[
        Literal["tampered", "all", "none"],
        typer.Option(help="Pictures that get a mask, by their verdict."),
    ] = "tampered",
    explain: Annotated[
        bool, typer.Option("--explain", help="Let the model explain its verdict.")
    ] = False,
    provenance: Annotated[
        bool,
        typer.Option(
            "--provenance", help="Add the findings of `sida inspect`; they change no verdict."
        ),
    ] = False,
    trust: Trust = None,
    max_false_positives: MaxFalsePositives = None,
    calibration: CalibrationFile = None,
    stability: StabilityFlag = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    quantize: Quantize = None,
    batch_size: BatchSizeOption = None,
    recursive: Recursive = True,
    from_list: FromList = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="Exit with status 10 if any picture gets one of these labels; under "
            "--max-false-positives, if one is stated.",
        ),
    ] = None,
    random_weights: RandomWeights = None,
    engine: RayEngine = None,
    address: Address = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="With --engine ray: folder for verdicts and masks."),
    ] = None,
    fresh: Fresh = False,
    workers: Workers = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="With --engine ray: only the first N pictures."),
    ] = None,
    sample: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="With --engine ray: only this share of the pictures (0 to 1)."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="With --engine ray: only shard I of N.")
    ] = None,
) -> None:
    """Detect synthetic and tampered pictures.

    With --json FILE, lines are written as they come. If the run is interrupted (Ctrl-C, a full
    disk, a kill), the same command resumes it; --device and --batch-size may change. Until the
    run is complete, FILE.unfinished lies beside it. Other options or weights are refused; --fresh
    starts over. A complete FILE is rewritten; a file with other content is replaced only at
    the end.

    Exit status: 0 every picture has a verdict, 1 some pictures could not be judged or drawn, 2 no
    picture was reached, 10 a picture has one of the labels of --fail-on.

    \b
    Examples:
      sida detect photo.jpg --explain
      sida detect pictures/ --json verdicts.jsonl --masks masks --overlays overlays
      sida detect pictures/ --max-false-positives 0.05 --calibration calibration.json
      sida detect photo.jpg --stability
      curl -s URL | sida detect - --json - | jq .label
      sida detect s3://bucket/pictures --engine ray --out s3://bucket/verdicts
    """
    from sida.cli.output import Outputs  # numpy and pydantic, which --help does without
    from sida.options import DetectOptions, ModelOptions

    watched = _labels(fail_on)
    if mask_for == "none" and (masks or overlays):
        raise typer.BadParameter(
            "--mask-for none leaves nothing for --masks or --overlays to write"
        )
    require_one_model(model, random_weights)
    if fast and random_weights is not None:
        raise typer.BadParameter("--fast is for trained models: leave out --random-weights")
    trusted = certificates(trust, provenance)
    own_calibration = calibration_text(calibration, max_false_positives)
    model_options = ModelOptions(
        model=model or DEFAULT_MODEL,
        random_weights=random_weights,
        device=device,
        dtype=dtype,
        quantize=quantize,
        batch_size=batch_size or "auto",
        fast=fast,
        trust=trusted,
        calibration=own_calibration,
    )
    options = DetectOptions(
        masks=mask_for,
        explain=explain,
        provenance=provenance,
        evidence=evidence is not None,
        max_false_positives=max_false_positives,
        stability=stability,
    )
    ray_only: dict[str, object] = {"address": address, "out": out, "workers": workers}
    ray_only |= {"limit": limit, "sample": sample, "shard": shard}
    if engine is not None:
        local_only: dict[str, object] = {"json": json, "masks": masks, "overlays": overlays}
        local_only |= {"evidence": evidence, "fast": fast or None}
        reject(local_only, "is not for --engine ray")
        status = detect_with_ray(
            RayInputs(paths or [], recursive, from_list, limit, sample, shard),
            watched,
            model_options,
            options,
            out=out,
            address=address,
            workers=workers,
            fresh=fresh,
        )
        raise typer.Exit(status)
    reject(ray_only, "needs --engine ray")
    if fresh and json in (None, "-"):
        raise typer.BadParameter(
            "--fresh needs a run that can be resumed: --json FILE or --engine ray"
        )
    inputs = inputs_of(paths or [], recursive, from_list)
    settings = {
        "PATHS": [str(path) if path == "-" else os.path.abspath(path) for path in paths or []],
        "--from-list": from_list and os.path.abspath(from_list),
        "--recursive": recursive,
        "--model": model or DEFAULT_MODEL,
        "--random-weights": random_weights,
        "--dtype": dtype,
        "--fast": fast,
        "--quantize": quantize,
        "--mask-for": mask_for,
        "--masks": masks and os.path.abspath(masks),
        "--overlays": overlays and os.path.abspath(overlays),
        "--evidence": evidence and os.path.abspath(evidence),
        "--explain": explain,
        "--provenance": provenance,
        "--stability": stability or None,
        "--trust": trusted and hashlib.sha256(trusted.encode()).hexdigest(),
        "--max-false-positives": max_false_positives,
        "--calibration": own_calibration and hashlib.sha256(own_calibration.encode()).hexdigest(),
    }
    outputs = Outputs(inputs, json, masks, overlays, evidence, settings, fresh)
    tally = _Tally(watched)
    with outputs.open() as emit, progress_bar("Judging") as show:
        earlier = outputs.earlier()
        for result in earlier:
            tally.add(result)
        if earlier:
            ctx.meta[REACHED] = tally.status or 1
            notify(f"{json} has {len(earlier)} of {len(inputs)} pictures already; resuming.")
        left = _without(inputs, earlier)
        show(tally.count, len(inputs))
        try:
            if left or not earlier:
                detector = load(model_options)
                if max_false_positives is not None:
                    detector.budget(max_false_positives)  # refused before the first picture
                if evidence is not None and not detector.weighs_windows:
                    notify(
                        f"{detector.model.name} has no windows to weigh, so it draws no evidence."
                    )
                outputs.use(detector.model.digest)
                for source, result in _detect(detector, left, options):
                    tally.add(result)
                    ctx.meta[REACHED] = tally.status or 1
                    tally.undrawn += not emit(source, result)
                    show(tally.count, len(inputs))
        except KeyboardInterrupt:
            notify(f"Stopped after {tally.count} of {len(inputs)} pictures{outputs.remark()}.")
            raise typer.Exit(130) from None
        except Exception as error:
            if outputs.file is not None and outputs.file.count:
                progress = f"{outputs.file.count} of {len(inputs)} pictures are in {json}"
                error.add_note(f"{progress}; run the same command to resume.")
            raise
    if (table := outputs.table()) is not None:
        typer.echo(table, nl=False)
    for count, participle in ((tally.failed, "judged"), (tally.undrawn, "drawn")):
        if count:
            notify(f"{count} of {tally.count} pictures could not be {participle}.")
    raise typer.Exit(tally.status)


def _without(inputs: list[Input], earlier: "list[Verdict | Failure]") -> list[Input]:
    """The inputs that have no result yet; of those of one name as many as are missing."""
    finished = Counter(result.image for result in earlier)
    left = []
    for source in inputs:
        name = source.name.encode(errors="replace").decode()  # as JSON has it
        if finished[name]:
            finished[name] -= 1
        else:
            left.append(source)
    return left


@dataclass
class _Tally:
    """Counts results, for the last sentence and the exit status."""

    watched: frozenset[str]
    count: int = 0
    failed: int = 0
    undrawn: int = 0
    matched: bool = False

    def add(self, result: "Verdict | Failure") -> None:
        outcome = getattr(result, "outcome", None)  # a failure has none
        self.count += 1
        self.failed += outcome is None
        self.matched |= outcome in self.watched

    @property
    def status(self) -> int:
        return 10 if self.matched else 1 if self.failed or self.undrawn else 0


def _labels(fail_on: str | None) -> frozenset[str]:
    """The labels of --fail-on, which are separated by commas."""
    from sida.verdict import LABELS

    if fail_on is None:
        return frozenset()
    labels = [label.strip() for label in fail_on.split(",")]
    for label in labels:
        if label not in LABELS:
            raise typer.BadParameter(
                f"found {label!r}, expected labels out of {', '.join(LABELS)}, separated by commas",
                param_hint="--fail-on",
            )
    return frozenset(labels)


def inputs_of(paths: list[str], recursive: bool, from_list: Path | None) -> list[Input]:
    """The inputs in their order; standard input comes first."""
    files = [path for path in paths if path != "-"]
    if len(paths) - len(files) > 1:
        raise typer.BadParameter("- is given more than once: standard input holds one picture")
    if "-" in paths and sys.stdin.isatty():
        raise InputError("- stands for a picture on standard input, which is a terminal: pipe one")
    if not paths and from_list is None:
        raise typer.BadParameter("found no path: give files, folders, globs, - or --from-list FILE")
    pictures = find_pictures(files, recursive, from_list) if files or from_list else []
    if len(files) < len(paths):
        return [STDIN, *pictures]
    if not any(os.path.lexists(source.path) for source in pictures):
        first = repr(pictures[0].name)
        if len(pictures) == 1:
            raise InputError(f"{first} does not exist: check the path")
        raise InputError(
            f"none of the {len(pictures)} files exists, the first is {first}: check them"
        )
    return pictures


def _detect(
    detector: "Detector", inputs: list[Input], options: "DetectOptions"
) -> "Iterator[tuple[Input, Verdict | Failure]]":
    """Results with their inputs, read as the detector asks for them."""
    from sida.options import Request

    requests = (
        Request.of(sys.stdin.buffer.read() if source is STDIN else source.path, options)
        for source in inputs
    )
    for source, result in zip(inputs, detector.run(requests), strict=True):
        yield source, result.model_copy(update={"image": source.name})
