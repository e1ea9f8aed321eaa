"""Write the recorded folder beside this file with DeepSpeed itself, on two processes of a CPU.

    DS_ACCELERATOR=cpu torchrun --standalone --nproc_per_node=2 tests/model/zero2/record.py OUT

Needs deepspeed 0.19.8. `expected.safetensors` is then what its `zero_to_fp32` makes of OUT
(`get_fp32_state_dict_from_zero_checkpoint`).
"""

import importlib
import sys

import deepspeed
import torch
from torch import nn

CONFIG = {
    "train_micro_batch_size_per_gpu": 2,
    "optimizer": {"type": "AdamW", "params": {"lr": 1e-2, "torch_adam": True}},
    "scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 10}},
    "bf16": {"enabled": True},
    "gradient_clipping": 1.0,
    "zero_optimization": {"stage": 2, "overlap_comm": False},
}


class Low(nn.Linear):
    """A linear layer named as peft 0.4 names one with a low-rank addition."""

    def __init__(self) -> None:
        super().__init__(8, 8, bias=False)
        self.lora_A = nn.ModuleDict({"default": nn.Linear(8, 2, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(2, 8, bias=False)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 8 * self.lora_B["default"](self.lora_A["default"](x))


class PublishedNames(nn.Module):
    """A few modules with the names of the published training."""

    def __init__(self) -> None:
        super().__init__()
        attention = {"q_proj": Low(), "v_proj": Low(), "o_proj": nn.Linear(8, 8, bias=False)}
        head = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Dropout(0.0), nn.Linear(4, 3))
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(11, 8),
                "layers": nn.ModuleList([nn.ModuleDict({"self_attn": nn.ModuleDict(attention)})]),
                "cls_head": nn.ModuleList([head]),
                "vision_tower": nn.ModuleDict({"vision_tower": nn.Linear(3, 3)}),
            }
        )
        self.lm_head = nn.Linear(8, 11, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.model["embed_tokens"](ids)
        attention = self.model["layers"][0]["self_attn"]
        x = attention["o_proj"](attention["q_proj"](x) + attention["v_proj"](x))
        classes = self.model["cls_head"][0](x.mean(1)).float().sum()
        return classes + self.lm_head(x).float().square().mean()


class Peft(nn.Module):
    """Puts `base_model.model.` before every name."""

    def __init__(self) -> None:
        super().__init__()
        self.base_model = nn.ModuleDict({"model": PublishedNames()})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.base_model["model"](ids)


def main(out: str) -> None:
    """Three steps, and a checkpoint."""
    # Its own sums over shared memory would have to be compiled; gloo gives the same.
    importlib.import_module("deepspeed.comm.torch").build_shm_op = lambda: None
    torch.manual_seed(0)
    model = Peft()
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter.data, std=0.3)
        parameter.requires_grad = any(x in name for x in ("lora_", "embed_tokens", "cls_head"))
    engine, *_ = deepspeed.initialize(
        model=model, model_parameters=model.parameters(), config=CONFIG, dist_init_required=True
    )
    for step in range(3):
        generator = torch.Generator().manual_seed(step + engine.global_rank)
        engine.backward(engine(torch.randint(0, 11, (2, 5), generator=generator)))
        engine.step()
    engine.save_checkpoint(out)


if __name__ == "__main__":
    main(sys.argv[1])
