"""How large the tasks may grow before they are a tangle again."""

from pathlib import Path

import grimp

TASKS = Path(__file__).parents[1] / "tasks"
MOST_MODULES, MOST_IMPORTS = 20, 60


def test_the_tasks_are_few_modules_with_few_imports_among_them():
    graph = grimp.build_graph("tasks")
    top = {path.stem for path in TASKS.glob("*.py")} - {"__init__"}
    assert len(top) <= MOST_MODULES

    def package(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    between = {
        (package(module), package(target))
        for module in graph.modules
        for target in graph.find_modules_directly_imported_by(module)
        if package(module) != package(target)
    }
    assert len(between) < MOST_IMPORTS
