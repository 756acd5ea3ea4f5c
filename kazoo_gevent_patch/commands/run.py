"""Running a program as ``python`` would, with the patch switched on before.

``runpy.run_path`` and ``run_module``, which ``python -m gevent.monkey`` uses, differ from the
interpreter: their ``__main__`` is gone when the program's exit handlers run (or is the
caller's, and then nothing of the program can be pickled), ``sys.path[0]`` is not the
program's, and the traceback begins with their frames. So this does the interpreter's steps.
"""

from __future__ import annotations

import atexit
import builtins
import linecache
import os
import pkgutil
import runpy
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType
from typing import Any, Final, NoReturn

from kazoo_gevent_patch import patch_all
from kazoo_gevent_patch.commands import scripts
from kazoo_gevent_patch.errors import CannotPatchError

# python -P, since 3.11; python -I means the same, and does so in 3.10 too.
_SAFE_PATH: Final = bool(getattr(sys.flags, "safe_path", sys.flags.isolated))

# What the interpreter itself calls for -m, and for a directory or a zip file.
_run_module_as_main: Final[Callable[..., object]] = getattr(runpy, "_run_module_as_main")  # noqa: B009


def run(program: Sequence[str], *, monkey: bool) -> None:
    """Run a program in this process; return when it ends, or raise what it raises.

    For good, ``__main__``, ``sys.argv`` and ``sys.path[0]`` become the program's.

    :param program: what would follow ``python``, and the program's arguments; in place of a
        script also the name of a command that is installed in this environment.
    :param monkey: call ``gevent.monkey.patch_all()`` before.
    :raises SystemExit: the program raised it; or there is no such program, or kazoo cannot be
        patched here, and a line on standard error has said so.
    """
    prepare = _preparation(program)
    _switch_on(monkey)
    # The interpreter uses the dictionary of the old module until it ends, and holds no reference.
    # Exit handlers live that long, and the program cannot drop one by accident.
    atexit.register(id, sys.modules["__main__"])
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main).update(__annotations__={}, __builtins__=builtins)
    try:
        prepare(main)()
    except SystemExit:
        raise
    except BaseException as error:
        _leave_out_our_frames(error)
        raise


def _switch_on(monkey: bool) -> None:
    if monkey:
        import gevent.monkey

        gevent.monkey.patch_all()
    try:
        patch_all()
    except CannotPatchError as error:
        _refuse(str(error))


def _refuse(reason: str) -> NoReturn:
    print(f"kazoo-gevent-patch run: {reason}", file=sys.stderr)
    raise SystemExit(2)


_Preparation = Callable[[ModuleType], Callable[[], object]]


def _preparation(program: Sequence[str]) -> _Preparation:
    """Return the function that makes ``__main__`` the program's, and returns what starts it."""
    first, *arguments = program
    if first == "-m":
        return partial(_module, arguments)
    if first == "-c":
        return partial(_text, arguments)
    path = os.path.join(os.getcwd(), first)
    if first == "-":
        prepare: _Preparation = _standard_input
    elif not _is_program(path) and (found := _installed(first)):
        first, prepare = found, partial(_script, found, _read(found))
    elif pkgutil.get_importer(path) is not None:
        prepare = partial(_directory, path)
    else:
        prepare = partial(_script, path, _read(path))
    sys.argv[:] = [first, *arguments]
    return prepare


def _is_program(path: str) -> bool:
    importer = pkgutil.get_importer(path)  # of a directory or a zip file
    return os.path.exists(path) if importer is None else importer.find_spec("__main__") is not None


def _installed(name: str) -> str | None:
    if os.sep in name:
        return None
    try:
        return scripts.find(name)
    except scripts.NotForUsError as error:
        _refuse(str(error))


def _read(path: str) -> bytes:
    try:
        return SourceFileLoader("__main__", path).get_data(path)
    except OSError as error:
        _refuse(
            f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}, "
            f"and no installed command is called {os.path.basename(path)}"
        )


def _module(program: Sequence[str], main: ModuleType) -> Callable[[], object]:
    name, *arguments = program
    sys.argv[:] = ["-m", *arguments]
    _set_first_path(os.getcwd())
    return partial(_run_module_as_main, name)


def _text(program: Sequence[str], main: ModuleType) -> Callable[[], object]:
    text, *arguments = program
    sys.argv[:] = ["-c", *arguments]
    vars(main).update(__loader__=BuiltinImporter)
    _set_first_path("")
    if sys.version_info >= (3, 14):
        text = textwrap.dedent(text)
    if sys.version_info >= (3, 13):  # python shows the lines of the text in tracebacks
        linecache.cache["<string>"] = (len(text), None, text.splitlines(keepends=True), "<string>")
    return _execution(_compile(f"{text}\n".encode(), "<string>"), main)


def _directory(path: str, main: ModuleType) -> Callable[[], object]:
    if _SAFE_PATH:
        sys.path.insert(0, path)
    else:
        sys.path[0] = path
    return partial(_run_module_as_main, "__main__", alter_argv=False)


def _script(path: str, data: bytes, main: ModuleType) -> Callable[[], object]:
    is_compiled = path.endswith(".pyc")
    loader = (SourcelessFileLoader if is_compiled else SourceFileLoader)("__main__", path)
    vars(main).update(__file__=path, __cached__=None, __loader__=loader)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    return _execution(loader.get_code("__main__") if is_compiled else _compile(data, path), main)


def _standard_input(main: ModuleType) -> Callable[[], object]:
    vars(main).update(__file__="<stdin>", __cached__=None, __loader__=BuiltinImporter)
    _set_first_path("")
    return _execution(_compile(sys.stdin.buffer.read(), "<stdin>"), main)


def _compile(source: bytes, path: str) -> CodeType:
    before, null, _ = source.partition(b"\0")
    if null:  # compile() does not say where, and is a ValueError on CPython 3.10
        line = before.count(b"\n") + 1
        raise SyntaxError("source code cannot contain null bytes", (path, line, None, ""))
    return compile(source, path, "exec", dont_inherit=True)


def _execution(code: CodeType | None, main: ModuleType) -> Callable[[], object]:
    if code is None:
        raise ImportError(f"there is no code in {main.__file__!r}")
    return partial(exec, code, vars(main))


def _set_first_path(path: str) -> None:
    if not _SAFE_PATH:
        sys.path[0] = path


def _leave_out_our_frames(error: BaseException) -> None:
    """Have the traceback that Python is about to print begin where the program's does.

    Only now that the program has ended is the hook replaced: the program sees its own.
    """
    hook = sys.excepthook
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next

    def excepthook(kind: type[BaseException], error: BaseException, _: Any) -> None:
        sys.excepthook = hook
        sys.last_traceback = error.__traceback__ = traceback
        hook(kind, error, traceback)

    sys.excepthook = excepthook
