"""From layers to a task graph, as Mirage's generator makes it."""
