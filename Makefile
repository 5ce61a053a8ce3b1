.PHONY: check lint types test test-all coverage mutants golden bench fuzz docs

check: lint types test docs

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	python -m pytest

test-all:
	MPKGRAPH_EVERY_GOLDEN=1 python -m pytest

# Of Python 3.12 and later: COVERAGE_CORE=sysmon make coverage, which costs a third.
coverage:
	coverage erase
	-coverage run -m pytest
	coverage combine --quiet
	rm -f .coverage.*
	coverage report

mutants:
	python -m benchmarks.mutants --write-docs

golden:
	python -m pytest --update-golden

bench:
	python -m benchmarks --write-docs

FUZZ_SECONDS = 60

fuzz:
	nice python -m fuzz --cpu-seconds $(FUZZ_SECONDS)

docs:
	sphinx-build -E -W -n --keep-going -q -d build/doctrees docs build/docs
