#!/usr/bin/env bash
# Shows what the one line does: runs an unedited kazoo program, examples/demo/app.py, without and
# with it, on a real ZooKeeper.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/setup.sh

own_temporary_folder

ensure_zookeeper
# Any environment with the package will do, the larger one of tests/run.sh included.
if ! .venv/bin/python -Ic 'import kazoo_gevent_patch.handler, gunicorn' 2>/dev/null; then
  ensure_python
  ensure_venv demo
fi

exec .venv/bin/python -m examples.demo
