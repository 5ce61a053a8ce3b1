"""Elementwise kernels."""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall


def silu_mul(call: TaskCall) -> None:
    """`out = bf16(silu(gate)) * up`, in the rows that are in use.

    Each tile holds its gates and then its ups: (rows, 2 * columns) to (rows, columns). The layer
    that is registered as `moe_silu_mul` does all rows of (rows, experts, 2 * columns).
    """
    x, out = call.input(0), call.output(0)
    if out.dim() == 2 and call.registered_name != "moe_silu_mul":
        rows = call.num_active_rows
        x, out = x[:rows], out[:rows]
    groups = call.num_tiles(len(call.inputs), out.dim() - 1)
    gate, up = x.unflatten(-1, (groups, 2, -1)).unbind(-2)
    gate = gate.float()
    silu = (gate / (1.0 + torch.exp(-gate))).to(x.dtype)
    out.copy_((silu * up).flatten(-2))
