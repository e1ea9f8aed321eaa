"""Kill a run ten times with SIGKILL, go on each time, and compare it with an undisturbed one.

python benchmarks/kill_training.py [--kills 10] [--steps 200] [--seed 0]

Every other kill is at a random moment; the others are while a checkpoint is being written, where
most could go wrong. After each, every checkpoint is read. In the end the two curves and the
weights of the two models must be the same bit for bit; if they are not, the exit status is 1.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.model.weights import digest_of
from sida.train.state import load_state
from tests.small import labelled_folder

SETTINGS = (
    *("crops=[32]", "batch_size=3", "save_every=20", "keep=3", "workers=1", "threads=1"),
    *("trackers=[]", "device=cpu", "average=0.9", "warmup_steps=10"),
)


def start(data: Path, out: Path, steps: int) -> subprocess.Popen[bytes]:
    """The command line, with its readers a process group of its own."""
    command = [sys.executable, "-m", "sida", "train", "tiny", f"data={data}", f"max_steps={steps}"]
    return subprocess.Popen(
        [*command, *SETTINGS, "--out", str(out)],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def steps_done(out: Path) -> int:
    """Lines that the run has written so far."""
    file = out / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def unfinished(out: Path) -> set[Path]:
    """Checkpoints that are being written, or were when a run was killed."""
    return set((out / "checkpoints").glob(".*.part"))


def wait_for(run: subprocess.Popen[bytes], out: Path, step: int, saving: bool) -> None:
    """Return after that step: within the next few, or as the next checkpoint is begun."""
    left = unfinished(out)
    before = steps_done(out)
    while run.poll() is None and before and steps_done(out) >= before:
        time.sleep(0.001)  # until the lines behind its checkpoint are dropped
    while run.poll() is None and steps_done(out) < step:
        time.sleep(0.002)
    while saving and run.poll() is None and not unfinished(out) - left:
        time.sleep(0.0005)
    time.sleep(random.random() * (0.01 if saving else 0.1))


def disturbed(data: Path, out: Path, steps: int, kills: int) -> None:
    """A run that is killed, and goes on, as often as asked."""
    moments = sorted(random.sample(range(1, steps - 25), kills))
    for number, moment in enumerate(moments):
        run = start(data, out, steps)
        saving = number % 2 == 1
        wait_for(run, out, moment, saving)
        if run.poll() is not None:
            sys.exit(f"The run ended before it was killed:\n{run.communicate()[1].decode()}")
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        left = list((out / "checkpoints").glob("step-*"))
        for folder in left:
            load_state(folder)
        when = "while a checkpoint was written" if saving else "at a random moment"
        print(f"killed after step {steps_done(out)}, {when}; {len(left)} checkpoints, all readable")
    finish(start(data, out, steps))


def finish(run: subprocess.Popen[bytes]) -> None:
    """Wait for a run that must end well."""
    _, message = run.communicate()
    if run.returncode:
        sys.exit(message.decode())


def curve(out: Path) -> list[dict[str, float]]:
    """All that is written of every step, without how long it took."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def main() -> None:
    """Train twice, once undisturbed, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as temporary:
        data = labelled_folder(Path(temporary) / "data", 4)
        undisturbed_run, cut = Path(temporary) / "undisturbed", Path(temporary) / "killed"
        disturbed(data, cut, options.steps, options.kills)
        finish(start(data, undisturbed_run, options.steps))
        same = curve(undisturbed_run) == curve(cut)
        weights = digest_of(undisturbed_run / "model") == digest_of(cut / "model")
        count = len(curve(cut))
    message = ["equal" if value else "DIFFERENT" for value in (same, weights)]
    print(
        f"{count} steps, {options.kills} kills: curve {message[0]} bit for bit, "
        f"weights {message[1]}"
    )
    sys.exit(0 if same and weights else 1)


if __name__ == "__main__":
    main()
