"""`python -m tests.train.sharded train …`: `sida`, with FSDP2 on the processes of a CPU.

accelerate shards on graphics cards alone; torch can on processors too.
"""

import sys
from typing import Any

from accelerate import DistributedType, FullyShardedDataParallelPlugin
from accelerate.state import AcceleratorState, PartialState

from sida.cli import main

original_init = AcceleratorState.__init__


def shard(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
    """As if the devices were graphics cards, and FSDP asked for."""
    original_init(self, *args, **kwargs)
    if self.distributed_type == DistributedType.FSDP:
        return
    self.fsdp_plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
    )
    self.distributed_type = DistributedType.FSDP
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP


if __name__ == "__main__":
    AcceleratorState.__init__ = shard
    sys.exit(main())
