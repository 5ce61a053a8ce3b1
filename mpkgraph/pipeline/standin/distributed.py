"""`torch.distributed` for one rank of several that runs alone.

torch's own "fake" process group: collectives return at once and leave the tensors as they are.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist

from mpkgraph.pipeline.target import Target


def names(target: Target) -> dict[str, Any]:
    """What to set in the module `torch.distributed`; nothing where torch was built without it."""
    if not dist.is_available():
        return {}
    real = dist.init_process_group

    def init_process_group(*_args: Any, **_kwargs: Any) -> None:
        from torch.testing._internal.distributed.fake_pg import FakeStore

        real("fake", store=FakeStore(), rank=target.rank, world_size=target.world_size)

    def broadcast_object_list(*_args: Any, **_kwargs: Any) -> None:
        """Objects of another rank are not there; the list stays as it is."""

    return {
        "init_process_group": init_process_group,
        "broadcast_object_list": broadcast_object_list,
    }


def finish() -> None:
    """End a process group that a script left open."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
