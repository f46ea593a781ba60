"""The plan of the house, held by its source: floors, circles, sizes, a test for each module, names that stand once."""

from __future__ import annotations

import ast
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import turpentine

SOURCE = Path(turpentine.__file__).parent
TESTS = Path(__file__).parent

FLOORS = (
    {"core"},
    {"concepts"},
    {"stats", "emoji"},
    {"models"},
    {"edits", "attribution", "judges", "tasks"},
    {"erase", "amplify", "explain", "attack", "runs"},
    {"bench"},
    {"audit"},
    {"report"},
    {"studio", "study"},
    {"cli"},
    {"testing", "methods", "bridge", "__main__"},
    {""},  # the package itself, whose version anyone may read
)
"""Rooms from the lowest floor up: each imports itself and what lies below."""

PLUGIN_ROOMS = ("erase", "explain", "attack")
"""Rooms of one file a method or instrument, which do not import each other: what two share is in a private module..."""

SHARED = {
    "erase.common",
    "erase.adversary",  # RECE's search, which is no method
    "erase.examples",
    "explain.finding",
    "explain.cache",
    "explain.instrument",  # the protocol
    "explain.maps_finding",  # of attention and of concepts
    "explain.stops",  # of a tour
    "attack.attacked",
    "attack.budget",
    "attack.controls",
    "attack.harness",
    "attack.search",
    "attack.trial",
    "attack.victim",
}
"""...or in one of these."""

USES_INSTRUMENTS = {"explain.tour", "explain.replication"}
"""They stand above the instruments of their room."""

LONGEST_FUNCTION, LONGEST_OF_99_PERCENT, LONGEST_FILE = 80, 50, 400
NEEDS_TEST = 60
"""Lines above which a module has a test of its name, or is imported by the test that tests it."""

TESTED_IN: Mapping[str, str] = {
    "attack._cce_learner": "attack/test_cce.py",
    "attack._learning": "attack/test_cce.py",
    "attack._pictures": "attack/test_controls.py",
    "attack._plain": "attack/test_controls.py",
    "attack.search": "attack/test_controls.py",
    "attribution.gradient": "attribution/test_attribution.py",
    "attribution.objective": "attribution/test_attribution.py",
    "attribution.scores": "attribution/test_attribution.py",
    "audit.measuring": "audit/test_audit.py",
    "bench.erasure_result": "bench/test_erasure.py",
    "bench.faults": "bench/test_file.py",
    "bench.run_file": "bench/test_erasure.py",
    "bench.spec_checks": "bench/test_file.py",
    "cli.attack_bench": "cli/test_bench.py",
    "cli.attack_output": "cli/test_attack.py",
    "cli.edit_command": "cli/test_erase.py",
    "cli.finding_output": "cli/test_explain.py",
    "cli.leaderboard": "cli/test_bench.py",
    "cli.tour": "cli/test_explain.py",
    "edits.card": "models/test_publishing.py",
    "explain._value_parts": "explain/test_contributions.py",
    "judges.hf_classifier": "judges/test_classifier.py",
    "judges.hub_network": "judges/test_classifier.py",
    "judges.network": "judges/test_clip.py",
    "models.conditioning": "models/test_text.py",
    "models.families.base": "models/families/test_families.py",
    "models.guidance": "edits/test_guidance_change.py",
    "models.loading.folder": "models/loading/test_load.py",
    "models.pretrained": "models/test_publishing.py",
    "models.weight_samples": "models/test_identity.py",
    "report.facts": "report/test_table_page.py",
    "runs.backends.running": "runs/test_backends.py",
    "runs.drawing": "runs/test_worker.py",
    "runs.executor": "runs/test_worker.py",
    "study.tables": "study/test_store.py",
    "testing.contracts.judge": "contract/test_judges.py",
    "testing.contracts.method": "contract/test_contract.py",
    "testing.language_toys": "models/families/test_sana.py",
}
"""Modules that are tested through a room's face, a command, a page or a process, and where."""


def check(rule: str, offenders: set[str]) -> None:
    """Nothing breaks a rule."""
    assert sorted(offenders) == [], f"{rule}: this breaks the rule"


@cache
def modules() -> dict[str, ast.Module]:
    """The source by dotted name below the package; "" is the package itself, "models" that of `models/__init__.py`."""
    trees = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        trees[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return trees


def path_of(module: str) -> Path:
    path = SOURCE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def lines_of(module: str) -> int:
    return len(path_of(module).read_text().splitlines())


def targets(node: ast.Import | ast.ImportFrom, names: Mapping[str, ast.Module]) -> Iterator[str]:
    """The modules of ours that an import names; of a package's attribute, the package."""
    if isinstance(node, ast.Import):
        dotted = [alias.name for alias in node.names]
    else:
        assert node.level == 0, "imports are absolute"
        dotted = [f"{node.module}.{alias.name}" for alias in node.names]
    for each in dotted:
        root, _, below = each.partition(".")
        if root == "turpentine":
            yield below if below in names else below.rpartition(".")[0]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def imports(module: str, *, lazy: bool, typing: bool) -> set[str]:
    """What a module imports. lazy: also inside functions. typing: also what only a type checker reads."""
    names, found, stack = modules(), set(), list(ast.iter_child_nodes(modules()[module]))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= set(targets(node, names))
        elif is_for_types(node) and not typing:
            stack += node.orelse  # type: ignore[attr-defined]
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)
    return found - {module}


def room(module: str) -> str:
    return module.partition(".")[0]


def floor(module: str) -> int:
    return next(height for height, rooms in enumerate(FLOORS) if room(module) in rooms)


def test_an_offender_is_noticed_and_named() -> None:
    check("rule", set())
    with pytest.raises(AssertionError, match="rule: this breaks the rule"):
        check("rule", {"a"})


def test_what_is_excepted_is_there() -> None:
    assert SHARED | USES_INSTRUMENTS | set(TESTED_IN) <= set(modules())


def test_every_room_has_a_floor() -> None:
    assert {room(module) for module in modules()} <= set().union(*FLOORS)


def test_no_import_runs_upwards_or_to_a_room_beside() -> None:
    arrows = {(one, other) for one in modules() for other in imports(one, lazy=True, typing=True) if other}
    check(
        "floors",
        {f"{one} -> {other}" for one, other in arrows if room(one) != room(other) and floor(other) >= floor(one)},
    )


def test_no_method_and_no_instrument_imports_another() -> None:
    def stands_alone(module: str) -> bool:
        inside, _, below = module.partition(".")
        return inside in PLUGIN_ROOMS and bool(below) and not below.startswith("_") and module not in SHARED

    arrows = {
        (one, other)
        for one in modules()
        if stands_alone(one) and one not in USES_INSTRUMENTS
        for other in imports(one, lazy=True, typing=True)
    }
    check("between methods", {f"{one} -> {other}" for one, other in arrows if stands_alone(other)})


def circles(graph: Mapping[str, set[str]]) -> set[str]:
    """The sets of modules that import each other round about (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            parts.append(sorted(stack[at:]))
            del stack[at:]

    for node in graph:
        if node not in index:
            visit(node)
    return {" <-> ".join(part) for part in parts if len(part) > 1}


def test_a_circle_is_noticed() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set()}
    assert circles(graph) == {"a <-> b <-> c"}
    assert circles({"a": {"b"}, "b": set()}) == set()


@pytest.mark.parametrize(("rule", "lazy"), [("circles", False), ("lazy circles", True)])
def test_no_modules_import_each_other_round_about(rule: str, lazy: bool) -> None:
    check(rule, circles({module: imports(module, lazy=lazy, typing=False) for module in modules()}))


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{module}:{node.name}", node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_are_short() -> None:
    lengths = sorted(length(node) for _, node in functions())
    assert lengths[math.ceil(0.99 * len(lengths)) - 1] <= LONGEST_OF_99_PERCENT
    check("long functions", {name for name, node in functions() if length(node) > LONGEST_FUNCTION})


def test_files_are_short() -> None:
    check("long files", {module for module in modules() if lines_of(module) > LONGEST_FILE})


def test_every_function_says_what_it_returns() -> None:
    check("return annotations", {name for name, node in functions() if node.returns is None})


def public(tree: ast.Module | ast.ClassDef, path: str) -> Iterator[tuple[str, ast.AST]]:
    """Public functions, classes, and their public methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{path}:{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{path}:{node.name}")


def is_overload(node: ast.AST) -> bool:
    return any(ast.unparse(each) in ("overload", "typing.overload") for each in getattr(node, "decorator_list", ()))


def test_everything_public_has_a_docstring() -> None:
    nodes = [each for module, tree in modules().items() for each in public(tree, module)]
    missing = {name for name, node in nodes if not ast.get_docstring(node) and not is_overload(node)}  # type: ignore[arg-type]
    check("docstrings", missing | {module for module, tree in modules().items() if not ast.get_docstring(tree)})


@cache
def reached() -> set[str]:
    """Modules that a test imports or names in a text, such as one that it patches."""
    names, found = modules(), set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "level", 0) == 0:
                found |= set(targets(node, names))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = (
                    node.value.removeprefix("turpentine.").split(".") if node.value.startswith("turpentine.") else []
                )
                found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)} & set(names)
    return found


def has_test_of_its_name(module: str) -> bool:
    """tests/ mirrors src/, without the underscores that files begin with."""
    *folders, name = module.split(".")
    plain = [folder.lstrip("_") for folder in folders]
    return any(TESTS.joinpath(*where, f"test_{name.strip('_')}.py").is_file() for where in (folders, plain))


def test_every_module_of_some_size_has_a_test() -> None:
    large = {module for module in modules() if lines_of(module) > NEEDS_TEST}
    without = {module for module in large if module not in reached() and not has_test_of_its_name(module)}
    for module, path in TESTED_IN.items():
        assert (TESTS / path).is_file(), f"{path} is to test {module}"
        assert module in without, f"{module} needs no entry in TESTED_IN"
    check("untested", without - set(TESTED_IN))


def test_no_class_name_is_defined_twice() -> None:
    """Underscores aside."""
    places = defaultdict(list)
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_")].append(module)
    check("class names", {f"{name}: {', '.join(sorted(at))}" for name, at in places.items() if len(at) > 1})


def test_no_file_name_stands_three_times() -> None:
    places = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        if path.stem not in ("__init__", "__main__"):
            places[path.stem].append(path.parent.name)
    check("file names", {f"{name}: {', '.join(sorted(at))}" for name, at in places.items() if len(at) > 2})
