"""C++ that our child adds to the generated code, to see what is on the GPU.

Mirage's runtime has no way to read a buffer that it allocated, or the event counters of a kernel
that hangs. The functions go behind the launcher, in the same file, where the runtime's static
configuration can be seen; nothing that Mirage generated changes but where its table of tensors is
kept.
"""

from __future__ import annotations

import re

TENSOR_TABLE = "mpkgraph_tensors"

_TABLE = "std::map<std::string, void*> all_tensors;"
_DEFINITION = re.compile(r"^static void _init_persistent_kernel\(", re.MULTILINE)

_ACCESS = """
// Added by mpkgraph
static cudaStream_t mpkgraph_stream;
static unsigned long long *mpkgraph_counters;

extern "C" int mpkgraph_prepare() {
  size_t n = global_runtime_config.num_events;
  cudaError_t e = cudaStreamCreateWithFlags(&mpkgraph_stream, cudaStreamNonBlocking);
  if (e == cudaSuccess)
    e = cudaMallocHost((void **)&mpkgraph_counters, n * sizeof(unsigned long long) + 8);
  return (int)e;
}

extern "C" int mpkgraph_num_events() { return global_runtime_config.num_events; }

extern "C" unsigned long long const *mpkgraph_event_counters() {
  static_assert(sizeof(EventCounter) == sizeof(unsigned long long), "event counters");
  size_t n = global_runtime_config.num_events;
  if (cudaMemcpyAsync(mpkgraph_counters, global_runtime_config.all_event_counters,
                      n * sizeof(unsigned long long), cudaMemcpyDeviceToHost,
                      mpkgraph_stream) != cudaSuccess ||
      cudaStreamSynchronize(mpkgraph_stream) != cudaSuccess)
    return nullptr;
  return mpkgraph_counters;
}

extern "C" void *mpkgraph_tensor(char const *name) {
  auto found = mpkgraph_tensors.find(name);
  return found == mpkgraph_tensors.end() ? nullptr : found->second;
}

extern "C" int mpkgraph_copy(void *target, void const *source, size_t bytes) {
  return (int)cudaMemcpy(target, source, bytes, cudaMemcpyDefault);
}

extern "C" int mpkgraph_fill(void *target, int byte, size_t bytes) {
  return (int)cudaMemset(target, byte, bytes);
}

// A block takes all the shared memory of its SM; none ends before all have begun, so every SM has
// one.
__global__ void mpkgraph_shared_kernel(int word, int bytes, unsigned *begun) {
  extern __shared__ int mpkgraph_shared[];
  for (int i = threadIdx.x; i < bytes / (int)sizeof(int); i += blockDim.x)
    ((int volatile *)mpkgraph_shared)[i] = word;
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicAdd(begun, 1u);
    while (atomicAdd(begun, 0u) < gridDim.x) {
    }
  }
}

extern "C" int mpkgraph_fill_shared(int word) {
  int device = 0, sms = 0, bytes = 0;
  unsigned *begun = nullptr;
  cudaError_t e = cudaGetDevice(&device);
  if (e == cudaSuccess)
    e = cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, device);
  if (e == cudaSuccess)
    e = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (e == cudaSuccess)
    e = cudaFuncSetAttribute(mpkgraph_shared_kernel,
                             cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (e == cudaSuccess)
    e = cudaMalloc((void **)&begun, sizeof(unsigned));
  if (e == cudaSuccess)
    e = cudaMemset(begun, 0, sizeof(unsigned));
  if (e == cudaSuccess) {
    void *arguments[] = {&word, &bytes, &begun};
    e = cudaLaunchCooperativeKernel((void *)mpkgraph_shared_kernel, dim3(sms), dim3(256),
                                    arguments, (size_t)bytes, 0);
  }
  if (e == cudaSuccess)
    e = cudaDeviceSynchronize();
  cudaFree(begun);
  return (int)e;
}
"""


def with_device_access(cuda_code: str) -> tuple[str, str] | None:
    """(generated code with its tensors kept, C++ to go behind the launcher).

    None when the generated code does not look as expected: then nothing is added.
    """
    match = _DEFINITION.search(cuda_code)
    if match is None or cuda_code.count(_TABLE) != 1 or cuda_code.index(_TABLE) < match.start():
        return None
    kept = f"static std::map<std::string, void*> {TENSOR_TABLE};\n"
    code = cuda_code[: match.start()] + kept + cuda_code[match.start() :]
    return code.replace(_TABLE, f"auto &all_tensors = {TENSOR_TABLE};"), _ACCESS
