"""What is installed is all that is needed: requirements, packages and their data files."""

import ast
import pathlib
import runpy
import sys
import types
from importlib import metadata

import pytest
from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).resolve().parent.parent
PRODUCT = ("elm_jax", "configs", "data_prep")


@pytest.fixture(scope="module")
def packaging():
    """What setup.py gives to setuptools, which need not be there."""
    found = {}
    stub = types.ModuleType("setuptools")
    stub.setup = lambda **words: found.update(words)
    stub.find_packages = lambda include: include
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "setuptools", stub)
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def names(requirements):
    return {Requirement(r).name.lower().replace("_", "-") for r in requirements}


def imported(*rooms):
    """Top-level modules from elsewhere -> a file that imports them."""
    found = {}
    for path in (p for room in rooms for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module]
            found |= {module.split(".")[0]: path for module in modules}
    own = {p.stem for room in rooms for p in (ROOT / room).rglob("*")} | {*PRODUCT, "tests"}
    # What an export brings along is imported by its plain name.
    own |= {p.stem for p in (ROOT / "elm_jax/convert/standalone").glob("*.py")}
    return {m: path for m, path in found.items() if m not in own | sys.stdlib_module_names}


@pytest.mark.parametrize(
    ("rooms", "extras"),
    [(PRODUCT, ("torch", "beam", "moabb", "bids", "umap", "ecg")), (("tests",), ("test",))],
    ids=["product", "tests"],
)
def test_what_is_imported_is_required(rooms, extras, packaging):
    lists = [packaging["install_requires"], *(packaging["extras_require"][e] for e in extras)]
    required = names(r for each in lists for r in each)
    distributions = metadata.packages_distributions()
    for module, path in imported(*rooms).items():
        by = {d.lower().replace("_", "-") for d in distributions.get(module, [module])}
        assert by & required, f"{path} imports {module}, of {sorted(by)}, which setup.py lacks"


def test_every_version_that_was_tested_is_one_that_is_allowed(packaging):
    lines = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").split()
    pinned = dict(line.split("==") for line in lines)
    extras = packaging["extras_require"]
    for text in (*packaging["install_requires"], *extras["test"], *extras["lint"]):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate():
            version = pinned[requirement.name.lower().replace("_", "-")]
            assert version in requirement.specifier, text


def test_every_file_of_a_package_is_installed_with_it(packaging):
    assert packaging["packages"] == [f"{room}*" for room in PRODUCT]
    data = packaging["package_data"]
    taken = {
        path
        for package, patterns in data.items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    for path in (p for room in PRODUCT for p in (ROOT / room).rglob("*") if p.is_file()):
        if path.suffix == ".py":
            assert (path.parent / "__init__.py").exists(), f"{path} is in no package"
        elif path.parent.name != "__pycache__":  # also numba keeps what it compiled there
            assert path in taken, f"{path} is missing in setup.py's package_data"


def test_no_two_test_files_have_one_name():
    # pytest imports them by it: of two, the second cannot be collected in the same process.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
