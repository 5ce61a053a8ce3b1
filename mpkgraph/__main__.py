"""`python -m mpkgraph`."""

from mpkgraph.cli.main import main

if __name__ == "__main__":
    main()
