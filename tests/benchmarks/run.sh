#!/usr/bin/env bash
# Measures kazoo's handlers, ours, a bare socket and aiozk on a real ZooKeeper; --help lists options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/setup.sh

own_temporary_folder

ensure zookeeper python compiler
ensure_venv test
# Added to the environment of tests/run.sh, which stays valid for it.
if ! .venv/bin/python -Ic 'import aiozk, matplotlib' 2>/dev/null; then
  install_locked benchmarks
fi

exec .venv/bin/python -m tests.benchmarks "$@"
