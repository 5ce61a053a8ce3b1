"""What MPK's runtime does with a graph in time: a simulation on workers and schedulers."""
