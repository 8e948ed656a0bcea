"""Files of vectors: whole or refused, gone on with after a kill, never silently rounded away."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.embedding_file import EmbeddingFile, EmbeddingFileError, partial_path
from elm_jax.data.embedding_writer import Contents, EmbeddingWriter, is_finished
from elm_jax.signals.pipeline import ELM_SPEC

ROWS, WIDTH = 12, 3
HERE = pathlib.Path(__file__).resolve().parent
ELSEWHERE = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent.parent}"}


def contents(*, dtype="float32", features="projection", rows=ROWS, **about):
    values = {
        "features": features, "dtype": dtype, "spec": ELM_SPEC.to_dict(), "labels": {"age": "age"},
        "texts": "the model has no text tower", "weights_sha256": "ab", "splits": ["train"],
    }  # fmt: skip
    columns = {
        "subject_ids": np.repeat([0, 1], [rows - 4, 4]),
        "epochs": np.array([rows - 4, 4, 0]),
        "start_s": np.arange(rows) * 5.0,
        "age": np.full(rows, 40.0),
        "recordings": np.array([n.encode() for n in ("a", "bü", "c")]),
        "people": np.array([b"x:1", b"x:2", b"x:2"]),
        "splits": np.array([b"train", b"test", b"test"]),
    }
    vectors = {"features": (rows, WIDTH)}
    if features == "both":
        vectors["encoder_features"] = (rows, 2)
    return Contents(values | about, columns, vectors, dtype)


def rows_of(start, stop, width=WIDTH):
    return np.arange(start * width, stop * width, dtype=np.float32).reshape(-1, width)


def write(path, what=None, stop=ROWS):
    with EmbeddingWriter(path, what or contents()) as writer:
        for start in range(writer.done("features"), stop, 5):
            writer.write(start, {"features": rows_of(start, min(start + 5, stop))})
        if stop == ROWS:
            writer.finish()
    return path


def test_what_was_written_is_read(tmp_path):
    write(tmp_path / "embedding_dataset.h5")
    with EmbeddingFile(tmp_path) as file:  # the folder will do
        np.testing.assert_array_equal(file.projection, rows_of(0, ROWS))
        assert len(file) == ROWS and file.spec == ELM_SPEC
        assert [r.recording for r in file.recordings] == ["a", "bü", "c"]
        assert [r.rows for r in file.recordings] == [slice(0, 8), slice(8, 12), slice(12, 12)]
        np.testing.assert_array_equal(file.label("age"), np.full(ROWS, 40.0))
        assert isinstance(file.projection, np.memmap)  # not read as a whole
        kept = file.projection
    assert kept[3, 0] == 9.0


def test_vectors_that_are_not_there_are_asked_for_by_name(tmp_path):
    file = EmbeddingFile(write(tmp_path / "e.h5"))
    with pytest.raises(EmbeddingFileError, match="projection vectors alone.*features=encoder"):
        _ = file.features
    with pytest.raises(EmbeddingFileError, match="no 'text_embedding' .the model has no text tow"):
        _ = file.text_embedding
    with pytest.raises(EmbeddingFileError, match=r"no label 'sex'; known: \('age',\)"):
        file.label("sex")


def test_an_unfinished_file_is_never_taken_for_whole(tmp_path):
    path = tmp_path / "e.h5"
    write(path, stop=10)
    assert not path.exists()
    with pytest.raises(EmbeddingFileError, match="not finished.*goes on where it stopped"):
        EmbeddingFile(path)
    with pytest.raises(EmbeddingFileError, match="'complete' is not set"):
        EmbeddingFile(partial_path(path))
    with pytest.raises(EmbeddingFileError, match="10 of 12 rows"):
        with EmbeddingWriter(path, contents()) as writer:
            writer.finish()
    with EmbeddingWriter(path, contents()) as writer:
        assert writer.done("features") == 10  # what is there is kept
    np.testing.assert_array_equal(EmbeddingFile(write(path)).projection, rows_of(0, ROWS))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.h5"]


def test_other_settings_neither_go_on_with_a_file_nor_replace_it(tmp_path):
    path = tmp_path / "e.h5"
    write(path, stop=10)
    other = contents(weights_sha256="cd")
    with EmbeddingWriter(path, other) as writer:
        assert writer.done("features") == 0
    write(path)
    assert is_finished(path, contents()) and not is_finished(tmp_path / "none.h5", contents())
    with pytest.raises(EmbeddingFileError, match=r"weights_sha256: it has 'ab', asked for 'cd'"):
        is_finished(path, other)


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "e.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((2, 20, 500))
    with pytest.raises(EmbeddingFileError, match="no file of vectors"):
        EmbeddingFile(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not an HDF5 file"):
        EmbeddingFile(path)
    write(tmp_path / "cut.h5")
    data = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="damaged"):
        EmbeddingFile(tmp_path / "cut.h5")
    write(tmp_path / "link.h5")
    with h5py.File(tmp_path / "link.h5", "r+") as file:
        del file["start_s"]
        file["start_s"] = h5py.ExternalLink("cut.h5", "/start_s")
    with pytest.raises(ValueError, match="is a link"):
        EmbeddingFile(tmp_path / "link.h5")
    with h5py.File(write(tmp_path / "version.h5"), "r+") as file:
        file.attrs["format_version"] = 2
    with pytest.raises(EmbeddingFileError, match="format_version is 2, expected 1"):
        EmbeddingFile(tmp_path / "version.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf, 70000.0])
def test_what_float16_cannot_hold_is_an_error_that_names_row_and_remedy(tmp_path, value):
    vectors = rows_of(0, 5)
    vectors[3, 1] = value
    with EmbeddingWriter(tmp_path / "e.h5", contents(dtype="float16")) as writer:
        writer.write(0, {"features": rows_of(0, 5)})
        words = "dtype=float32" if value == 70000.0 else "not finite"
        with pytest.raises(ValueError, match=f"row 8 .*{words}"):
            writer.write(5, {"features": vectors})
        assert writer.done("features") == 5
    with pytest.raises(ValueError, match="config.embed.dtype is 'int8'"):
        contents(dtype="int8")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, ROWS), min_size=1, max_size=6), st.sampled_from(["f", "e"]))
def test_interrupted_anywhere_the_same_bytes_come_out(tmp_path_factory, stops, behind):
    path = tmp_path_factory.mktemp("any") / "e.h5"
    both = contents(features="both")
    values = {"features": rows_of(0, ROWS), "encoder_features": rows_of(0, ROWS, 2)}
    for stop in [*stops, ROWS]:
        with EmbeddingWriter(path, both) as writer:
            start = writer.done(*values)
            if start < stop:
                names = [n for n in values if stop == ROWS or n.startswith(behind)]
                writer.write(start, {n: values[n][start:stop] for n in names})
            if stop == ROWS and writer.done(*values) == ROWS:
                writer.finish()
                break
    with EmbeddingFile(path) as file:
        np.testing.assert_array_equal(file.projection, values["features"])
        np.testing.assert_array_equal(file.features, values["encoder_features"])


def test_a_kill_at_any_moment_leaves_a_file_to_go_on_with(tmp_path):
    code = textwrap.dedent("""
        import pathlib, sys
        from test_embedding_file import contents, rows_of
        from elm_jax.data.embedding_writer import EmbeddingWriter
        rows = 40000
        with EmbeddingWriter(pathlib.Path(sys.argv[1]), contents(rows=rows)) as writer:
            print("opened", writer.done("features"), flush=True)
            for start in range(writer.done("features"), rows):
                writer.write(start, {"features": rows_of(start, start + 1)})
                print(start, flush=True)
    """)
    path = tmp_path / "e.h5"
    reached = 0
    for lines in (3, 200, 41):
        command = [sys.executable, "-c", code, str(path)]
        process = subprocess.Popen(command, env=ELSEWHERE, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline().split() == ["opened", str(reached)]
        for _ in range(lines):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        last = int(rest[-1]) if rest else last
        with EmbeddingWriter(path, contents(rows=40000)) as writer:
            reached = writer.done("features")
            # Whatever was told as written is there; the row in work at the kill may be.
            assert reached in (last + 1, last + 2)
            found = writer._file["features"][:reached]
            np.testing.assert_array_equal(found, rows_of(0, reached))


def test_two_writers_of_one_file_are_told(tmp_path):
    with EmbeddingWriter(tmp_path / "e.h5", contents()):
        code = (
            "import pathlib, sys; from test_embedding_file import contents;"
            "from elm_jax.data.embedding_writer import EmbeddingWriter;"
            "EmbeddingWriter(pathlib.Path(sys.argv[1]), contents())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "e.h5")],
            env=ELSEWHERE, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert "another process is writing it" in done.stderr
