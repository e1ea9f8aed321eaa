"""`sida forge` and `sida forge-autoencoder`: labelled pictures out of photographs."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from sida.cli.errors import messages, notify
from sida.cli.options import Address, Fresh, RayEngine
from sida.cli.progress import progress_bars
from sida.cli.ray_engine import reject
from sida.cli.silence import error_stream

__all__ = ["register"]

Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG", help="A YAML file, or the name of a packaged one: tiny, small, paper, …"
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Overrides, such as photographs=DIR count=300 seed=1."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to the app."""
    app.command()(forge)
    app.command("forge-autoencoder")(forge_autoencoder)


def forge(
    config: Config,
    overrides: Overrides = None,
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the set.")],
    fresh: Fresh = False,
    engine: RayEngine = None,
    address: Address = None,
) -> None:
    """Make a labelled set from photographs.

    It holds real, full_synthetic and tampered pictures. The keys are those of the configuration,
    above all photographs (a folder), count (pictures in total), seed and workers (processes; 0 is
    one per core). The same command resumes a stopped run.

    \b
    Example:
      sida forge small photographs=photos count=3000 --out forged
    """
    if engine is None:
        reject({"address": address}, "needs --engine ray")
    with messages(), _progress() as progress:
        if engine is None:
            from sida.forge import forge as run

            result = run(config, out, overrides or (), progress=progress, fresh=fresh)
        else:
            from sida.scale import forge as run_with_ray

            result = run_with_ray(config, out, overrides or (), progress, address, fresh)
    pictures = ", ".join(f"{count} {label}" for label, count in result.counts.items())
    typer.echo(f"{out}: {sum(result.counts.values())} pictures ({pictures})")
    for operation, count in result.operations.items():
        typer.echo(f"  {operation:<18}{count:>7}")


def forge_autoencoder(
    config: Config,
    overrides: Overrides = None,
    *,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for the autoencoders, one subfolder each.")
    ],
) -> None:
    """Train the autoencoders that `sida forge` needs.

    It trains missing ones itself; train them here to share them between sets, with weights=DIR.

    \b
    Example:
      sida forge-autoencoder small photographs=photos --out autoencoders
    """
    from sida.forge import train_autoencoders

    with _progress() as progress:
        trained = train_autoencoders(config, out, overrides or (), progress)
    for name, folder in trained.items():
        notify(f"The autoencoder {name} is in {folder}.")


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars, or a line for a long wait where there are none."""
    with progress_bars() as show:

        def advance(stage: str, count: int, total: int) -> None:
            if error_stream().isatty():
                show(_STAGES[stage], count, total)
            else:
                _announce_training(stage, count, total)

        yield advance


_STAGES = {"autoencoders": "Training autoencoders", "units": "Forging units of three pictures"}


def _announce_training(stage: str, count: int, total: int) -> None:
    if stage == "autoencoders" and not count:
        plural = "s" if total > 1 else ""
        notify(f"Training {total} autoencoder{plural} first; `sida forge-autoencoder` keeps them.")
