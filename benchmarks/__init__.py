"""Measurements: synthetic task graphs of any size, and reading them beside peers (`make bench`)."""
