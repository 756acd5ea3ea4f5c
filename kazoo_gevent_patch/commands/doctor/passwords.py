"""The user that the client is, and the password: from a file, a variable or the terminal.

A password in the command line would show in the list of processes and in the shell's history.
"""

from __future__ import annotations

import argparse
import os
import sys
from getpass import getpass
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict


class Credentials(TypedDict, total=False):
    """The fields of a ``Target`` that tell which user the client is."""

    user: str
    auth: dict[str, object]


def credentials(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Credentials:
    """Return what the options say; empty without ``--digest`` and ``--sasl``.

    Ends the program, with a line that says why, if there is no password to be had.
    """
    user = options.digest or options.sasl
    if not user:
        if options.password_file or options.password_env:
            parser.error("a password needs a user: --digest or --sasl")
        return {}
    if options.sasl and find_spec("puresasl") is None:
        parser.error("--sasl needs pure-sasl: install kazoo[sasl]")
    password = _password(options, user, parser)
    if not password:
        parser.error("the password is empty")
    if options.digest:
        return {
            "user": f"digest user {user}",
            "auth": {"auth_data": [("digest", f"{user}:{password}")]},
        }
    sasl = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    return {"user": f"SASL user {user}", "auth": {"sasl_options": sasl}}


def _password(options: argparse.Namespace, user: str, parser: argparse.ArgumentParser) -> str:
    if options.password_file:
        try:
            return Path(options.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            # Their own texts may show what is in the file.
            parser.error(f"argument --password-file: {options.password_file!r} is no text in UTF-8")
    if options.password_env:
        password = os.environ.get(options.password_env)
        if password is None:
            parser.error(f"argument --password-env: {options.password_env} is not set")
        return password
    if not sys.stdin.isatty():
        parser.error("there is no terminal to ask: use --password-file or --password-env")
    try:
        return getpass(f"Password of {user}: ")
    except EOFError:
        return ""
