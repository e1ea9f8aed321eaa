"""`forge`: as `sida.forge.forge`, with the units made on Ray, in a folder that all workers see."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from sida import forge as local
from sida.errors import InputError
from sida.forge.config import read_config
from sida.forge.run import RUN, Progress
from sida.scale.pool import WorkerPool

__all__ = ["forge"]


def forge(
    config: str | Path | local.ForgeConfig,
    out: str | Path,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    address: str | None = None,
    fresh: bool = False,
) -> local.Forged:
    """Make a labelled set out of photographs, with the bytes that `sida.forge.forge` makes.

    Autoencoders that are not there yet are trained here, before Ray is needed.

    Args:
        config, out, overrides, progress, fresh: as of `sida.forge.forge`; `out`, the photographs
            and the autoencoders have to lie at the same paths on every machine. `workers` is how
            many there are; 0 is one a graphics card, or one a core where there is none.
        address: as of `sida.scale.detect`.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers at the address, or a worker does not see `out`.
        SidaError: what `sida.forge.forge` raises; or the workers stop.
    """
    if not isinstance(config, local.ForgeConfig):
        config = read_config(config, overrides)
    record = Path(out, RUN)
    with WorkerPool(address, config.workers or None, config.device) as pool:

        def mapper(function: Callable[[int], int], units: Sequence[int]) -> Iterable[int]:
            return pool.map(partial(_make, function, record), units) if units else ()

        return local.forge(config, out, mapper=mapper, progress=progress, fresh=fresh)


def _make(function: Callable[[int], int], record: Path, unit: int) -> int:
    if not record.is_file():
        raise InputError(
            f"a worker does not see {str(record.parent.parent)!r}: give an --out that lies at the "
            "same path on all machines"
        )
    return function(unit)
