// A persistent kernel that runs a task graph whose kernels only spin, and profiles itself.
//
//   python -m benchmarks.gpu.spin_graph task_graph_rank0.json graph.bin
//   nvcc -std=c++17 -arch=sm_90 -O3 -o runtime runtime.cu && ./runtime graph.bin profile.bin
//   mpkgraph show task_graph_rank0.json --schedule --profile profile.bin
//
// Placement, queues, counters, waits and the profile's layout are those of Mirage's runtime, so
// that what `--schedule` says of the same durations can be held against a GPU.
#include <cstdio>
#include <cstring>
#include <vector>

#include "instructions.cuh"

constexpr int QUEUE = 8192, PADDING = 16, BATCH = 16, DESCRIPTOR_BYTES = 352, MAX_WORKERS = 160;
constexpr int BEGIN_EVENT = 1, PROFILE_ROWS = 4096, RUNS = 6, SHARED_BYTES = 180000;

struct Task {
  int waits, triggers, duration_ns, type;
};

struct Graph {
  char *descriptors;
  int *needs;
  uint64_t *counters, *queues, *ready, *flags, *profile;
  int num_tasks, num_workers, num_schedulers, end_event;
  float cycles_per_ns;
};

__device__ uint64_t word(int block, int type, uint64_t number, int is_end) {
  uint64_t tag = (number << 19 & 0xffffffff) | block << 11 | type << 2 | is_end;
  return tag | nanoseconds() << 32;
}

__global__ void workers(Graph g) {
  extern __shared__ int4 batch[];
  __shared__ uint64_t ids[BATCH];
  __shared__ int loaded;
  int worker = blockIdx.x, lane = threadIdx.x, place = 0, length = 0;
  uint64_t next = 0, number = 0, *profile = g.profile + 1 + worker;
  if (!worker && !lane) g.profile[0] = g.num_workers | 1ull << 32;
  while (true) {
    if (place == length) {
      if (!lane) {
        uint64_t ready;
        while ((ready = load_acquire(g.ready + worker * PADDING)) == next) __nanosleep(10);
        loaded = min((int)(ready - next), BATCH);
      }
      __syncthreads();
      length = loaded;
      if (lane < length) ids[lane] = load_relaxed(g.queues + worker * QUEUE + next + lane);
      __syncthreads();
      constexpr int PARTS = DESCRIPTOR_BYTES / 16;
      for (int i = lane; i < length * PARTS; i += blockDim.x)
        batch[i] = __ldcg((int4 *)(g.descriptors + ids[i / PARTS] * DESCRIPTOR_BYTES) + i % PARTS);
      next += length;
      place = 0;
      __syncthreads();
    }
    int id = ids[place];
    if (!id) return;
    Task task = *(Task *)(batch + place++ * (DESCRIPTOR_BYTES / 16));
    if (!lane && task.waits >= 0)
      while (load_acquire_system(g.counters + task.waits) < g.needs[task.waits]) __nanosleep(10);
    __syncthreads();
    if (!lane) {
      *profile = word(worker, task.type, number, 0);
      profile += g.num_workers;
    }
    long long start = clock64();
    while (clock64() - start < task.duration_ns * g.cycles_per_ns) {
    }
    __syncthreads();
    if (!lane) {
      *profile = word(worker, task.type, number++, 1);
      profile += g.num_workers;
      if (task.triggers >= 0 &&
          add_release(g.counters + task.triggers) + 1 == g.needs[task.triggers] &&
          (task.triggers == BEGIN_EVENT || task.triggers == g.end_event)) {
        // As much as an entry of the schedulers' queue costs
        add_release(g.flags + 4);
        store_relaxed(g.flags + 8, 1);
        add_release(g.flags + (task.triggers != BEGIN_EVENT));
      }
    }
  }
}

__global__ void schedulers(Graph g) {
  if (threadIdx.x % 32) return;
  int scheduler = blockIdx.x * 4 + threadIdx.x / 32;
  int size = g.num_workers / g.num_schedulers, rest = g.num_workers % g.num_schedulers;
  int first = scheduler * size + min(scheduler, rest), last = first + size + (scheduler < rest);
  uint64_t places[MAX_WORKERS];
  for (int i = first; i < last; i++) places[i - first] = 0;
  int worker = first;
  auto give = [&](int task) {
    store_relaxed(g.queues + worker * QUEUE + places[worker - first]++, task);
    add_release(g.ready + worker * PADDING);
    worker = worker == last - 1 ? first : worker + 1;
  };
  if (!scheduler) give(1);
  while (!load_acquire(g.flags)) __nanosleep(10);
  for (int row = 2; row < g.num_tasks; row += g.num_workers)
    for (int i = row + first; i < row + last && i < g.num_tasks; i++) give(i);
  while (!load_acquire(g.flags + 1)) __nanosleep(10);
  for (int i = first; i < last; i++) give(0);
}

__global__ void spin(uint64_t *ns, long long cycles) {
  uint64_t before = nanoseconds();
  long long start = clock64();
  while (clock64() - start < cycles) {
  }
  *ns = nanoseconds() - before;
}

template <class X>
X *on_device(const std::vector<X> &values) {
  X *found;
  cudaMalloc(&found, values.size() * sizeof(X) + 64);
  cudaMemcpy(found, values.data(), values.size() * sizeof(X), cudaMemcpyHostToDevice);
  return found;
}

int main(int, char **arguments) {
  FILE *file = fopen(arguments[1], "rb");
  int head[4];
  if (!file || fread(head, 4, 4, file) != 4) return 1;
  Graph g{};
  int num_events = head[1];
  g.num_tasks = head[0], g.num_workers = head[2], g.num_schedulers = head[3];
  g.end_event = num_events - 1;
  std::vector<Task> tasks(g.num_tasks);
  std::vector<int> needs(num_events);
  if (fread(tasks.data(), sizeof(Task), g.num_tasks, file) != (size_t)g.num_tasks) return 1;
  if (fread(needs.data(), 4, num_events, file) != (size_t)num_events) return 1;
  size_t words = 1 + (size_t)g.num_workers * PROFILE_ROWS;
  g.needs = on_device(needs);
  std::vector<char> descriptors((size_t)g.num_tasks * DESCRIPTOR_BYTES);
  for (int i = 0; i < g.num_tasks; i++)
    memcpy(&descriptors[(size_t)i * DESCRIPTOR_BYTES], &tasks[i], sizeof(Task));
  g.descriptors = on_device(descriptors);
  g.counters = on_device(std::vector<uint64_t>(num_events));
  g.queues = on_device(std::vector<uint64_t>(g.num_workers * QUEUE));
  g.ready = on_device(std::vector<uint64_t>(g.num_workers * PADDING));
  g.flags = on_device(std::vector<uint64_t>(16));
  g.profile = on_device(std::vector<uint64_t>(words));
  uint64_t *spun = on_device(std::vector<uint64_t>(1)), ns;
  long long cycles = 40000000;
  for (int i = 0; i < 3; i++) spin<<<1, 1>>>(spun, cycles);
  cudaMemcpy(&ns, spun, 8, cudaMemcpyDeviceToHost);
  g.cycles_per_ns = (float)cycles / ns;
  cudaFuncSetAttribute(workers, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_BYTES);
  cudaStream_t one, other;
  cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
  // The schedulers' first launch allocates local memory, for which it would wait until the workers
  // end, which wait for the schedulers: launch it alone first
  Graph idle = g;
  idle.num_tasks = 0;
  idle.flags = on_device(std::vector<uint64_t>(16, 1));
  schedulers<<<g.num_schedulers / 4, 128, 0, other>>>(idle);
  cudaDeviceSynchronize();
  std::vector<uint64_t> profile(words);
  for (int run = 0; run < RUNS; run++) {
    cudaMemset(g.counters, 0, num_events * 8);
    cudaMemset(g.ready, 0, g.num_workers * PADDING * 8);
    cudaMemset(g.flags, 0, 128);
    cudaMemset(g.profile, 0, words * 8);
    cudaDeviceSynchronize();
    workers<<<g.num_workers, 256, SHARED_BYTES, one>>>(g);
    schedulers<<<g.num_schedulers / 4, 128, 0, other>>>(g);
    printf("run %d: %s\n", run, cudaGetErrorString(cudaDeviceSynchronize()));
    cudaMemcpy(profile.data(), g.profile, words * 8, cudaMemcpyDeviceToHost);
  }
  file = fopen(arguments[2], "wb");
  return !file || fwrite(profile.data(), 8, words, file) != words || fclose(file);
}
