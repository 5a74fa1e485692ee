"""Rules of plain words that no linter knows: names of local things, docstrings, layout left to the formatter."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for top in ("lib/ztf_in2p3", "tasks", "flows") for path in (ROOT / top).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

PRONOUN_LIKE = {
    *("one", "some", "each", "other", "others", "there", "rest", "told", "said", "asked", "found", "seen"),
    *("made", "own", "shown", "here"),
}
"""Names that say nothing of what they hold."""
MAX_PRONOUN_LIKE = 3.0
"""Per 100 functions: ``other`` is Python's own name in operators, and the projects we learn from have 1 to 2."""
PREPOSITIONS = {
    *("Of", "In", "For", "With", "At", "By", "From", "To", "On", "As", "Among", "Over", "Under", "Through", "Within"),
    *("Without", "Beyond", "Below", "Between", "Beside", "During", "Where", "Like", "Into"),
}
"""First words of docstrings whose noun stands above them."""
MAX_LAYOUT_EXEMPTIONS = 10
"""Places where the formatter is switched off."""

ARRAY = re.compile(r"\b(NDArray|ArrayLike|ndarray|Floats|Mask)\b")
"""Types of arrays, in an annotation."""
_AXIS = r"(?:[a-z]\w*|[A-Z_]+|\d+|\.\.\.)(?: [-+*/] \w+| \w+)?"
SHAPE = re.compile(rf"\((?:{_AXIS},\s*)+(?:{_AXIS})?\)|\(\.\.\.\)|\b[Ss]hapes?\b")
"""Axes, ``(row, column)`` or ``(star,)``, or words about the shape."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def local_names(function: Function) -> set[str]:
    """Parameters, and names that are assigned to."""
    arguments = function.args
    parameters = {argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    stored = (node for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return parameters | {node.id for node in stored}


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text: of modules, classes and functions, and those below an attribute or a constant."""
    for node in ast.walk(tree):
        if not isinstance(node, Function | ast.ClassDef | ast.Module):
            continue
        for before, statement in zip([None, *node.body], node.body, strict=False):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if (
                is_text
                and isinstance(statement.value.value, str)
                and isinstance(before, ast.Assign | ast.AnnAssign | None)
            ):
                yield statement.lineno, statement.value.value


def public(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Classes, functions and methods without an underscore, by their names; overloads are told once."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Function | ast.ClassDef) or child.name.startswith("_"):
            continue
        if any(ast.unparse(decorator) == "overload" for decorator in child.decorator_list):
            continue
        yield f"{prefix}{child.name}", child
        if isinstance(child, ast.ClassDef):
            yield from public(child, f"{prefix}{child.name}.")


def array_arguments(function: Function) -> list[str]:
    """Arguments that are arrays, or collections of them; not those that are functions of arrays."""
    arguments = function.args
    annotated = {
        argument.arg: ast.unparse(argument.annotation)
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        if argument.annotation is not None
    }
    return [name for name, text in annotated.items() if ARRAY.search(text) and "Callable" not in text]


def test_local_names_say_what_they_hold():
    named = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {name}"
        for path, tree in TREES.items()
        for function in functions(tree)
        for name in sorted(local_names(function) & PRONOUN_LIKE)
    ]
    per_hundred = 100 * len(named) / sum(len(functions(tree)) for tree in TREES.values())
    assert per_hundred < MAX_PRONOUN_LIKE, "\n".join(named)


def test_a_docstring_is_complete_without_the_name_above_it():
    dangling = [
        f"{path.relative_to(ROOT)}:{line}: {text.strip().splitlines()[0]}"
        for path, tree in TREES.items()
        for line, text in docstrings(tree)
        if text.strip().partition(" ")[0] in PREPOSITIONS
    ]
    assert dangling == []


def test_everything_public_is_documented():
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path, tree in TREES.items()
        for name, node in public(tree)
        if not ast.get_docstring(node)
    ]
    silent += [f"{path.relative_to(ROOT)}" for path, tree in TREES.items() if not ast.get_docstring(tree)]
    assert silent == []


def test_public_functions_of_arrays_tell_their_shapes():
    shapeless = [
        f"{path.relative_to(ROOT)}:{node.lineno} {name}({', '.join(array_arguments(node))})"
        for path, tree in TREES.items()
        for name, node in public(tree)
        if isinstance(node, Function) and array_arguments(node) and not SHAPE.search(ast.get_docstring(node) or "")
    ]
    assert shapeless == [], "\n".join(shapeless)


@pytest.mark.parametrize(
    ("text", "is_shape"),
    [
        ("rows : (row, column), ADU", True),
        ("Known stars, (star,).", True),
        ("Pixels, (exposure, pixel + 4).", True),
        ("Any shape, that of the result.", True),
        ("values : (...)", True),
        ("Median absolute deviation (Meeus 1998, chapter 21).", False),
        ("Mean of what is known (degrees).", False),
    ],
)
def test_shapes_are_recognised(text, is_shape):
    assert bool(SHAPE.search(text)) == is_shape


def test_arrays_among_the_arguments_are_recognised():
    code = (
        "def f(a: NDArray, b: dict[int, NDArray[np.float64]], c: Callable[[NDArray], float], d: int, *, e: Floats): ..."
    )
    [function] = functions(ast.parse(code))
    assert array_arguments(function) == ["a", "b", "e"]


def test_the_formatter_lays_the_code_out():
    exempt = [path for path in FILES for line in path.read_text(encoding="utf-8").splitlines() if "# fmt: " in line]
    assert len(exempt) < MAX_LAYOUT_EXEMPTIONS, exempt


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("def f(rows):\n    return [one for one in rows]", {"one"}),
        ("def f(other, *, told=1): ...", {"other", "told"}),
        ("def f(rows):\n    for row in rows:\n        row.made = found(row, asked=1)", set()),
    ],
)
def test_pronoun_like_names_are_recognised(code, names):
    [function] = functions(ast.parse(code))
    assert local_names(function) & PRONOUN_LIKE == names


def test_docstrings_of_every_kind_are_looked_at():
    code = '"""A."""\nX = 1\n"""B."""\nclass C:\n    """C."""\n    y: int\n    """D."""\n'
    code += '    def f(self):\n        """E."""\n'
    assert sorted(text for _, text in docstrings(ast.parse(code))) == ["A.", "B.", "C.", "D.", "E."]
