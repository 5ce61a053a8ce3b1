// Memory operations of a persistent kernel's queues and counters, and the GPU's clocks.
#pragma once
#include <cstdint>

__device__ __forceinline__ uint64_t add_release(uint64_t *p) {
  uint64_t old;
  asm volatile("atom.add.release.gpu.u64 %0, [%1], 1;" : "=l"(old) : "l"(p) : "memory");
  return old;
}

__device__ __forceinline__ uint64_t load_acquire(uint64_t *p) {
  uint64_t value;
  asm volatile("ld.acquire.gpu.u64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");
  return value;
}

__device__ __forceinline__ uint64_t load_acquire_system(uint64_t *p) {
  uint64_t value;
  asm volatile("ld.acquire.sys.u64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");
  return value;
}

__device__ __forceinline__ uint64_t load_relaxed(uint64_t *p) {
  uint64_t value;
  asm volatile("ld.relaxed.gpu.u64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");
  return value;
}

__device__ __forceinline__ void store_relaxed(uint64_t *p, uint64_t value) {
  asm volatile("st.relaxed.gpu.u64 [%0], %1;" ::"l"(p), "l"(value) : "memory");
}

__device__ __forceinline__ uint64_t nanoseconds() {
  uint64_t value;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(value));
  return value;
}
