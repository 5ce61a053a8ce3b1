"""`mirage.mpk.multigpu` and `mirage.mpk.cuda_utils`: what several GPUs can do, by the target.

Source: `python/mirage/mpk/multigpu.py`, `cuda_utils.py`.
"""

from __future__ import annotations

from typing import Any

from mpkgraph.pipeline.graphs import CyTBGraph, TBGraph
from mpkgraph.pipeline.target import Target

Triple = tuple[int, int, int]


class GPUArchitecture:
    AMPERE = 80
    HOPPER = 90
    BLACKWELL = 100


class CollectiveStrategy:
    """How a collective becomes layers of tasks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def register_tasks(
        self, mpk: Any, tensors: dict[str, Any], grid_dim: Triple, block_dim: Triple, params: Any
    ) -> None:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class AllReduceStrategy(CollectiveStrategy):
    pass


class AllReduceStrategy_AllgatherReduce(AllReduceStrategy):  # noqa: N801  Mirage's name
    """Every rank puts its part into everyone's buffer, then each sums the buffer."""

    def __init__(self) -> None:
        super().__init__("allgather + reduce")

    def register_tasks(
        self, mpk: Any, tensors: dict[str, Any], grid_dim: Triple, block_dim: Triple, params: Any
    ) -> None:
        part, buffer, output = (tensors.pop(name) for name in ("input", "buffer", "output"))
        columns, pages = (1, -1, -1), (2, -1, -1)
        gather = [(part, columns), (buffer, pages)]
        _layer(mpk, gather, grid_dim, block_dim, "nvshmem_allgather_strided_put", params)
        reduce = [*gather, (output, columns)]
        _layer(mpk, reduce, grid_dim, block_dim, "reduction", params)


class AllReduceStrategy_NvshmemTile(AllReduceStrategy):  # noqa: N801
    """Every tile is reduced through NVLink multicast."""

    def __init__(self) -> None:
        super().__init__("nvshmem_tile_allreduce")

    def register_tasks(
        self, mpk: Any, tensors: dict[str, Any], grid_dim: Triple, block_dim: Triple, params: Any
    ) -> None:
        slots = [(tensors.pop(name), (1, -1, -1)) for name in ("input", "output")]
        _layer(mpk, slots, grid_dim, block_dim, "nvshmem_tile_allreduce", params)
        mpk.allocate_nvshmem_teams = grid_dim[0] * grid_dim[1] * grid_dim[2]


def _layer(
    mpk: Any,
    slots: list[tuple[Any, Triple]],
    grid_dim: Triple,
    block_dim: Triple,
    task: str,
    params: Any,
) -> None:
    graph = TBGraph(CyTBGraph(grid_dim, block_dim, 1, 64))
    for tensor, input_map in slots:
        graph.new_input(tensor, input_map, -1, store_in_dmem=True)
    mpk.kn_graph.customized([tensor for tensor, _ in slots], graph)
    mpk.kn_graph.register_task(graph, task, params)


def cuda_utils_names(target: Target) -> dict[str, Any]:
    """Names of `mirage.mpk.cuda_utils`."""
    return {
        "queryComputeCapability": lambda _device: (target.cc // 10, target.cc % 10),
        "queryMulticastSupport": lambda _device: target.has_multicast,
        "queryVMMsupport": lambda _device: True,
        "queryPeerAccessSupported": lambda _from, _to: target.peer_access,
        "queryHandleTypePosixFileDescriptorSupported": lambda _device: True,
    }


def multigpu_names(target: Target) -> dict[str, Any]:
    """Names of `mirage.mpk.multigpu`."""

    class CollectiveCapabilities:
        def __init__(self, num_devices: int, device_id: int = 0) -> None:
            self.num_devices = num_devices
            self.device_id = device_id
            self.target_cc = target.cc
            self.peer_access_supported = target.peer_access
            self.vmm_supported = True
            self.multicast_supported = target.has_multicast
            self.posix_handle_supported = True

    def get_collective_capabilities(num_devices: int, device_id: int = 0) -> CollectiveCapabilities:
        return CollectiveCapabilities(num_devices, device_id)

    def auto_select_allreduce_implementation(
        num_gpus: int,
        device_id: int = 0,  # noqa: ARG001  Mirage's parameter
    ) -> AllReduceStrategy:
        if target.has_tile_allreduce(num_gpus):
            return AllReduceStrategy_NvshmemTile()
        return AllReduceStrategy_AllgatherReduce()

    return {
        "AllReduceStrategy": AllReduceStrategy,
        "AllReduceStrategy_AllgatherReduce": AllReduceStrategy_AllgatherReduce,
        "AllReduceStrategy_NvshmemTile": AllReduceStrategy_NvshmemTile,
        "CollectiveCapabilities": CollectiveCapabilities,
        "CollectiveStrategy": CollectiveStrategy,
        "GPUArchitecture": GPUArchitecture,
        "auto_select_allreduce_implementation": auto_select_allreduce_implementation,
        "get_collective_capabilities": get_collective_capabilities,
    }
