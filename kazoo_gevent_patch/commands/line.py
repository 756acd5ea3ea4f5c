"""The command line ``kazoo-gevent-patch``: its commands and options."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NoReturn

from kazoo_gevent_patch.patching.versions import installed

NAME: Final = "kazoo-gevent-patch"

_RUN_USAGE: Final = (
    f"{NAME} run [-h] [--no-monkey] [--] SCRIPT [ARGUMENT ...]\n"
    f"       {NAME} run [-h] [--no-monkey] -m MODULE [ARGUMENT ...]\n"
    f"       {NAME} run [-h] [--no-monkey] -c TEXT [ARGUMENT ...]"
)
_RUN_TEXT: Final = """\
Run a program as python would, after gevent's monkey patching and patch_all().
SCRIPT is a file, a directory or zip file with a __main__.py, - for standard
input, or the name of an installed command that is a Python script. What
follows SCRIPT, MODULE or TEXT is the program's.
"""
_RUN_EXAMPLES: Final = f"""\
examples:
  {NAME} run application.py --its-own-option
  {NAME} run gunicorn -k gevent application:app
  {NAME} run -m celery -A tasks worker -P gevent
"""
_DOCTOR_TEXT: Final = (
    "Tell whether this package works here: its versions, what it changes in kazoo and what "
    "stands in its way; with --hosts, also whether a client works with those servers. The "
    "exit code is 0 when all is ok, 1 after a warning and 2 after a problem."
)
_INSPECT_TEXT: Final = (
    "Print what the clients of a running program do now, and where their greenlets are. The "
    "program runs on. The exit code is 0, or 1 if there is no answer."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says, and return the exit code.

    :param arguments: the command line without the program's name; ``sys.argv`` by default.
    :raises SystemExit: the command line is not right, or the program that was run ended so.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    own, program = _split(given) if given[:1] == ["run"] else (given, [])
    with _as_a_tool():
        options = _parse(own)
        if options.command != "run":
            code: int = options.do(options)
            return code
    _run(options, program)
    return 0


@contextmanager
def _as_a_tool() -> Iterator[None]:
    """Have Ctrl-C, or a reader of the output that goes away, end this without a traceback."""
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except KeyboardInterrupt:
        _end_by(signal.SIGINT)
    except BrokenPipeError:
        _end_by(signal.SIGPIPE)


def _run(options: argparse.Namespace, program: list[str]) -> None:
    if program in ([], ["-m"], ["-c"]):
        options.parser.error(
            "what to run is missing: a SCRIPT, or -m and a MODULE, or -c and a TEXT"
        )
    from kazoo_gevent_patch.commands.run import run

    run(program, monkey=options.monkey)


def _doctor(options: argparse.Namespace) -> int:
    from kazoo_gevent_patch.commands.doctor.command import examine

    return examine(options, options.parser)


def _end_by(number: signal.Signals) -> NoReturn:
    """End as a program that leaves the signal alone: a shell's loop round it ends too."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)  # where the signal is blocked


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what is ours of a command line with ``run``, and the program with its arguments.

    argparse would take the program's own ``--help`` for ours where the program comes after
    ``-m``, and in some releases elsewhere too.
    """
    for position, argument in enumerate(arguments[1:], 1):
        if argument == "--":
            return arguments[:position], _program(arguments[position + 1 :])
        if not argument.startswith("-") or argument == "-" or argument[:2] in ("-m", "-c"):
            return arguments[:position], _program(arguments[position:])
    return arguments, []


def _program(arguments: list[str]) -> list[str]:
    """Take ``-mMODULE`` apart, as python does."""
    first = arguments[0] if arguments else ""
    if first[:2] in ("-m", "-c") and first[2:]:
        return [first[:2], first[2:], *arguments[1:]]
    return arguments


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Parse our own part; what is wrong with it is told with the usage of its command."""
    parser = argparse.ArgumentParser(
        NAME, description="Run kazoo programs on gevent, and see whether that works here."
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {installed(NAME)}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands)
    _add_doctor(commands)
    _add_inspect(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        is_before = unknown[0] in arguments[: arguments.index(options.command)]
        wrong = parser if is_before else options.parser
        wrong.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


_Commands = argparse._SubParsersAction


def _add_run(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run a program with gevent and the patch switched on",
        usage=_RUN_USAGE,
        description=_RUN_TEXT,
        epilog=_RUN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    parser.add_argument(
        "--no-monkey",
        dest="monkey",
        action="store_false",
        help="leave the standard library as it is: the program patches it, or does without",
    )
    parser.add_argument("-m", metavar="MODULE", help="run a module, as python -m does")
    parser.add_argument("-c", metavar="TEXT", help="run a text, as python -c does")


def _add_doctor(commands: _Commands[argparse.ArgumentParser]) -> None:
    from kazoo_gevent_patch.commands.doctor.arguments import add_arguments

    parser = commands.add_parser(
        "doctor",
        help="tell whether everything is in order here",
        description=_DOCTOR_TEXT,
        allow_abbrev=False,
    )
    parser.set_defaults(do=_doctor, parser=parser)
    add_arguments(parser)


def _add_inspect(commands: _Commands[argparse.ArgumentParser]) -> None:
    from kazoo_gevent_patch.commands import inspect

    parser = commands.add_parser(
        "inspect",
        help="print what the clients of a running program do",
        description=_INSPECT_TEXT,
        allow_abbrev=False,
    )
    parser.set_defaults(do=inspect.inspect, parser=parser)
    inspect.add_arguments(parser)
