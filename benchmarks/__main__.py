"""`python -m benchmarks`, which `make bench` runs: measure and write docs/benchmarks.md."""

import sys

from benchmarks.reading import main

if __name__ == "__main__":
    main(["--write-docs", *sys.argv[1:]])
