"""Imports go one way, and the heavy libraries come only where they are used."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path for room in ("elm_jax", "data_prep", "configs") for path in (ROOT / room).rglob("*.py")
)
HEAVY = ("tensorflow", "torch", "mne")


def imports(path):
    """(module, whether when the file is imported) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield name, id(node) not in inside


# Copied into exports as they are: they import PyTorch where they begin, and nothing here imports
# them but tests.
STAND_ALONE = ROOT / "elm_jax" / "convert" / "standalone"


def under(path, *rooms):
    relative = path.relative_to(ROOT).as_posix()
    return any(relative == room or relative.startswith(room + "/") for room in rooms)


def importers(*modules):
    """Files that import one of the modules, or anything below it."""
    return [
        (path, name, early)
        for path in SOURCES
        for name, early in imports(path)
        if any(name == m or name.startswith(m + ".") for m in modules)
    ]


def test_importing_the_package_is_quick_and_pulls_in_nothing_heavy():
    code = (
        "import sys, time, json; began = time.perf_counter(); import elm_jax;"
        "seconds = time.perf_counter() - began;"
        f"print(json.dumps([seconds, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    seconds, heavy = json.loads(done.stdout)
    assert heavy == [] and seconds < 2


@pytest.mark.parametrize(
    ("module", "rooms"),
    [
        ("torch", ("elm_jax/convert", "data_prep/corpora/torch_tensors.py")),
        ("mne", ("elm_jax/signals", "data_prep")),
        # main hides accelerators from it, before anything else uses it; doctor says its version
        ("tensorflow", ("elm_jax/data", "data_prep", "elm_jax/main.py", "elm_jax/doctor.py")),
        ("tensorflow_datasets", ("elm_jax/data", "data_prep")),
    ],
)
def test_heavy_libraries_are_imported_in_their_rooms_inside_functions(module, rooms):
    found = importers(module)
    early = [path for path, _, early in found if early and path.parent != STAND_ALONE]
    assert [str(path) for path in early] == []
    assert [str(path) for path, _, _ in found if not under(path, *rooms)] == []


def test_files_of_exports_import_nothing_of_this_project_and_nothing_here_imports_them():
    assert importers("elm_jax.convert.standalone") == []
    for path in STAND_ALONE.glob("*.py"):
        assert not [n for n, _ in imports(path) if n.split(".")[0] in ("elm_jax", "jax", "flax")]


MODELS = ("elm_jax.models", "elm_jax.objectives", "elm_jax.losses", "elm_jax.convert")
BUILD = tuple(f"elm_jax.{name}" for name in ("build", "batches", "encoders", "networks", "settle"))
LOOP = (*BUILD, "elm_jax.train", "elm_jax.evaluate", "elm_jax.main", "elm_jax.run_dir")


@pytest.mark.parametrize(
    ("rooms", "never"),
    [
        (("elm_jax/data", "elm_jax/signals", "data_prep"), (*MODELS, *LOOP)),
        (("elm_jax/data", "elm_jax/signals"), ("data_prep", "configs")),
        (("elm_jax/models", "elm_jax/losses"), ("elm_jax.objectives", "elm_jax.data", *LOOP)),
        (("elm_jax/objectives",), LOOP),
        (("elm_jax/evals",), (*MODELS, *LOOP)),
        (
            tuple(name.replace(".", "/") + ".py" for name in BUILD),
            ("elm_jax.train", "elm_jax.evaluate", "elm_jax.main"),
        ),
    ],
)
def test_imports_go_one_way(rooms, never):
    back = [f"{p}: {name}" for p, name, _ in importers(*never) if under(p, *rooms)]
    assert back == []


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def early_imports(name):
    """What is imported as soon as a module is."""
    return {m for m, early in imports(MODULES[name]) if early} - {name}


def test_a_finished_model_loads_without_the_evals_and_their_libraries():
    found, left = set(), ["elm_jax.pretrained", "elm_jax.braindecode"]
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += early_imports(name) if name in MODULES else []
    heavy = ("sklearn", "matplotlib", "elm_jax.build", "elm_jax.train")
    assert sorted(m for m in found if m.startswith(heavy)) == []


def test_no_import_circles():
    graph = {name: early_imports(name) & set(MODULES) for name in MODULES}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for below in sorted(graph[name]):
                visit(below)
            path.pop()
            done.add(name)

    for name in graph:
        visit(name)
