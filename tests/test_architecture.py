"""The rules of the house, read from the source: imports go one way, modules stay small, public names are documented."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("reid", "spaces", "results", "search")
GROUND = {"reid.errors", "reid.files"}  # docs/decisions/0001-ground-floor.md
MAY_IMPORT = {"reid": {"reid"}, "spaces": {"spaces"}, "results": {"results"}, "search": set(ROOMS)}
OWNERS = {
    "ray": ("search/runner/",),
    "optuna": ("search/sampler.py", "spaces/distributions.py"),
    "onnxruntime": ("reid/runtime/", "reid/quantize/"),
    "openvino": ("reid/runtime/",),
    "zipfile": ("reid/data/archive.py",),
    "tarfile": ("reid/data/archive.py",),
    "nni": ("reid/prune/nni.py",),
    "pickle": ("reid/export/structure.py",),  # which only writes
}
MAX_LINES = 400

SOURCES = sorted(
    path for room in ROOMS for path in (ROOT / room).rglob("*.py") if "templates" not in path.parts
)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """Every absolute module name that a file imports, submodules of ours resolved."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_sources_are_found() -> None:
    assert len(SOURCES) > 40


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    wrong = [
        name
        for name in imports(path)
        if (top := name.split(".")[0]) in ROOMS and top not in MAY_IMPORT[room] and name not in GROUND
    ]
    assert not wrong, f"{relative(path)} must not import {wrong}"


def test_ground_floor_needs_only_the_standard_library() -> None:
    for name in GROUND:
        for imported in imports(MODULES[name]):
            assert imported in GROUND or imported.split(".")[0] in sys.stdlib_module_names, imported
    assert not list(imports(ROOT / "reid/__init__.py"))


@pytest.mark.parametrize(("package", "owners"), OWNERS.items(), ids=OWNERS)
def test_one_place_imports(package: str, owners: tuple[str, ...]) -> None:
    users = {relative(path) for path in SOURCES if package in {name.split(".")[0] for name in imports(path)}}
    assert all(user.startswith(owners) if owners else False for user in users), users


def test_only_the_writer_opens_files_for_writing() -> None:
    """`write_text`, `write_bytes` and `open(…, "w")` stand in reid/files.py alone."""
    offenders = []
    for path in SOURCES:
        if relative(path) == "reid/files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _writes(node):
                offenders.append(f"{relative(path)}:{node.lineno}")
    assert not offenders


def _writes(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("write_text", "write_bytes"):
        return True
    modes = [
        a.value
        for a in (*call.args, *(k.value for k in call.keywords if k.arg == "mode"))
        if isinstance(a, ast.Constant)
    ]
    return name == "open" and any(
        isinstance(m, str) and m in ("w", "wb", "x", "xb", "w+", "wb+") for m in modes
    )


def test_no_import_cycle() -> None:
    graph = {name: {i for i in imports(path) if i in MODULES and i != name} for name, path in MODULES.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join((*trail[trail.index(name) :], name))}"
        if name not in done:
            for imported in graph[name]:
                visit(imported, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_stay_small_and_documented(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_LINES
    tree = ast.parse(text)
    assert ast.get_docstring(tree) or not tree.body, f"{relative(path)} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{relative(path)}: {node.name} has no docstring"


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"], ids=relative)
def test_public_names_are_exported(path: Path) -> None:
    tree = ast.parse(path.read_text())
    exported = next(
        (
            {ast.literal_eval(item) for item in node.value.elts}
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.value, ast.List)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ),
        None,
    )
    assert exported is not None, f"{relative(path)} has no __all__"
    public = {
        n.name
        for n in tree.body
        if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")
    }
    assert public <= exported, f"{relative(path)}: {public - exported} not in __all__"


def test_results_opens_without_torch_ray_optuna() -> None:
    code = (
        "import sys, results\n"
        "loaded = {'torch', 'ray', 'optuna', 'onnxruntime'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
