"""Mirage's kernels on a GPU, one at a time: `record.py` keeps what they make of `cases.py`."""
