"""How long each task takes: by a cost model of the GPU, or measured by Mirage's profiler."""
