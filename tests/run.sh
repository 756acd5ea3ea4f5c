#!/usr/bin/env bash
# Checks the project on a real ZooKeeper.
#   tests/run.sh             format, lint, types, and each test that needs no more than one server
#   tests/run.sh --all       the same, then ensembles, every way of gunicorn, minutes of faults, kazoo's
#                            own suite and what else is slow
#   tests/run.sh ARGUMENT... only what the arguments, which go to pytest, choose:
#                            tests/run.sh tests/unit -k handler
# ZK_HOSTS names servers to use, ZK_VERSION a version to download and start (tests/zookeeper/debian.py).
# shellcheck disable=SC2086 # the commands below are lists of words
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/setup.sh

own_temporary_folder
ensure zookeeper python compiler
ensure_browser
ensure_venv test

pytest=".venv/bin/python -m pytest"
# Most of a test is waiting: three at once make the best of two cores.
side_by_side="--numprocesses $(($(nproc) + 1)) --dist worksteal"

if (($#)) && [[ $1 != --all ]]; then
  say "arguments given: format, lint and types are not checked"
  exec $pytest "$@"
fi

checks=(
  "format=.venv/bin/ruff format --check"
  "lint=.venv/bin/ruff check"
  "mypy=.venv/bin/python -m mypy --strict"
  "pyright=.venv/bin/python -m pyright --pythonpath .venv/bin/python"
)
step .venv/bin/python -m tests.parts "${checks[@]}"
if ! (($#)); then
  exec $pytest $side_by_side
fi
step .venv/bin/python -m tests.parts --at-once 1 "tests=$pytest $side_by_side"
# kazoo's suite waits most of the time, and so do minutes of faults.
step .venv/bin/python -m tests.parts \
  "kazoo's suite=$pytest -m conformance tests/conformance" \
  "slow tests=$pytest $side_by_side -m 'slow and not conformance'"
