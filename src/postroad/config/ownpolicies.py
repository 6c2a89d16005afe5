"""Policies that the operator wrote: found in the folder `policies_path`, or in an installed package.

A file in the folder is read anew each time, so that a reload takes what changed; so are files there that it imports.
What is installed is imported once, as always in Python. Importing a module runs it: whoever can write to the folder is
the server, as whoever can write to the configuration is.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postroad.model.errors import BindError

_MARK: Final = "__postroad_policy__"  # on modules that come from such a folder


def find(use: str, folder: Path) -> object:
    """The function that "module:function" names; BindError says why there is none."""
    module_name, _, function = use.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), function)):
        raise BindError('is no "module:function"')
    file = _file_of(module_name, folder)
    with _importing(folder):
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
                where = f"there is neither {folder / module_name.replace('.', '/')}.py nor an installed package"
                raise BindError(where) from None
            raise BindError(f"importing it fails: {error}") from None
        except Exception as error:
            raise BindError(f"importing it fails: {_told(error, folder)}") from error
    if file is not None and not _is_in(module, folder):
        raise BindError(f"{file} has the name of another module of Python; give it another one")
    found: object = getattr(module, function, None)
    if found is None:
        raise BindError(f"{getattr(module, '__file__', module_name)} has no {function}")
    return found


def _file_of(module_name: str, folder: Path) -> Path | None:
    whole = folder.joinpath(*module_name.split("."))
    for file in (whole.with_suffix(".py"), whole / "__init__.py"):
        if file.is_file():
            return file
    return None


@contextmanager
def _importing(folder: Path) -> Iterator[None]:
    """Modules in `folder` are found and imported anew, whatever came from there or from another such folder before."""
    for name, module in tuple(sys.modules.items()):
        if hasattr(module, _MARK):
            del sys.modules[name]
    importlib.invalidate_caches()
    text, writes_not = str(folder), sys.dont_write_bytecode
    sys.path.insert(0, text)
    sys.dont_write_bytecode = True  # what lies there might be of a file that has changed within its second
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes_not
        sys.path.remove(text)
        for module in tuple(sys.modules.values()):
            if _is_in(module, folder):
                setattr(module, _MARK, True)


def _is_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and Path(file).is_relative_to(folder)


def _told(error: Exception, folder: Path) -> str:
    """The error and the line of the operator's own file it comes from."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if Path(file).is_relative_to(folder):
            line = f" ({file}:{trace.tb_lineno})"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        line = f" ({error.filename}:{error.lineno})"
        return f"{error.msg}{line}"
    return f"{type(error).__name__}: {error}{line}"
