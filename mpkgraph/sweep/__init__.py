"""One pipeline planned, checked and simulated for every combination of choices, and ranked."""
