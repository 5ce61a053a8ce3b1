"""Mirage's kernels on an H100, one at a time: `cases`, and what they made of them."""
