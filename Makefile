.PHONY: check lint types test golden bench docs

check: lint types test docs

lint:
	ruff check .
	ruff format --check .

types:
	mypy

test:
	python -m pytest

golden:
	python -m pytest --update-golden

bench:
	python -m benchmarks

docs:
	sphinx-build -W -n --keep-going -q -d build/doctrees docs build/docs
