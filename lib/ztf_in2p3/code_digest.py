"""Digest of a compiled function together with everything that its code depends on."""

from __future__ import annotations

import enum
import hashlib
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core.extending import _Intrinsic
from numba.core.registry import CPUDispatcher
from numba.core.types import Type

_VERSIONED = {"numba", "numpy", "llvmlite", "builtins", *sys.stdlib_module_names}
"""Packages that change with their versions only, and these are part of the cache's key."""
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), np.generic, np.dtype)


def digest_of_code(function: Any) -> str:
    """Hexadecimal SHA-256 of the code of a compiled function, of all functions it reaches and of their constants.

    Raises
    ------
    TypeError
        The function refers to a value of which nobody can say when it changes, such as a module of this package.
    """
    content = hashlib.sha256()
    for part in _spell(function, set()):
        content.update(part.encode() + b"\0")
    return content.hexdigest()


def _spell(value: Any, known: set[int]) -> Iterator[str]:
    """Text of a value, such that different values have different texts."""
    if isinstance(value, CPUDispatcher):
        yield from _spell(tuple(sorted(value.targetoptions.items())), known)
        yield from _spell_function(value.py_func, known)
    elif isinstance(value, _Intrinsic):
        yield from _spell_function(value._defn, known)
    elif isinstance(value, FunctionType):
        yield from _spell_function(value, known)
    elif isinstance(value, CodeType):
        yield from _spell_code(value, None, known)
    elif isinstance(value, tuple | frozenset | set):
        parts = ["\0".join(_spell(part, known)) for part in value]
        yield f"{type(value).__name__} of {len(parts)}"
        yield from parts if isinstance(value, tuple) else sorted(parts)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.str} {value.shape} {value.strides} {value.tobytes().hex()}"
    elif isinstance(value, enum.EnumMeta):
        yield repr([(name, value[name].value) for name in value.__members__])
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__qualname__} {value!r}"
    elif isinstance(value, Type | ir.Type):
        yield f"{type(value).__qualname__} {value}"
    else:
        yield _name_elsewhere(value)


def _spell_function(function: Any, known: set[int]) -> Iterator[str]:
    yield f"{function.__module__}.{function.__qualname__}"
    if id(function) in known or _is_versioned(function.__module__):
        return
    known.add(id(function))
    yield from _spell_code(function.__code__, function.__doc__, known)
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    yield from _spell((function.__defaults__, tuple(sorted((function.__kwdefaults__ or {}).items())), cells), known)
    for name in sorted(_names(function.__code__)):
        if name in function.__globals__:  # else it is one of Python's own
            yield name
            yield from _spell(function.__globals__[name], known)


def _spell_code(code: CodeType, doc: str | None, known: set[int]) -> Iterator[str]:
    constants = code.co_consts[1:] if code.co_consts[:1] == (doc,) else code.co_consts  # the docstring comes first
    yield code.co_code.hex()
    yield repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags))
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_exceptiontable))
    yield from _spell(constants, known)


def _names(code: CodeType) -> set[str]:
    """Names of globals, and of attributes: where a global has that name too it is a dependence too many, no harm."""
    return set(code.co_names).union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _name_elsewhere(value: Any) -> str:
    """Name of a module, class or function of a package whose version is part of the key."""
    module = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if not isinstance(value, np.ufunc) and not _is_versioned(module):
        raise TypeError(
            f"compiled code refers to {value!r}, and nobody can say when that changes; "
            "give it functions, numbers, arrays or enumerations by their own names"
        )
    return f"{module}.{getattr(value, '__qualname__', getattr(value, '__name__', value))}"


def _is_versioned(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in _VERSIONED
