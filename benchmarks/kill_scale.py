"""Kill workers and the driver of a run with Ray, go on, and compare with what the detector says.

python benchmarks/kill_scale.py [--pictures 600] [--workers 10] [--drivers 2] [--seed 0]

Kills come with SIGKILL at random moments. In the end every picture must be there once, with the
same label, probabilities and bytes of its mask as without kills; else the exit status is 1.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.dataset

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.detector import Detector
from sida.image.overlay import png_bytes
from sida.verdict import Verdict
from tests.scale.processes import judging
from tests.small import labelled_folder


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command line with two workers, a process group of its own."""
    command = [sys.executable, "-m", "sida", "detect", str(data), "--engine", "ray"]
    return subprocess.Popen(
        [*command, "--workers", "2", "--mask-for", "all", "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def parts(out: Path) -> int:
    """Parts that are done."""
    return len(list(out.glob("verdicts/*.parquet")))


def disturb(data: Path, out: Path, kills: list[str], total: int) -> subprocess.Popen[bytes]:
    """Kill as listed, spread over the run; returns the driver that is left."""
    run = start(data, out)
    for number, victim in enumerate(kills, 1):
        enough = total * number // (len(kills) + 2)
        while run.poll() is None and (parts(out) < enough or not judging(run.pid)):
            time.sleep(0.05)
        time.sleep(random.random() * 2)
        if run.poll() is not None:
            sys.exit(f"The run ended before it was killed:\n{run.communicate()[1].decode()}")
        if victim == "driver":
            os.kill(run.pid, signal.SIGKILL)
            run.communicate()
            print(f"driver killed with {parts(out)} of {total} parts done", flush=True)
            run = start(data, out)
        elif pids := judging(run.pid):
            os.kill(random.choice(pids), signal.SIGKILL)
            print(f"worker killed with {parts(out)} of {total} parts done", flush=True)
    return run


def differences(data: Path, out: Path) -> list[str]:
    """Pictures that are lost, doubled, or not as the detector says."""
    rows = pyarrow.dataset.dataset(out / "verdicts").to_table().to_pylist()
    counts = Counter(row["image"] for row in rows)
    by_name = {row["image"]: row for row in rows}
    files = sorted(str(file) for file in data.rglob("*.png"))
    wrong = [f"{name}: {counts[name]} times" for name in files if counts[name] != 1]
    wrong += [f"{name}: unasked" for name in counts.keys() - set(files)]
    detector = Detector.load("tiny")
    for name, verdict in zip(files, detector.detect_many(files, masks="all"), strict=True):
        assert isinstance(verdict, Verdict)
        assert verdict.mask is not None
        row = by_name[name]
        off = max(
            abs(row["probabilities"][verdict] - p) for verdict, p in verdict.probabilities.items()
        )
        mask = (out / row["mask"]["file"]).read_bytes() == png_bytes(verdict.mask)
        if row["label"] != verdict.label or off > 1e-6 or not mask:
            wrong.append(f"{name}: {row['label']}, off by {off:.1e}, mask equal: {mask}")
    return wrong


def main() -> None:
    """Make pictures, judge them under fire, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--drivers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    kills = ["worker"] * options.workers + ["driver"] * options.drivers
    random.shuffle(kills)
    with tempfile.TemporaryDirectory() as temporary:
        data = labelled_folder(Path(temporary) / "data", options.pictures // 3)
        (data / "masks").rename(Path(temporary) / "masks")
        out = Path(temporary) / "out"
        run = disturb(data, out, kills, -(-options.pictures // 64))
        _, stderr = run.communicate()
        if run.returncode:
            sys.exit(stderr.decode())
        wrong = differences(data, out)
    print(*wrong[:20], sep="\n", end="\n" * bool(wrong))
    print(
        f"{options.pictures} pictures, {len(kills)} kills: {len(wrong)} lost, doubled or different"
    )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
