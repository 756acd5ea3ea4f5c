#!/usr/bin/env bash
# Checks the project: format, lint and types, then the tests. With arguments, which go to pytest,
# only the tests they choose: tests/run.sh tests/unit -k handler
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/setup.sh

ensure_zookeeper
ensure_browser
ensure_python
ensure_compiler
ensure_venv test

if (($#)); then
  say "arguments given: format, lint and types are not checked"
else
  step .venv/bin/ruff format --check
  step .venv/bin/ruff check
  step .venv/bin/python -m mypy --strict
  step .venv/bin/python -m pyright --pythonpath .venv/bin/python
fi
say "pytest $*"
exec .venv/bin/python -m pytest "$@"
