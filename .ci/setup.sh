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

# Runs an installer. What it prints goes into a log; if it fails, the end of the log is shown.
quietly() {
  local status=0
  mkdir -p build
  step "$@" >>build/setup.log 2>&1 || status=$?
  ((status == 0)) || {
    tail -n 20 build/setup.log >&2
    say "that failed: $*; all that was printed is in $PWD/build/setup.log"
  }
  return "$status"
}

# Installs Debian packages, having said how large they are; fails where that is not possible.
apt_install() {
  local as_root=() install=(apt-get -q install --no-install-recommends) size
  command -v apt-get >/dev/null || return 1
  if ((EUID != 0)); then
    command -v sudo >/dev/null || return 1
    # It may ask for a password, which it can do in the foreground only.
    sudo -n true 2>/dev/null || sudo -v || return 1
    as_root=(sudo -n)
  fi
  quietly ${as_root[@]+"${as_root[@]}"} apt-get -q update || return 1
  # The second pair of words is that of apt 3.
  size=$(LC_ALL=C "${install[@]}" --assume-no "$@" 2>/dev/null |
    grep -E '^ *(Need to get|After this|Download size|Space needed)' | xargs) || true
  say "installing with apt-get: $*"
  [[ -z $size ]] || say "$size"
  quietly ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive "${install[@]}" -y "$@"
}

# Prints the Debian packages for what this machine lacks of the things named, each on a line.
lacking() {
  local need python version=""
  python=$(find_python) && version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  for need in "$@"; do
    case $need in
    zookeeper) # a server to start; the package zookeeper would bring Java's windows as well
      [[ -z ${ZK_HOSTS:-} ]] || continue
      command -v java >/dev/null || echo default-jre-headless
      [[ -e /usr/share/java/zookeeper.jar ]] || echo libzookeeper-java
      ;;
    python) # one that can make virtual environments
      [[ -n $python ]] || echo python3
      "${python:-false}" -c 'import ensurepip, venv' 2>/dev/null || echo "python${version:-3}-venv"
      ;;
    compiler) # some of the packages that tests need are built from C where they are installed
      command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
      "${python:-false}" -c 'import os, sysconfig
assert os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))' 2>/dev/null ||
        echo "python${version:-3}-dev"
      ;;
    esac
  done
}

# Brings the things named onto this machine: of zookeeper, python, compiler. Sets PYTHON. What cannot
# be installed is named in one message.
ensure() {
  local packages
  if [[ -n ${PYTHON:-} ]] && ! usable_python "$PYTHON" >/dev/null; then
    say "PYTHON=$PYTHON is not a Python >= 3.10 that runs; looking for another"
    PYTHON=
  fi
  [[ -z ${ZK_HOSTS:-} ]] || say "using the ZooKeeper at ZK_HOSTS=$ZK_HOSTS"
  mapfile -t packages < <(lacking "$@")
  if ((${#packages[@]})); then
    apt_install "${packages[@]}" || true
    mapfile -t packages < <(lacking "$@")
  fi
  ((${#packages[@]} == 0)) || die "this machine lacks what is needed. On Debian, as root, install:
  apt-get update && apt-get install -y --no-install-recommends ${packages[*]}
Elsewhere, name a Python >= 3.10 that can make virtual environments in PYTHON, and a ZooKeeper in
ZK_HOSTS, such as one in Docker:
  docker run --rm -p 2181:2181 zookeeper:3.8
  PYTHON=/path/to/python3 ZK_HOSTS=127.0.0.1:2181 $0"
  PYTHON=$(find_python)
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
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10; do
    usable_python "$candidate" && return
  done
  return 1
}

# Megabytes that .venv has with a dependency group, as `du -sm` measures them.
declare -A SIZES=([demo]=50 [test]=540)

# Makes .venv hold this package, editable, and a dependency group in the versions of .ci/locked; anew
# when its Python, its place, pyproject.toml or those versions have changed.
ensure_venv() {
  local stamp=.venv/.setup-stamp wanted
  wanted="$PWD $1 $("$PYTHON" -c 'import hashlib, sys
files = [open(name, "rb").read() for name in sys.argv[1:]]
print(sys.version, hashlib.sha256(b"".join(files)).hexdigest())' \
    pyproject.toml ".ci/locked/build.txt" ".ci/locked/$1.txt")"
  [[ -x .venv/bin/python && -e $stamp && $(<"$stamp") == "$wanted" ]] && return
  say "installing this package and what it needs ($1) into $PWD/.venv: ${SIZES[$1]} MB"
  quietly "$PYTHON" -m venv --clear .venv
  install_locked build # pip too: the one that is there only has to know --require-hashes
  install_locked "$1"
  quietly .venv/bin/python -m pip install --no-deps --no-build-isolation --editable .
  printf '%s\n' "$wanted" >"$stamp"
}

# Installs a dependency group into .venv. Every file must have the hash that .ci/locked has for it;
# those without a wheel are built with what the group build has brought, and nothing else.
install_locked() {
  quietly .venv/bin/python -m pip install --require-hashes --no-build-isolation \
    --requirement ".ci/locked/$1.txt"
}
