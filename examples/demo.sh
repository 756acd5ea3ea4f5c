#!/usr/bin/env bash
# Shows what the one line does: runs an unedited kazoo program, examples/demo/app.py, without and
# with it, on a real ZooKeeper.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .ci/setup.sh

usage="Usage: examples/demo.sh

Runs one unedited program on a real ZooKeeper in three ways: on kazoo alone, on
kazoo's own gevent handler, and with the one line of this package. Prints side
by side what each way did. It takes half a minute, and some minutes more the
first time, to install what is missing: Java and ZooKeeper from Debian's
packages, and Python packages into .venv. It says what and how large first.

  ZK_HOSTS=host:2181    uses that ZooKeeper, and leaves nothing on it
  PYTHON=/path/python3  makes .venv with that Python (>= 3.10)
  NO_COLOR=1            prints no colours

Its exit code is 0 if each check of the first and of the last way held, 1 if
one did not, or if no ZooKeeper answers."

case ${1-} in
"") ;;
-h | --help)
  printf '%s\n' "$usage"
  exit
  ;;
*)
  printf '%s\n\n' "$usage" >&2
  die "it takes no arguments: $*"
  ;;
esac

own_temporary_folder

# Any environment with the package will do, the larger one of tests/run.sh included.
if .venv/bin/python -Ic 'import kazoo_gevent_patch.handler, gunicorn' 2>/dev/null; then
  ensure zookeeper
else
  ensure zookeeper python
  ensure_venv demo
fi

exec .venv/bin/python -m examples.demo
