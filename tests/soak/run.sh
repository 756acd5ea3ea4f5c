#!/usr/bin/env bash
# Breaks servers, connections and processes under a workload, and checks that nothing acknowledged is
# lost; --help lists options.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .ci/setup.sh

own_temporary_folder

# It kills servers, so those of ZK_HOSTS are of no use to it.
unset ZK_HOSTS
ensure zookeeper python compiler
ensure_venv test
# Added to the environment of tests/run.sh, which stays valid for it.
if ! .venv/bin/python -Ic 'import matplotlib' 2>/dev/null; then
  install_locked benchmarks
fi

exec .venv/bin/python -m tests.soak "$@"
