"""A folder for all that a run leaves in files, which goes with the run, however that ends."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from typing import Final

# Sees the end of its input when the run's process ends. What the run has started may write on for
# a moment; what still comes after a minute is of a program that was to outlive the run.
_REMOVE_AT_THE_END: Final = """
cat
for try in $(seq 60); do rm -rf "$1" && exit; sleep 1; done
"""


_USERS_HOME: Final = "KAZOO_TESTS_USERS_HOME"


def users_environment() -> dict[str, str]:
    """Return the environment with the user's home, for git and pip, whose settings are there."""
    return {**os.environ, "HOME": os.environ.get(_USERS_HOME, os.environ["HOME"])}


def use_own_folder() -> Callable[[], None]:
    """Let this process and those that it starts have temporary files and home in a new folder.

    Return what removes it. When this process is killed before that, another one removes it.
    """
    folder = tempfile.mkdtemp(prefix="kgp-")  # a short name: paths of sockets have 107 bytes
    remover = subprocess.Popen(
        ["sh", "-c", _REMOVE_AT_THE_END, "sh", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a signal to the run's group is not for it
    )
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    # gunicorn puts its control socket there, and Chromium its reports.
    os.environ.setdefault(_USERS_HOME, os.path.expanduser("~"))
    os.environ["HOME"] = os.path.join(folder, "home")
    os.mkdir(os.environ["HOME"])
    os.environ.pop("XDG_RUNTIME_DIR", None)  # which gunicorn would prefer

    def remove() -> None:
        remover.communicate()

    return remove
