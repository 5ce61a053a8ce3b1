"""Mirage's kernels on an H100, one at a time: `h100.safetensors` holds what they made of `cases`."""
