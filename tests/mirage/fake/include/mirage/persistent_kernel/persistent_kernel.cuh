void execute_scheduler(int a) {
#ifdef MPK_ENABLE_VERBOSE
  printf("verbose\n");
#endif
  printf("done\n");
}
__global__ void scheduler_kernel() { execute_scheduler(0); }
void init_persistent_kernel(std::vector<void *> meta_tensors, int workers, int is_test_mode) {
  assert(meta_tensors.size() == 10);
  x = meta_tensors[0];
  y = meta_tensors[10];
}
