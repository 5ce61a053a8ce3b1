"""The targets by name, each a module with `SEEDS`, a function of the seeds, and `try_input`."""

NAMES = ("reader", "record", "layers", "arguments", "diff", "verify", "renderers", "files")
