"""Files of sizes: read as JSON writes numbers, refused in a sentence."""

import json
from pathlib import Path

import pytest

from sida.errors import ConfigError
from sida.model.presets import from_sizes

SIZES = {
    "vision": {"hidden_size": 32, "num_attention_heads": 4, "select_layer": -1},
    "language": {"hidden_size": 32, "num_attention_heads": 4},
    "mask": {"hidden_size": 16, "num_attention_heads": 2, "mlp_ratio": 4},
    "out_dim": 256,
    "vocab": 60,
}


def test_a_whole_number_may_stand_for_a_ratio(tmp_path: Path) -> None:
    file = tmp_path / "sizes.json"
    file.write_text(json.dumps(SIZES))
    config = from_sizes(file)
    assert (config.mask.mlp_ratio, config.language.vocab_size) == (4.0, 60)
    assert config.select_layer == -1


@pytest.mark.parametrize("change", [{"vocab": None}, {"mask": 3}, {"mask": {"mlp_ratio": "x"}}])
def test_what_is_no_file_of_sizes_is_one_sentence(
    tmp_path: Path, change: dict[str, object]
) -> None:
    file = tmp_path / "sizes.json"
    sizes = {name: value for name, value in (SIZES | change).items() if value is not None}
    file.write_text(json.dumps(sizes))
    with pytest.raises(ConfigError, match="is not a file of sizes"):
        from_sizes(file)
