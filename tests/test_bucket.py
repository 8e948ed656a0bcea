"""Everything that has a path may be in a bucket: real clients against a store of one's own."""

import json
import os
import pathlib
import subprocess
import sys

import fake_gcs
import pytest
from tiny_shards import write_tiny_shards

ROOT = pathlib.Path(__file__).resolve().parent.parent
HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The objects after every mode has run on them, and what the process said."""
    folder = tmp_path_factory.mktemp("bucket")
    objects = fake_gcs.Objects("bucket", "closed", "readable")
    objects.denied.add("closed")
    objects.read_only.add("readable")
    shards = write_tiny_shards(
        folder / "shards", people=4, valid_people=2, test_people=2, seconds=10.0
    )
    objects.upload(shards, "gs://bucket/shards")
    with fake_gcs.serve(objects, folder) as led:
        # What is computed matters little here: compiled without optimising, in half the time.
        quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
        environment = os.environ | led | {"ELM_JAX_CACHE": str(folder / "cache")}
        environment |= {"XLA_FLAGS": quick, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, str(HERE / "runs_in_bucket.py"), "gs://bucket"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return objects, json.loads(done.stdout.splitlines()[-1]), folder


def test_every_mode_runs_on_data_models_and_workdirs_in_a_bucket(store):
    objects, said, _ = store
    runs = said["runs"]
    assert runs["steps"] == [2, 3] and runs["evaluated"] == 3 and runs["tuned"] == 2
    assert runs["embedded"][0][0] > 0 and runs["embedded"][1] == "gs://bucket/runs/first"
    assert runs["converted"] == [0, 0] and runs["same_weights"]
    assert "gs://bucket/models/file.safetensors" in runs["file"]
    found = objects.names("gs://bucket/runs/first")
    assert {"summary.json", "config.json", "report.html", "metrics.jsonl", "train.log"} <= {*found}
    assert "evaluation/summary.json" in found and "tokenizer/vocab.txt" in found
    assert any(name.startswith("figures/") and name.endswith(".png") for name in found)
    assert any(name.startswith("tensorboard/events") for name in found)
    assert any(name.startswith("checkpoints/3/") for name in found)
    assert objects.names("gs://bucket/runs/.jax_cache")
    assert b"<html" in objects.read("gs://bucket/runs/asked/report.html")


def test_lines_written_before_and_after_a_resume_are_all_there(store):
    objects, _, _ = store
    rows = objects.read("gs://bucket/runs/first/metrics.jsonl").decode().splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == 3
    assert "resumed from" in objects.read("gs://bucket/runs/first/train.log").decode()


def test_a_shard_is_fetched_once_for_all_runs_of_a_machine(store):
    objects, _, _ = store
    read = [asked for asked in objects.asked if ".array_record" in asked and "fields" not in asked]
    shards = {name for name in objects.names("gs://bucket/shards") if ".array_record" in name}
    fetched = [asked.rpartition("/")[2] for asked in read]
    assert len(fetched) == len(set(fetched)) and set(fetched) <= shards


def test_nothing_stays_behind_on_this_machine_but_copies(store):
    _, _, folder = store
    assert not (ROOT / "gs:").exists()
    kept = {path.name for path in (folder / "cache").iterdir()}
    assert kept <= {"staged", "writing", "unfinished"}
    assert [p for p in (folder / "cache" / "writing").rglob("*") if p.is_file()] == []


def test_a_mistake_is_one_line_that_says_where_and_what_to_check(store):
    told = store[1]["mistakes"]
    assert told.pop("code") == 2
    assert all(told.values()) and not any("\n" in line for line in told.values())
    assert "there is no bucket gs://nowhere" in told["no bucket"]
    assert "name a folder in it" in told["only a bucket"]
    for case in ("closed", "read only", "closed data", "no data", "no model", "no bucket"):
        assert "gs://" in told[case] and "gcloud auth application-default login" in told[case]
    assert "expected a local path or gs://" in told["elsewhere"]
