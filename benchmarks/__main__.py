"""`python -m benchmarks`, which `make bench` runs: measure, and write the tables in docs/."""

import sys

from benchmarks import planning, reading, scheduling, verifying

if __name__ == "__main__":
    reading.main(["--write-docs", *sys.argv[1:]])
    if not sys.argv[1:]:
        planning.main(["--write-docs"])
        verifying.main(["--write-docs"])
        scheduling.main(["--write-docs"])
