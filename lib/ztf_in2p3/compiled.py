"""The one decorator of compiled functions, and a cache on disk that cannot be stale.

numba's own cache asks whether the file of a function has changed.  A compiled function contains the code of all those
it calls, though, and the constants of their modules: after a change in another file it would go on computing with
what is no longer written anywhere.  Here compiled code is looked up by its content: the bytecode and options of the
function and of everything that it reaches, the values of the constants, the versions of Python, numba, llvmlite
and numpy, and the processor.  What numba needs to know for this is pinned by `tests/lib/test_compiled.py`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import pickle
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import llvmlite
import numba
import numpy as np
from numba.core import compiler, types
from numba.core.caching import _Cache
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from ztf_in2p3.code_digest import digest_of_code
from ztf_in2p3.private_folder import private_folder

_config: Any = numba.config
Function = TypeVar("Function", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """Variants of compilation; the names are numba's."""

    error_model: Literal["numpy", "python"]
    """What a division by zero does: infinity or NaN, or an exception."""
    fastmath: set[str]
    """LLVM's flags for floating point: "contract" fuses products with sums, "reassoc" reorders sums, ..."""
    nogil: bool
    """Whether threads of Python go on meanwhile."""
    boundscheck: bool
    """Whether an index beyond the end of an array is an error."""


@overload
def compiled(function: Function, /) -> Function: ...
@overload
def compiled(function: None = None, /, **options: Unpack[Options]) -> Callable[[Function], Function]: ...
def compiled(function: Any = None, /, **options: Any) -> Any:
    """Compile a function of numbers and arrays at its first call, or take it from the cache.

    Division is numpy's if `error_model` does not say otherwise.

    Examples
    --------
    >>> @compiled(fastmath={"contract"})
    ... def weighted(a, x, y):
    ...     return a * x + y
    >>> weighted(2.0, 3.0, 1.0)
    7.0
    """
    if function is None:
        return functools.partial(_compiled, options=options)
    return _compiled(function, options)


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    dispatcher: Any = numba.njit(**{"error_model": "numpy"} | options)(function)
    if not _config.DISABLE_JIT:
        dispatcher._cache = CodeCache(dispatcher)
    return dispatcher


class CodeCache(_Cache):
    """Compiled code of one function, a file for each combination of argument types and processor.

    A file is whole or absent, and its name tells its content: any number of processes may share the folder.
    """

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self._name = f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}".replace("<locals>.", "")
        self._enabled = True

    @functools.cached_property
    def _digest(self) -> str:
        """Digest of the code, computed late: a function may call one that is defined after it."""
        return digest_of_code(self._dispatcher)[:20]

    @property
    def cache_path(self) -> str:
        """Folder of the cache."""
        return str(next(folders()))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Compiled code for these types of arguments, or None."""
        target_context.refresh()  # as numba's own cache does: without it the code would miss its run time
        key = (sig, target_context.codegen().magic_tuple())
        if not self._enabled or _takes_functions(sig):
            return None
        for folder in folders():
            content = _read(folder / self._file(key))
            if content is not None and content[0] == key:
                return compiler.CompileResult._rebuild(target_context, *content[1])
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code in the first folder that takes it; where none does, every process compiles for itself."""
        cannot = any(not lifted.can_cache for lifted in data.lifted) or data.library.has_dynamic_globals
        if not self._enabled or cannot or _takes_functions(sig):
            return
        key = (sig, data.codegen.magic_tuple())
        content = dumps((key, data._reduce()))
        for folder in folders():
            with contextlib.suppress(OSError):  # a read-only or full disk
                self._write(folder, self._file(key), content)
                return

    def _file(self, key: tuple[Any, ...]) -> str:
        return f"{self._name}-{self._digest}-{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.nbc"

    def _write(self, folder: Path, name: str, content: bytes) -> None:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            for older in folder.parent.glob(f"{_PYTHON}-*"):  # of another numba or numpy
                if older != folder:
                    shutil.rmtree(older, ignore_errors=True)
        part = folder / f"{self._name}-{self._digest}-{uuid.uuid4().hex}.part"
        try:
            part.write_bytes(hashlib.sha256(content).digest() + content)
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)
        for older in folder.glob(f"{self._name}-*"):
            if not older.name.startswith(f"{self._name}-{self._digest}-"):
                older.unlink(missing_ok=True)

    def enable(self) -> None:
        """Use the cache."""
        self._enabled = True

    def disable(self) -> None:
        """Do without the cache."""
        self._enabled = False

    def flush(self) -> None:
        """Forget what is on disk, as `recompile` of a function asks."""
        for folder in folders():
            for path in folder.glob(f"{self._name}-*"):
                with contextlib.suppress(OSError):
                    path.unlink()


def _takes_functions(sig: Any) -> bool:
    """Whether an argument is itself a function, whose code the key would not know."""
    return any(isinstance(kind, types.Callable | types.FunctionType) for kind in getattr(sig, "args", sig))


def _read(path: Path) -> Any:
    """Key and code of a file of the cache; None if it is not there, or not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    checksum, content = content[:32], content[32:]
    return pickle.loads(content) if hashlib.sha256(content).digest() == checksum else None


# --- folders

_PACKAGE = Path(__file__).parent
_PYTHON = f"{sys.implementation.cache_tag}{sys.abiflags}.{sys.version_info.micro}"
_VERSIONS = f"{_PYTHON}-numba{numba.__version__}-llvmlite{llvmlite.__version__}-numpy{np.__version__}"


def folders() -> Iterator[Path]:
    """Folders for compiled code, the best first.

    They are numba's own if it is set (``NUMBA_CACHE_DIR``), else the package's own, the user's cache, and one of the
    machine's temporary folder that nobody else can write to.
    """
    installation = f"{_PACKAGE.name}-{hashlib.sha256(str(_PACKAGE).encode()).hexdigest()[:12]}"
    if _config.CACHE_DIR:
        yield Path(_config.CACHE_DIR).absolute() / installation / _VERSIONS
        return
    yield _PACKAGE / "__pycache__" / "compiled" / _VERSIONS
    user = Path(AppDirs(appname="ztf_in2p3", appauthor=False).user_cache_dir)
    if user.is_absolute():  # else there is no home
        yield user / installation / _VERSIONS
    if private := private_folder(Path(tempfile.gettempdir())):
        yield private / installation / _VERSIONS
