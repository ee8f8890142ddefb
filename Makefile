# Everything a person runs. `make demo` and `make test` set up what they need on Debian and Ubuntu.
VENV ?= .venv
PY := $(VENV)/bin/python
.PHONY: demo test check docs bench clean setup

setup: $(VENV)/.installed
