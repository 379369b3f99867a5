"""What may import what, and that everything imported is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROOT = {"__init__", "__main__", "errors", "backoff"}  # the modules outside a package
MAX_LINES = 300  # of a module

# Package by package, from top to bottom: what its modules may import of the others, no more and
# no less. A name with a dot is one module.
MAY_IMPORT: dict[str, set[str]] = {
    "__main__": {"commands"},
    "commands": {
        *("service", "reports", "intake", "check", "local", "dry_run"),
        *("observing", "backend", "extraction", "settings", "errors"),
    },
    "local": {"intake.webhook_service", "backend", "settings", "errors"},
    "service": {
        *("intake", "previews", "processing", "queueing"),
        *("observing", "backend", "extraction", "settings", "errors"),
    },
    "reports": {"backend", "drawing", "extraction", "settings", "errors"},
    "previews": {
        *("drawing", "observing", "backend", "extraction", "settings", "errors", "backoff"),
    },
    "intake": {"queueing", "observing", "backend", "settings", "errors", "backoff"},
    "processing": {
        *("queueing", "observing", "backend", "extraction", "settings", "errors", "backoff"),
    },
    "queueing": {"observing", "backend", "errors", "backoff"},
    "check": {"backend", "settings", "errors"},
    "dry_run": {"errors"},
    "observing": {"backend"},
    "backend": {"settings", "errors", "backoff"},
    "drawing": {"extraction", "errors"},
    "extraction": {"errors"},
    "settings": {"errors"},
    "backoff": set(),
    "errors": set(),
}


def _sources(*folders: str) -> dict[str, Path]:
    """Every module of some folders by its name."""
    paths = [path for folder in folders for path in (PROJECT / folder).rglob("*.py")]
    names = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in paths]
    return dict(zip((name.removesuffix(".__init__") for name in names), paths, strict=True))


def _imported(path: Path) -> set[str]:
    """Everything that a source imports, in functions too; `from a import b` is `a.b`."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


WORKER = _sources("worker")
GRAPH = {
    name: {each if each in WORKER else each.rpartition(".")[0] for each in _imported(path)}
    & WORKER.keys()
    for name, path in WORKER.items()
}


def _package(module: str) -> str:
    return module.split(".")[1]


def test_the_root_holds_no_other_module() -> None:
    assert {path.stem for path in (PROJECT / "worker").glob("*.py")} == ROOT


def test_a_package_imports_what_the_table_allows_and_all_of_it() -> None:
    found: dict[str, set[str]] = {package: set() for package in MAY_IMPORT}
    for module in WORKER.keys() - {"worker"}:
        package = _package(module)
        for imported in GRAPH[module]:
            whole, name = _package(imported), imported.removeprefix("worker.")
            if whole != package:
                found[package].add(name if name in MAY_IMPORT[package] else whole)
    assert found == MAY_IMPORT


def test_the_table_reads_from_top_to_bottom() -> None:
    order = list(MAY_IMPORT)
    for place, package in enumerate(order):
        assert {each.partition(".")[0] for each in MAY_IMPORT[package]} <= {*order[place + 1 :]}


def test_no_modules_import_each_other_in_a_circle() -> None:
    TopologicalSorter(GRAPH).prepare()


def test_no_module_is_too_long_to_be_read_at_once() -> None:
    every = _sources("worker", "tests", "benchmarks", "docs")
    lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in every.items()}
    assert {name: number for name, number in lines.items() if number > MAX_LINES} == {}


@pytest.mark.parametrize(
    ("package", "extra"), [("", ()), ("local", ("local",)), ("dry_run", ("dry-run",))]
)
def test_what_the_worker_imports_is_declared(package: str, extra: tuple[str, ...]) -> None:
    """Only packages with an extra of their own may import what the worker does without."""
    apart = {"local", "dry_run"}
    paths = [
        path
        for name, path in WORKER.items()
        if package == next(iter({*name.split(".")[1:2]} & apart), "")
    ]
    assert _distributions(paths) <= _declared(*extra)


def test_what_the_tests_import_is_declared() -> None:
    paths = [*_sources("tests", "benchmarks", "docs").values()]
    assert _distributions(paths) <= _declared("local", "dev")


def _distributions(paths: list[Path]) -> set[str]:
    """What has to be installed for these sources, by its name in the registry."""
    modules = {name.partition(".")[0] for path in paths for name in _imported(path)}
    modules -= {*sys.stdlib_module_names, "worker", "tests", "benchmarks", "docs"}
    installed = packages_distributions()
    return {re.sub("[-_.]+", "-", installed[module][0]).lower() for module in modules}


def _declared(*groups: str) -> set[str]:
    """The names in pyproject.toml, those of some extras and groups included."""
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    named = described["project"]["optional-dependencies"] | described["dependency-groups"]
    required = sum((named[group] for group in groups), described["project"]["dependencies"])
    return {re.split("[=>]", each)[0] for each in required}
