// What the steps of a persistent kernel's runtime take, and what SMs can read.
//
//   nvcc -std=c++17 -arch=sm_90 -O3 -o costs costs.cu && ./costs
#include <algorithm>
#include <cstdio>

#include "instructions.cuh"

constexpr int PADDING = 16;    // counters lie 128 bytes apart
constexpr int QUEUE = 8192;    // tasks of one queue
constexpr int BATCH_BYTES = 16 * 336;
constexpr int ROUNDS = 20000;

// One lane of each block hands `n` tasks out to `w` queues of its own.
__global__ void hand_out(uint64_t *queues, uint64_t *ready, int n, int w) {
  if (threadIdx.x) return;
  for (int i = 0; i < n; i++) {
    int queue = blockIdx.x * w + i % w;
    store_relaxed(queues + queue * QUEUE + i / w % QUEUE, i);
    add_release(ready + queue * PADDING);
  }
}

// Tasks that do nothing: a wait for a full counter, two barriers, a trigger.
__global__ void empty_tasks(uint64_t *counters, int n) {
  for (int i = 0; i < n; i++) {
    if (!threadIdx.x) {
      while (load_acquire_system(counters + 999 * PADDING) > 1ull << 60) {
      }
      __nanosleep(10);
    }
    __syncthreads();
    __syncthreads();
    if (!threadIdx.x) add_release(counters + i % 16 * PADDING);
  }
}

// Fetching a batch of 16 descriptors.
__global__ void fetch(uint64_t *counters, char *descriptors, int n) {
  __shared__ char batch[BATCH_BYTES];
  for (int i = 0; i < n; i++) {
    if (!threadIdx.x) load_acquire(counters);
    __syncthreads();
    volatile uint64_t id = threadIdx.x < 16 ? load_acquire(counters + threadIdx.x) : 0;
    (void)id;
    __syncthreads();
    for (int k = threadIdx.x; k < BATCH_BYTES / 16; k += blockDim.x)
      ((int4 *)batch)[k] =
          __ldcg((int4 *)(descriptors + (i * 131ll % 4096) * BATCH_BYTES) + k);
    __syncthreads();
    if (batch[threadIdx.x] == 77) counters[9] = i;
  }
}

// The first and the last block trigger each other in turns.
__global__ void events(uint64_t *counters, int n) {
  if (blockIdx.x != 0 && blockIdx.x != gridDim.x - 1) return;
  int me = blockIdx.x != 0;
  for (int i = 0; i < n; i++) {
    if (!threadIdx.x)
      while (load_acquire_system(counters + me * PADDING) < (uint64_t)(i + me)) __nanosleep(10);
    __syncthreads();
    __syncthreads();
    if (!threadIdx.x) add_release(counters + (1 - me) * PADDING);
  }
}

__global__ void read(const int4 *p, size_t n, int *out) {
  int sum = 0;
  size_t step = (size_t)gridDim.x * blockDim.x;
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i + 7 * step < n; i += 8 * step) {
    int4 v[8];
#pragma unroll
    for (int k = 0; k < 8; k++) v[k] = __ldcg(p + i + k * step);
#pragma unroll
    for (int k = 0; k < 8; k++) sum += v[k].x ^ v[k].w;
  }
  if (sum == 77) *out = sum;
}

// The least of five times, in ns.
template <class F>
double least_ns(F launch) {
  cudaEvent_t start, end;
  cudaEventCreate(&start);
  cudaEventCreate(&end);
  float least = 1e9f;
  for (int i = 0; i < 5; i++) {
    cudaEventRecord(start);
    launch();
    cudaEventRecord(end);
    cudaEventSynchronize(end);
    float ms;
    cudaEventElapsedTime(&ms, start, end);
    least = std::min(least, ms);
  }
  return least * 1e6;
}

int main() {
  cudaDeviceProp properties;
  cudaGetDeviceProperties(&properties, 0);
  printf("%s, %d SMs, %d bytes of L2\n", properties.name, properties.multiProcessorCount,
         properties.l2CacheSize);
  uint64_t *queues, *counters;
  char *memory;
  int *out;
  size_t size = 2ull << 30;
  cudaMalloc(&queues, 160 * QUEUE * 8);
  cudaMalloc(&counters, 1 << 20);
  cudaMalloc(&memory, size);
  cudaMalloc(&out, 4);
  cudaMemset(counters, 0, 1 << 20);
  cudaMemset(memory, 1, size);
  for (int s : {1, 4, 16, 48})
    printf("hand out, %d schedulers: %.0f ns\n", s,
           least_ns([&] { hand_out<<<s, 32>>>(queues, counters, ROUNDS, s > 16 ? 2 : 8); }) /
               ROUNDS);
  for (int w : {1, 128})
    printf("empty task, %d workers: %.0f ns\n", w,
           least_ns([&] { empty_tasks<<<w, 256>>>(counters, ROUNDS); }) / ROUNDS);
  for (int w : {1, 128})
    printf("fetch of a batch, %d workers: %.0f ns\n", w,
           least_ns([&] { fetch<<<w, 256>>>(counters, memory, ROUNDS); }) / ROUNDS);
  printf("event: %.0f ns\n", least_ns([&] {
           cudaMemset(counters, 0, 4096);
           events<<<128, 256>>>(counters, ROUNDS);
         }) / ROUNDS / 2);
  for (int w : {1, 8, 32, 64, 96, 128, 132}) {
    size_t bytes = w < 9 ? 256ull << 20 : size;
    double ns = least_ns([&] { read<<<w, 512>>>((int4 *)memory, bytes / 16, out); });
    printf("memory, %d SMs: %.1f GB/s each, %.0f in all\n", w, bytes / ns / w, bytes / ns);
  }
  size_t bytes = 16 << 20;
  double ns = least_ns([&] {
    for (int i = 0; i < 8; i++) read<<<1, 512>>>((int4 *)memory, bytes / 16, out);
  });
  printf("L2, 1 SM: %.1f GB/s\n", 8 * bytes / ns);
  printf("%s\n", cudaGetErrorString(cudaDeviceSynchronize()));
}
