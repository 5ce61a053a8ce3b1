"""Static verification: what is wrong with a task graph, found without running it."""
