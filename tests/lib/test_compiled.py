"""Compiled code is that of the sources, whatever is on disk; and what this relies on of numba."""

import ast
import importlib
import os
import pkgutil
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher

import ztf_in2p3
from ztf_in2p3 import compiled as compilation
from ztf_in2p3.code_digest import digest_of_code
from ztf_in2p3.compiled import compiled

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "lib" / "ztf_in2p3"
ALLOWED = {"ztf_in2p3.compiled", "ztf_in2p3.code_digest"}
HARMLESS = {"types", "intrinsic"}
"""Names of numba that compile nothing by themselves; an intrinsic becomes part of the function that calls it."""

CALLER = """
from ztf_in2p3.callee import OFFSET, twice
from ztf_in2p3.compiled import compiled

@compiled
def answer(x):
    return twice(x) + OFFSET
"""
CALLEE = """
from ztf_in2p3.compiled import compiled

OFFSET = 1.0

@compiled
def twice(x):
    return 2 * x
"""
ASK = "from ztf_in2p3.caller import answer as a; print(a(10.0), sum(a.stats.cache_hits.values()), a.stats.cache_path)"


def ask(package: Path, expression: str = ASK, **environment: str) -> list[str]:
    """Words that a process prints which imports the package from this folder."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(package.parent)} | environment
    run = subprocess.run([sys.executable, "-c", expression], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


@pytest.fixture
def package(tmp_path):
    """A package of the library's name with its cache, and two modules of which one calls the other."""
    folder = tmp_path / "lib" / "ztf_in2p3"
    folder.mkdir(parents=True)
    for name in ("compiled.py", "code_digest.py", "private_folder.py"):
        shutil.copy(LIBRARY / name, folder)
    for name, text in {"__init__": "", "caller": CALLER, "callee": CALLEE}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_change_in_another_module_reaches_the_caller(package, tmp_path):
    home = {"HOME": str(tmp_path / "home")}
    assert ask(package, **home)[:2] == ["21.0", "0"]
    assert ask(package, **home)[:2] == ["21.0", "1"]  # numba asks our cache, and finds there what it compiled

    callee = package / "callee.py"
    stamp = callee.stat()
    callee.write_text(CALLEE.replace("2 * x", "3 * x"))
    os.utime(callee, (stamp.st_atime, stamp.st_mtime))  # times of files tell nothing: archives and git set them
    for bytecode in (package / "__pycache__").glob("*.pyc"):
        bytecode.unlink()

    assert ask(package, **home)[:2] == ["31.0", "0"]
    assert len(list((package / "__pycache__" / "compiled").rglob("*.nbc"))) == 2, "the code of before is not kept"


def _defined(caller: str = CALLER, callee: str = CALLEE) -> Any:
    """The caller of such modules, without files."""
    names: dict[str, Any] = {"__name__": "anywhere"}
    exec(callee, names)
    exec(caller.replace("from ztf_in2p3.callee import OFFSET, twice", ""), names)
    return names["answer"]


@pytest.mark.parametrize(
    "changed",
    [
        {"callee": CALLEE.replace("2 * x", "3 * x")},
        {"callee": CALLEE.replace("OFFSET = 1.0", "OFFSET = 5.0")},
        {"callee": CALLEE.replace("OFFSET = 1.0", "OFFSET = 1")},
        {"callee": CALLEE.replace("@compiled", '@compiled(fastmath={"contract"})')},
        {"caller": CALLER.replace("@compiled", '@compiled(fastmath={"contract"})')},
        {"caller": CALLER.replace("(x)", "(x, y=0.0)", 1)},
        {"caller": CALLER.replace("twice(x) + OFFSET", "twice(x) - OFFSET")},
    ],
    ids=["code", "constant", "type of a constant", "option of the callee", "option", "default", "operation"],
)
def test_the_digest_tells_different_code_apart(changed):
    assert digest_of_code(_defined(**changed)) != digest_of_code(_defined())


def test_a_docstring_is_no_code():
    described = CALLER.replace("(x):", '(x):\n    """A docstring."""')
    assert digest_of_code(_defined(described)) == digest_of_code(_defined())


def _functions() -> dict[str, CPUDispatcher]:
    modules = [
        importlib.import_module(module.name) for module in pkgutil.walk_packages(ztf_in2p3.__path__, "ztf_in2p3.")
    ]
    values = [value for module in modules for value in vars(module).values() if isinstance(value, CPUDispatcher)]
    return {f"{value.py_func.__module__}.{value.py_func.__qualname__}": value for value in values}


def test_every_compiled_function_of_the_library_has_the_cache_and_a_digest_of_its_own():
    functions = _functions()
    assert len(functions) > 70
    assert {type(function._cache).__name__ for function in functions.values()} == {"CodeCache"}
    assert len({digest_of_code(function) for function in functions.values()}) == len(functions)


def test_the_digest_of_every_function_knows_those_it_calls():
    functions = _functions()
    before = {name: digest_of_code(function) for name, function in functions.items()}
    calls = {
        (name, callee)
        for name, function in functions.items()
        for callee, other in functions.items()
        if any(function.py_func.__globals__.get(word) is other for word in function.py_func.__code__.co_names)
    }
    elsewhere = {pair for pair in calls if len({function.rpartition(".")[0] for function in pair}) == 2}
    assert ("ztf_in2p3.fit.rejection._reject", "ztf_in2p3.fit.kernels.modelled_row") in elsewhere

    for callee in {callee for _, callee in calls}:
        function = functions[callee].py_func
        code = function.__code__
        try:
            function.__code__ = code.replace(co_consts=(*code.co_consts, 17.0))
            for name, of in calls:
                if of == callee:
                    assert digest_of_code(functions[name]) != before[name], f"{name} calls {callee}"
        finally:
            function.__code__ = code


def test_no_compiled_function_escapes_the_decorator():
    escaped = []
    for path in [*(ROOT / "lib").rglob("*.py"), *(ROOT / "tasks").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT / "lib" if "lib" in path.parts else ROOT).with_suffix("").parts)
        if module in ALLOWED:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.partition(".")[0] == "numba"]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "numba":
                names = [alias.name for alias in node.names if alias.name not in HARMLESS]
            escaped += [f"{path.relative_to(ROOT)}: {name}" for name in names]
    assert escaped == [], "compile with ztf_in2p3.compiled.compiled, whose cache knows what a function calls"


def test_what_cannot_be_followed_is_refused():
    @compiled
    def through_a_module(x):
        return compilation.scale * x

    with pytest.raises(TypeError, match="nobody can say when that changes"):
        digest_of_code(through_a_module)


def test_equal_numbers_of_different_types_are_different_code():
    def digest(constant):
        names = {"__name__": "anywhere", "scale": constant}
        exec("def scaled(): return scale", names)
        return digest_of_code(names["scaled"])

    constants = [1, 1.0, True, np.float32(1), np.float64(1), (1,), (1.0,), np.ones(1), np.ones(1, np.float32), "1"]
    assert len({digest(constant) for constant in constants}) == len(constants)


# --- folders


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of its own: package, home and temporary folder."""
    places = SimpleNamespace(package=tmp_path / "package", home=tmp_path / "home", temporary=tmp_path / "temporary")
    for folder in vars(places).values():
        folder.mkdir()
    monkeypatch.setattr(compilation, "_PACKAGE", places.package)
    monkeypatch.setattr(tempfile, "tempdir", str(places.temporary))
    monkeypatch.setenv("HOME", str(places.home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return places


def read_only(folder: Path) -> None:
    """Make it impossible, also for root, to make folders in it."""
    folder.rmdir()
    folder.write_text("")


def hits() -> int:
    """How often a function that is declared anew and called finds its code in the cache."""
    answer = _defined()
    assert answer(10.0) == 21.0
    return sum(answer.stats.cache_hits.values())


def kept(folder: Path) -> list[Path]:
    return list(folder.rglob("anywhere.answer-*.nbc"))


def test_the_package_itself_keeps_its_compiled_code(machine):
    assert (hits(), hits()) == (0, 1)
    assert len(kept(machine.package / "__pycache__")) == 1
    assert kept(machine.home) == kept(machine.temporary) == []


def test_the_folder_of_the_user_serves_where_the_package_is_read_only(machine):
    read_only(machine.package)
    assert (hits(), hits()) == (0, 1)
    assert len(kept(machine.home)) == 1


def test_code_that_came_with_a_read_only_package_is_used(machine, monkeypatch):
    hits()
    monkeypatch.setattr(compilation.CodeCache, "_write", lambda *_: pytest.fail("compiled although it is at hand"))
    assert hits() == 1


@pytest.mark.parametrize("home", ["/proc/nowhere", "nowhere"])
def test_without_a_home_the_temporary_folder_serves(machine, monkeypatch, home, tmp_path):
    read_only(machine.package)
    monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path.replace("~", home))
    assert (hits(), hits()) == (0, 1)
    (private,) = machine.temporary.iterdir()
    assert len(kept(private)) == 1
    assert stat.S_IMODE(private.stat().st_mode) == 0o700, "others could put code there that we would run"


def test_a_temporary_folder_that_others_can_write_to_is_not_trusted(machine):
    read_only(machine.package)
    read_only(machine.home)
    private = machine.temporary / f"ztf_in2p3-{os.getuid()}"
    private.mkdir()
    private.chmod(0o777)
    assert (hits(), hits()) == (0, 0), "nothing is kept, and it works"
    assert list(private.iterdir()) == []


def test_a_broken_file_of_the_cache_is_compiled_again(machine):
    hits()
    (path,) = kept(machine.package)
    path.write_bytes(path.read_bytes()[:-100])
    assert (hits(), hits()) == (0, 1)


def test_code_of_older_versions_is_removed(machine):
    folder = next(compilation.folders())
    older = folder.with_name(folder.name.replace("numba", "numba0."))
    foreign = folder.with_name("cpython-399." + folder.name)
    for path in (older, foreign):
        path.mkdir(parents=True)
    hits()
    assert not older.exists()
    assert foreign.exists(), "another Python has its own"


def test_many_processes_at_once_leave_one_whole_file_for_each_kind_of_argument(package, tmp_path):
    values = ["10.0", "10", "True", "10j"]
    all_at_once = f"""
import os
from ztf_in2p3.caller import answer
started = []
for value in {values * 2}:
    started.append(os.fork())
    if not started[-1]:
        print(value, answer(eval(value)), flush=True)
        os._exit(0)
assert [os.waitpid(process, 0)[1] for process in started] == [0] * 8
print(*(answer(eval(value)) for value in {values}), sum(answer.stats.cache_hits.values()))
"""
    lines = ask(package, all_at_once, HOME=str(tmp_path))
    assert lines[-5:] == ["21.0", "21.0", "3.0", "(1+20j)", "4"]
    assert len(list((package / "__pycache__").rglob("ztf_in2p3.caller*.nbc"))) == len(values)
    assert list((package / "__pycache__").rglob("*.part")) == []
