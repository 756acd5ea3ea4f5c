# shellcheck shell=bash
# Sourced in the project root by .ci/run and tests/run.sh: brings what they need onto this machine.

say() {
  printf '==> %s\n' "$*" >&2
}

die() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# Runs a command in a process group of its own, and ends all of that on a signal: nothing outlives
# this script. (Without a group of its own a background job ignores INT, and so do its children.)
step() {
  local child status=0
  say "$*"
  set -m
  if command -v setpriv >/dev/null; then
    set -- setpriv --pdeathsig TERM -- "$@" # this script can be killed
  fi
  "$@" </dev/null &
  child=$!
  set +m
  trap 'kill -INT -- "-$child" 2>/dev/null || true' INT TERM
  # A signal ends a `wait` before the child has ended.
  while :; do
    wait "$child" && status=0 || status=$?
    kill -0 "$child" 2>/dev/null || break
  done
  trap - INT TERM
  return "$status"
}

# Lets this script and what it starts have their temporary files in a folder of their own, which goes
# when all of them have ended, however that comes about: what removes it sees the last one close
# what is written to it, and no signal to the group of this script reaches it.
own_temporary_folder() {
  TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/kgp-XXXXXX")
  export TMPDIR
  # shellcheck disable=SC2016 # the other shell is to expand it
  exec 9> >(exec setsid sh -c 'cat; for try in $(seq 60); do rm -rf "$1" && exit; sleep 1; done' \
    sh "$TMPDIR" >/dev/null 2>&1)
}

# Installs Debian packages; fails where that is not possible.
apt_install() {
  local as_root=()
  command -v apt-get >/dev/null || return 1
  if ((EUID != 0)); then
    command -v sudo >/dev/null || return 1
    as_root=(sudo)
  fi
  say "installing $* with apt-get"
  ${as_root[@]+"${as_root[@]}"} apt-get -q update >&2 &&
    ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive \
      apt-get -q install -y --no-install-recommends "$@" >&2
}

has_zookeeper() {
  [[ -e /usr/share/java/zookeeper.jar ]] && command -v java >/dev/null
}

# ZooKeeper servers to test against: those of ZK_HOSTS, or Debian's package to start some with.
ensure_zookeeper() {
  if [[ -n ${ZK_HOSTS:-} ]]; then
    say "testing against the ZooKeeper at ZK_HOSTS=$ZK_HOSTS"
    return
  fi
  has_zookeeper && return
  apt_install zookeeper && has_zookeeper && return
  die "ZooKeeper is missing: /usr/share/java/zookeeper.jar and java, from Debian's package zookeeper.
Install it as root with: apt-get update && apt-get install -y zookeeper
Or use any ZooKeeper that runs, such as one in Docker:
  docker run --rm -p 2181:2181 zookeeper:3.8
  ZK_HOSTS=127.0.0.1:2181 $0"
}

has_browser() {
  command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

# A browser for the tests that drive one. Without it they are skipped; in CI nothing is.
ensure_browser() {
  local missing="chromium and chromedriver are missing: on Debian, install chromium and chromium-driver"
  has_browser && return
  apt_install chromium chromium-driver && has_browser && return
  [[ -z ${CI:-} ]] || die "$missing"
  say "$missing; the tests that drive a browser are skipped"
}

# Prints where the interpreter is if it runs and is recent enough: pyenv leaves commands on PATH that
# exist and do not run.
usable_python() {
  "$1" -c 'import sys; sys.version_info >= (3, 10) or sys.exit(1); print(sys.executable)' 2>/dev/null
}

find_python() {
  local candidate
  if [[ -n ${PYTHON:-} ]]; then
    usable_python "$PYTHON" && return
    say "PYTHON=$PYTHON is not a Python >= 3.10 that runs; looking for another"
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    usable_python "$candidate" && return
  done
  return 1
}

# Sets PYTHON to an interpreter that can make virtual environments.
ensure_python() {
  local found version
  found=$(find_python) || { apt_install python3 python3-venv && found=$(find_python); } ||
    die "no Python >= 3.10 found; name one with PYTHON=/path/to/python"
  PYTHON=$found
  "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null && return
  version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  apt_install "python$version-venv" && "$PYTHON" -c 'import ensurepip, venv' && return
  die "$PYTHON cannot make virtual environments; on Debian, install python$version-venv"
}

# Some of the packages that tests need are built from C where they are installed.
ensure_compiler() {
  local version
  version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if ! command -v cc >/dev/null; then
    apt_install gcc libc6-dev || die "no C compiler; on Debian, install gcc and libc6-dev"
  fi
  "$PYTHON" -c 'import os, sysconfig
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null && return
  apt_install "python$version-dev" || die "no headers of $PYTHON; on Debian, install python$version-dev"
}

# Makes .venv hold this package, editable, and a dependency group in the versions of .ci/locked; anew
# when its Python, its place, pyproject.toml or those versions have changed.
ensure_venv() {
  local stamp=.venv/.setup-stamp wanted
  wanted="$PWD $1 $("$PYTHON" -c 'import hashlib, sys
files = [open(name, "rb").read() for name in sys.argv[1:]]
print(sys.version, hashlib.sha256(b"".join(files)).hexdigest())' \
    pyproject.toml ".ci/locked/build.txt" ".ci/locked/$1.txt")"
  [[ -x .venv/bin/python && -e $stamp && $(<"$stamp") == "$wanted" ]] && return
  step "$PYTHON" -m venv --clear .venv
  install_locked build # pip too: the one that is there only has to know --require-hashes
  install_locked "$1"
  step .venv/bin/python -m pip install --no-deps --no-build-isolation --editable .
  printf '%s\n' "$wanted" >"$stamp"
}

# Installs a dependency group into .venv. Every file must have the hash that .ci/locked has for it;
# those without a wheel are built with what the group build has brought, and nothing else.
install_locked() {
  step .venv/bin/python -m pip install --require-hashes --no-build-isolation \
    --requirement ".ci/locked/$1.txt"
}
