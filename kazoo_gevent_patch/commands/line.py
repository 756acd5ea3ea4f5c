"""The command line ``kazoo-gevent-patch``: its commands and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from kazoo_gevent_patch.patching.versions import installed

NAME: Final = "kazoo-gevent-patch"

_RUN_USAGE: Final = (
    "%(prog)s [-h] [--no-monkey] SCRIPT [ARGUMENT ...]\n"
    "       %(prog)s [-h] [--no-monkey] -m MODULE [ARGUMENT ...]"
)
_RUN_TEXT: Final = (
    "Run a program as python would, after gevent's monkey patching and patch_all(). SCRIPT is "
    "a file, a directory or zip file with a __main__.py, or - for standard input. What follows "
    "SCRIPT or MODULE is the program's."
)
_RUN_EXAMPLES: Final = f"""\
examples:
  {NAME} run application.py --its-own-option
  {NAME} run -m gunicorn -k gevent application:app
  {NAME} run -m celery -A tasks worker -P gevent
"""
_DOCTOR_TEXT: Final = (
    "Tell whether this package works here: its versions, what it changes in kazoo and what "
    "stands in its way; with --hosts, also whether a client works with those servers. The "
    "exit code is 0 when all is ok, 1 after a warning and 2 after a problem."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code.

    :param arguments: the command line without the program's name; ``sys.argv`` by default.
    :raises SystemExit: the command line is not right, or the program that was run ended so.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    own, program = _split(given) if given[:1] == ["run"] else (given, [])
    parser, run_parser, doctor_parser = _parsers()
    options = parser.parse_args(own)
    if options.command == "run":
        if program in ([], ["-m"]):
            run_parser.error("what to run is missing: a SCRIPT, or -m and a MODULE")
        from kazoo_gevent_patch.commands.run import run

        run(program, monkey=options.monkey)
        return 0
    from kazoo_gevent_patch.commands.doctor import command as doctor

    return doctor.examine(options, doctor_parser)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what is ours of a command line with ``run``, and the program with its arguments.

    argparse would take the program's own ``--help`` for ours where the program comes after
    ``-m``, and in some releases elsewhere too.
    """
    for position, argument in enumerate(arguments):
        is_option = argument.startswith("-") and argument not in ("-", "-m")
        if position > 0 and not is_option:
            return arguments[:position], arguments[position:]
    return arguments, []


def _parsers() -> tuple[argparse.ArgumentParser, ...]:
    from kazoo_gevent_patch.commands.doctor.arguments import add_arguments

    parser = argparse.ArgumentParser(
        NAME, description="Run kazoo programs on gevent, and see whether that works here."
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {installed(NAME)}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_parser = commands.add_parser(
        "run",
        help="run a program with gevent and the patch switched on",
        usage=_RUN_USAGE.replace("%(prog)s", f"{NAME} run"),
        description=_RUN_TEXT,
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run_parser.add_argument(
        "--no-monkey",
        dest="monkey",
        action="store_false",
        help="leave the standard library as it is: the program patches it, or does without",
    )
    run_parser.add_argument("-m", metavar="MODULE", help="run a module, as python -m does")
    doctor_parser = commands.add_parser(
        "doctor",
        help="tell whether everything is in order here",
        description=_DOCTOR_TEXT,
        allow_abbrev=False,
    )
    add_arguments(doctor_parser)
    return parser, run_parser, doctor_parser
