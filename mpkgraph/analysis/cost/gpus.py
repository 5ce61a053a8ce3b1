"""What GPUs can do and what MPK's runtime costs on them: tables, and where the numbers are from.

Peaks are the vendor's: NVIDIA's data sheets "A100 Tensor Core GPU" (80 GB SXM), "H100 Tensor Core
GPU" (SXM), "H200 Tensor Core GPU" (SXM) and "DGX B200" (an eighth of the system; dense rates, half
of those given for sparsity). L2 sizes are what the CUDA runtime says on such a card.

Measured on an H100 SXM (`benchmarks/gpu`): the part of the peak bandwidth that plain 16-byte loads
reach when all SMs read (3.05 of 3.35 TB/s), what one SM alone reaches (79 GB/s from memory, 115
GB/s from L2), and every row of `RUNTIME`: loops of the runtime's own instructions (store and
release-add to a queue, acquire-polls with a 10 ns sleep, barriers, copies of 16 descriptors) on 1
to 128 SMs, and a persistent kernel that runs a real graph with kernels that only spin. Held
against the latter, the simulation of Qwen3-8B's first two layers (1,162 tasks) is 0.1 % off. The
rest is carried over from there: one SM's bandwidth scaled by clock, the runtime's costs as they
are. The fixed parts of kernels are estimates, and nothing is fitted to runs of MPK's own kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mpkgraph.analysis.schedule.system import RuntimeCosts
from mpkgraph.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Hardware:
    """Rates of one GPU. GB/s are 10^9 bytes a second, which is bytes a ns."""

    num_sms: int
    hbm_gb_per_s: float
    """Peak of device memory."""
    hbm_efficiency: float
    """The part of the peak that loads reach when all SMs read."""
    sm_gb_per_s: float
    """What one SM can take from device memory, however idle the others are."""
    l2_bytes: int
    l2_gb_per_s: float
    """Of all SMs together."""
    sm_l2_gb_per_s: float
    """What one SM can take from L2."""
    nvlink_gb_per_s: float
    """To all peers together, one way."""
    bf16_tflops: float
    """Dense, of tensor cores."""
    fp8_tflops: float
    """Dense; that of bf16 where tensor cores have no fp8."""
    fp32_tflops: float
    """Outside tensor cores."""
    matmul_efficiency: float
    """The part of a tensor core's peak that a kernel reaches on a full tile."""


GPUS: Mapping[str, Hardware] = MappingProxyType(
    {
        "a100": Hardware(
            num_sms=108,
            hbm_gb_per_s=2039.0,
            hbm_efficiency=0.9,
            sm_gb_per_s=56.0,
            l2_bytes=40 << 20,
            l2_gb_per_s=4000.0,
            sm_l2_gb_per_s=82.0,
            nvlink_gb_per_s=300.0,
            bf16_tflops=312.0,
            fp8_tflops=312.0,
            fp32_tflops=19.5,
            matmul_efficiency=0.7,
        ),
        "h100": Hardware(
            num_sms=132,
            hbm_gb_per_s=3352.0,
            hbm_efficiency=0.91,
            sm_gb_per_s=79.0,
            l2_bytes=50 << 20,
            l2_gb_per_s=5500.0,
            sm_l2_gb_per_s=115.0,
            nvlink_gb_per_s=450.0,
            bf16_tflops=989.0,
            fp8_tflops=1979.0,
            fp32_tflops=67.0,
            matmul_efficiency=0.7,
        ),
        "h200": Hardware(
            num_sms=132,
            hbm_gb_per_s=4800.0,
            hbm_efficiency=0.9,
            sm_gb_per_s=79.0,
            l2_bytes=60 << 20,
            l2_gb_per_s=5500.0,
            sm_l2_gb_per_s=115.0,
            nvlink_gb_per_s=450.0,
            bf16_tflops=989.0,
            fp8_tflops=1979.0,
            fp32_tflops=67.0,
            matmul_efficiency=0.7,
        ),
        "b200": Hardware(
            num_sms=148,
            hbm_gb_per_s=8000.0,
            hbm_efficiency=0.9,
            sm_gb_per_s=79.0,
            l2_bytes=126 << 20,
            l2_gb_per_s=10000.0,
            sm_l2_gb_per_s=115.0,
            nvlink_gb_per_s=900.0,
            bf16_tflops=2250.0,
            fp8_tflops=4500.0,
            fp32_tflops=75.0,
            matmul_efficiency=0.7,
        ),
    }
)
"""By the name that `--cost` takes."""

RUNTIME = RuntimeCosts(
    start_ns=3400,
    hand_out_ns=460,
    queue_ns=410,
    fetch_ns=500,
    wait_ns=500,
    trigger_ns=450,
    resume_ns=300,
    count_ns=4,
)
"""The last four are those of graphs made for them: 0.95 us from the end of one task to the start of
one that waits for it alone; 1.25 us between two tasks of one worker that need not wait; 1.20 and
1.57 us between layers of 64 and of 128 tasks, of which all wait for all."""

FIXED_NS: Mapping[str, int] = MappingProxyType(
    {
        "embedding": 1500,
        "norm": 2000,
        "linear": 1500,
        "attention": 3000,
        "mla": 3000,
        "moe": 2000,
        "quantize": 1500,
        "elementwise": 1000,
        "communication": 2500,
        "sampling": 2000,
        "speculation": 2000,
    }
)
"""By kind of task what a kernel takes besides its bytes and operations: memory latencies that
follow one another, filling a pipeline, reductions over the block. Estimates, not measured."""
OTHER_FIXED_NS = 1000
"""Of a kind that the table lacks."""
