"""Mirage's Python API without Mirage, GPU or CUDA, for the time that a user's script runs.

`environment.standin` sets it up: `finder` answers `import mirage` from `modules`, `torch_session`
lets torch answer for the target and redirects its GPUs, `ranks` and `distributed` say which rank
it is, and `kernel` hands what is compiled to a `Session`. torch is imported only when the script
does.
"""
