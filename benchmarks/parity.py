"""How far this model is from the recorded original: the largest error of every recorded tensor.

python benchmarks/parity.py [FOLDER]    FOLDER: the recordings' parent, by default $SIDA_SHARED
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent.parent))

from sida.image.read import read_picture
from sida.model.checkpoint import load
from tests.model.test_parity import CASES, TOLERANCES, reproduce
from tests.oracle import published_folder


def main(shared: Path) -> None:
    """Print a Markdown table: tensor, tolerance, largest error over all cases."""
    oracle = shared / "oracle"
    recorded = json.loads((oracle / "eval/eval.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(str(published_folder(shared, Path(folder))))
    errors: dict[str, float] = {}
    equal = []
    for name in CASES:
        picture = read_picture(oracle / "preprocess/pictures" / recorded[name]["picture"])
        difference = reproduce(loaded, picture, recorded[name])
        for tensor, truth in load_file(oracle / f"eval/{name}.safetensors").items():
            error = float((difference[tensor].float() - truth.float()).abs().max())
            errors[tensor] = max(errors.get(tensor, 0.0), error)
        equal.append(digest(difference["mask"]) == recorded[name]["mask_sha256_of_bool"])
    print("| recorded tensor | tolerance | largest error |\n|---|---|---|")
    for tensor, error in errors.items():
        print(f"| `{tensor}` | {TOLERANCES[tensor]:.0e} | {error:.1e} |")
    print(f"\nBoolean masks identical: {sum(equal)} of {len(equal)}.")


def digest(mask: torch.Tensor) -> str:
    """SHA-256 of a bool mask's bytes."""
    return hashlib.sha256(mask.numpy().tobytes()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SIDA_SHARED", "../shared")))
