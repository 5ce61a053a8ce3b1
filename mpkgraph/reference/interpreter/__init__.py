"""Runs a task graph without a GPU, task by task as the runtime would.

Memory (`buffer`, `memory`), what tasks are called with (`operators`, `boxes`, `calls`), the run
(`run`), where values come from (`initial`, `generate`, `requests`), and what the whole tensors
should be (`whole`). torch is imported where tensors are made.
"""
