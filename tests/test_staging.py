"""Local copies of remote files: one of each, whole or not at all, and what a full disk says."""

import concurrent.futures
import errno
import pathlib
import shutil
import time

import pytest
from etils import epath
from mapped_bucket import bucket  # noqa: F401  (a fixture)

from elm_jax import paths, staging
from elm_jax.growing import GrowingText
from elm_jax.metrics import MetricsWriter, read_metrics

SHARD = epath.Path("gs://b/data/x.array_record-00000-of-00001")


def copies(tmp_path):
    return [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and p.name != ".lock"]


def test_a_local_path_passes_as_it_is(tmp_path):
    assert staging.local(tmp_path / "never there") == tmp_path / "never there"
    assert isinstance(staging.local(epath.Path("a/b")), pathlib.Path)
    assert staging.local_folder("models/x") == pathlib.Path("models/x")


def test_many_who_ask_at_once_get_one_copy(bucket, tmp_path):  # noqa: F811
    SHARD.write_bytes(b"12345" * 1000)
    bucket.on_open = lambda mode, name: time.sleep(0.05)
    bucket.opened.clear()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: staging.local(SHARD), range(16)))
    (copy,) = found
    assert copy.read_bytes() == b"12345" * 1000 and copy.name == SHARD.name
    assert bucket.opened == [("rb", SHARD.name)] and copies(tmp_path) == [copy]


def test_a_file_that_changed_there_is_copied_anew(bucket):  # noqa: F811
    SHARD.write_bytes(b"old")
    old = staging.local(SHARD)
    SHARD.write_bytes(b"newer")
    assert staging.local(SHARD).read_bytes() == b"newer" and old.read_bytes() == b"old"


def test_the_same_name_in_two_folders_is_two_files(bucket):  # noqa: F811
    for place in "ab":
        epath.Path(f"gs://b/{place}/vocab.txt").write_text(place)
    assert [staging.local(f"gs://b/{p}/vocab.txt").read_text() for p in "ab"] == ["a", "b"]


def test_what_breaks_off_leaves_nothing_and_the_next_one_copies(bucket, tmp_path):  # noqa: F811
    SHARD.write_bytes(b"12345")

    def cut(mode, name):
        raise ConnectionError("gone")

    bucket.on_open = cut
    with pytest.raises(ConnectionError):
        staging.local(SHARD)
    assert copies(tmp_path) == []
    bucket.on_open = lambda mode, name: None
    assert staging.local(SHARD).read_bytes() == b"12345"


def test_a_file_that_grows_while_it_is_copied_is_refused(bucket, tmp_path):  # noqa: F811
    SHARD.write_bytes(b"12345")
    at = bucket.root / "b" / "data" / SHARD.name
    bucket.on_open = lambda mode, name: at.write_bytes(b"1234567")
    with pytest.raises(staging.StagingError, match="5 bytes were announced and 7 came"):
        staging.local(SHARD)
    assert copies(tmp_path) == []


@pytest.mark.parametrize("when", ["before", "in the midst"])
def test_a_full_disk_names_the_bytes_and_the_variable(when, bucket, tmp_path, monkeypatch):  # noqa: F811
    SHARD.write_bytes(b"1" * 4321)
    if when == "before":
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    else:

        def full(there, here, length=0):
            here.write(b"1")
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(staging.StagingError, match="4321 bytes") as told:
        staging.local(SHARD)
    assert "ELM_JAX_CACHE" in str(told.value) and str(SHARD) in str(told.value)
    assert copies(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_told(bucket, tmp_path):  # noqa: F811
    SHARD.write_bytes(b"1")
    (tmp_path / "cache").write_text("a file, no folder")
    with pytest.raises(staging.StagingError, match="set ELM_JAX_CACHE to a folder"):
        staging.local(SHARD)


def test_a_missing_remote_file_is_no_such_file(bucket):  # noqa: F811
    with pytest.raises(FileNotFoundError):
        staging.local(SHARD)
    with pytest.raises(FileNotFoundError, match="gcloud auth"):
        staging.local_folder("gs://b/none")


def test_a_folder_comes_with_all_that_is_wanted_of_it(bucket):  # noqa: F811
    for name in ("config.json", "deep/er/vocab.txt", "pytorch_model.bin"):
        epath.Path(f"gs://b/model/{name}").write_text(name)
    whole = staging.local_folder("gs://b/model")
    assert whole.name == "model" and (whole / "deep/er/vocab.txt").read_text()
    some = staging.local_folder("gs://b/model", ["*.json", "*.txt"])
    found = {p.name for p in some.rglob("*") if p.is_file()}
    assert found == {"config.json", "vocab.txt"}


@pytest.mark.parametrize("place", ["gs://b/out", "local"])
def test_what_is_written_appears_whole_or_not_at_all(place, bucket, tmp_path):  # noqa: F811
    target = (epath.Path(place) if "://" in place else epath.Path(tmp_path / place)) / "a.npy"
    with pytest.raises(KeyError), staging.written(target) as unique:
        unique.write_bytes(b"half")
        raise KeyError
    assert not target.exists()
    with staging.written(target) as unique:
        assert unique.suffix == ".npy"
        unique.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert [p for p in tmp_path.rglob("*.tmp*") if p.is_file()] == []


def test_the_last_file_of_a_folder_is_sent_last(bucket, tmp_path):  # noqa: F811
    for name in ("config.json", "a.txt", "z/b.txt"):
        (tmp_path / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "made" / name).write_text(name)
    staging.send_folder(tmp_path / "made", "gs://b/sent", last="config.json")
    assert [name for _, name in bucket.opened] == ["a.txt", "b.txt", "config.json"]


def test_a_text_grows_in_a_bucket_without_being_appended_to(bucket):  # noqa: F811
    log = epath.Path("gs://b/run/train.log")
    for part in ("first ", "second "):
        text = GrowingText(log)
        text.write(part)
        text.flush()  # not yet: it was just opened
        text.write("line\n")
        text.settle()
        assert log.read_text().endswith(f"{part}line\n")
        text.close()
    assert log.read_text() == "first line\nsecond line\n"
    assert {mode for mode, _ in bucket.opened} <= {"r", "w", "wb"}


def test_a_text_is_sent_now_and_then_behind_who_writes(bucket):  # noqa: F811
    text = GrowingText("gs://b/log", every_s=0.0)
    for i in range(20):
        text.write(f"{i}\n")
        text.flush()
    text.close()
    assert epath.Path("gs://b/log").read_text() == "".join(f"{i}\n" for i in range(20))
    assert len([1 for mode, _ in bucket.opened if "w" in mode]) <= 21


def test_metrics_in_a_bucket_are_all_there_at_every_flush(bucket, tmp_path):  # noqa: F811
    writer = MetricsWriter("gs://b/run")
    for step in (1, 2):
        writer.write(step, {"loss": 0.1})
        writer.flush()
        assert [row["step"] for row in read_metrics("gs://b/run")] == list(range(1, step + 1))
    writer.write(3, {"loss": 0.2})
    writer.close()
    writer = MetricsWriter("gs://b/run", resumed_step=2)
    writer.write(3, {"loss": 0.3})
    writer.close()
    assert [row["loss"] for row in read_metrics("gs://b/run")] == [0.1, 0.1, 0.3]
    events = list(epath.Path("gs://b/run/tensorboard").iterdir())
    assert events and all(event.name.startswith("events") for event in events)
    assert copies(tmp_path) == []


def test_absolute_leaves_remote_paths_alone_where_epath_would_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert paths.absolute("gs://b/x") == epath.Path("gs://b/x")
    assert paths.absolute("x") == epath.Path(tmp_path / "x")
    assert str(epath.Path("gs://b/x").resolve()) != "gs://b/x"  # why it is there


@pytest.mark.parametrize("text", ["a\nb", "\ufeffa\r\nb"])
def test_hand_written_files_are_read_with_or_without_a_mark(text, tmp_path):
    (tmp_path / "x").write_bytes(text.encode())
    assert paths.read_text(tmp_path / "x") == "a\nb"
