"""Whatever a user names may be in a bucket: no file of theirs is opened behind epath's back."""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# file[:function] -> why it may. A function that is not named here may not; nor may a line of one
# that is, once it needs no leave any more.
ALLOWED = {
    "elm_jax/staging.py": "makes the local copies, and is all that knows where they lie",
    "elm_jax/paths.py:absolute": "of local paths alone",
    "elm_jax/growing.py:__init__": "a local file; there is no appending in a bucket",
    "elm_jax/lock.py:alone": "a local file's lock; buckets have none",
    "elm_jax/doctor.py": "looks at this machine: its disk, its programs, the checkout",
    "elm_jax/convert/standalone": "goes with exports, whose users have no epath",
    "elm_jax/convert/folder.py:replacing": "renames local folders; of a bucket's, builds here",
    "elm_jax/convert/folder.py:write_folder": "files of this package, into a temporary folder",
    "elm_jax/convert/hub.py": "what is uploaded, and the hub's own cache, are local",
    "elm_jax/convert/single_file.py:write_single_file": "a temporary folder; renames local files",
    "elm_jax/convert/tower.py:folder_of": "asks whether a word names a local folder",
    "elm_jax/convert/tower.py:copy_tokenizer": "between folders that are being made here",
    "elm_jax/convert/workdir.py:_with_tower": "between folders that are being made here",
    "elm_jax/convert/bert.py:save_bert": "into a folder that is being made here",
    "elm_jax/convert/vit.py:save_vit": "into a folder that is being made here",
    "elm_jax/data/embedding_writer.py:finish": "a local file's bytes are brought to its disk",
    "elm_jax/data/hdf5_safe.py:dataset": "HDF5's own name of the local file that it has open",
    "elm_jax/data/manifest.py:code_version": "files of this package",
    "elm_jax/data/shard_file.py": "a shard, or its copy on this machine, open by its descriptor",
    "elm_jax/evals/zero_shot/prompt_files.py": "files of this package",
    "elm_jax/signals/ecg/wfdb_file.py": "a record, or its copy here, whose files wfdb opens",
    "elm_jax/text_source.py:_own_tokenizer": "renames a local folder; of a bucket's, builds here",
    "elm_jax/text_source.py:_send_tokenizer": "a temporary folder",
    "elm_jax/text_source.py:find_model": "a local folder, or the hub's own cache",
    "elm_jax/trace.py": "the profiler writes into a temporary folder",
    "data_prep/durable.py": "knows local disks (synced, renamed) from stores (sent)",
    "data_prep/places.py": "knows local files from copies of remote ones",
    "data_prep/locks.py:held": "a local file's lock",
    "data_prep/parts.py:_make": "the name of a source file of this package, in a message",
    "data_prep/plan.py:make_plan": "the name of MERL's table, which is local",
    "data_prep/plan.py:out_path": "of local paths alone",
    "data_prep/prepare.py:prepare": "--hdf5, which is written to local folders and says so",
    "data_prep/prepare.py:main": "the null device, where nobody reads on",
    "data_prep/write_shards.py:_tfds_info": "a temporary folder",
}  # fmt: skip
# What data_prep writes, and reads again. Its inputs have rules of their own (data_prep/places.py).
WRITERS = (
    "assemble", "beam_runner", "durable", "finish", "locks", "on_beam", "parts", "places", "plan",
    "prepare", "shares", "storage", "summary", "work", "write_shards",
)  # fmt: skip
CHECKED = [
    *sorted((ROOT / "elm_jax").rglob("*.py")),
    *(ROOT / "data_prep" / f"{name}.py" for name in WRITERS),
]

MODULES = ("shutil", "tempfile", "glob", "io")
OS = {
    "chmod", "fsync", "getcwd", "link", "listdir", "makedirs", "mkdir", "mkfifo", "open", "path",
    "remove", "removedirs", "rename", "renames", "replace", "rmdir", "scandir", "stat", "statvfs",
    "symlink", "truncate", "unlink", "walk",
}  # fmt: skip
FREE = {"io.BytesIO", "io.StringIO", "io.BufferedIOBase"}


def name_of(node):
    """``a.b.c`` of a chain of attributes."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_local(node):
    """What a node does that only local files can take, or None."""
    name = name_of(node.func if isinstance(node, ast.Call) else node)
    if isinstance(node, ast.Call):
        if name in ("open", "pathlib.Path", "Path", "PosixPath", "pathlib.PosixPath"):
            return f"{name}(...)"
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if method in ("resolve", "absolute") and not name.startswith("paths."):
            return f".{method}(): epath's makes /here/gs:/... of gs://...; use paths.absolute"
        modes = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        if method == "open" and any("a" in str(m) or "+" in str(m) for m in modes):
            return f".open({modes[0]!r}): nothing can be appended to in a bucket; see growing.py"
    root, _, rest = name.partition(".")
    if isinstance(node, ast.Attribute) and name not in FREE:
        if root in MODULES or (root == "os" and rest.split(".")[0] in OS):
            return name
    return None


def local_things(path):
    """(function, line, what) of everything in a file that only local files can take."""
    found = []

    def visit(node, function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = function or node.name
        if isinstance(node, ast.ClassDef):
            function = ""
        if what := is_local(node):
            found.append((function, node.lineno, what))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(path.read_text(encoding="utf-8")), "")
    return found


def leave_for(file, function):
    """The entries of the list that allow this."""
    places = [f"{file}:{function}", file, *(p.as_posix() for p in pathlib.Path(file).parents)]
    return [place for place in places if place in ALLOWED]


def test_only_what_is_listed_touches_local_files_without_epath():
    wrong, used = [], set()
    for path in CHECKED:
        file = path.relative_to(ROOT).as_posix()
        for function, line, what in local_things(path):
            leave = leave_for(file, function)
            used |= set(leave)
            if not leave:
                wrong.append(f"{file}:{line} in {function or 'the module'}: {what}")
    assert wrong == []
    assert set(ALLOWED) - used == set(), "needs no leave any more"


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("open(path)", True),
        ("shutil.copytree(a, b)", True),
        ("os.path.join(a, b)", True),
        ("os.replace(a, b)", True),
        ("pathlib.Path(path).read_text()", True),
        ("path.resolve()", True),
        ("path.open('a')", True),
        ("tempfile.mkdtemp()", True),
        ("path.open('rb')", False),
        ("os.environ['A']", False),
        ("os.fspath(path)", False),
        ("pathlib.PurePath(name).name", False),
        ("io.BytesIO()", False),
        ("paths.absolute(path)", False),
    ],
)
def test_the_look_at_the_sources_sees_what_it_should(line, seen, tmp_path):
    file = tmp_path / "module.py"
    file.write_text(f"def f():\n    {line}\n")
    assert bool(local_things(file)) == seen
