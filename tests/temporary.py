"""A folder for all temporary files of a run, which goes with the run, however that ends."""

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


def use_own_folder() -> Callable[[], None]:
    """Let this process and those that it starts have their temporary files in a new folder.

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

    def remove() -> None:
        remover.communicate()

    return remove
