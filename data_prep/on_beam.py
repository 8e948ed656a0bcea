"""The same preparation on Apache Beam: recordings in one pipeline, shards in a second.

TensorFlow Datasets' own Beam writer would put records into an order of hashes and into shards of
its own sizes. Here Beam only spreads the work: each worker turns recordings into parts, just as the
processes of a local run do, and then writes whole shards that were planned for all of them, so that
the result is the same, byte for byte (features, records and dataset_info are TFDS's as ever).
Between the two pipelines this process reads the outcomes, which are small.

What a pipeline works on lies in files, and only their names are in its graph: graphs are limited to
some megabytes. Whatever a worker does may be done twice, or at once with another.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath
from threadpoolctl import threadpool_limits

from data_prep import durable
from data_prep.assemble import ShardJob
from data_prep.beam_runner import Cluster
from data_prep.corpora.base import Source
from data_prep.parts import Part, Recipe, load_parts, make_part
from data_prep.places import at_once
from data_prep.plan import Plan
from data_prep.work import PrepareError, sizes_of
from elm_jax.data.manifest import WORK_DIR, code_version
from elm_jax.data.spec import SignalSpec

JOBS_DIR = "jobs"
# Recordings named in one file: enough that files are few, few enough that readers are many.
_JOBS_A_FILE = 64


def prepare_all(cluster: Cluster, out: epath.Path, plan: Plan) -> list[Part]:
    """The outcome of every source, in their order; what is finished is not done again.

    Raises:
      PrepareError: the pipeline failed.
    """
    recipe = plan.recipe
    recipe.folder.mkdir(parents=True, exist_ok=True)
    sizes, parts = sizes_of(plan.sources), load_parts(recipe.folder, plan.keys)
    todo = [i for i, part in enumerate(parts) if part is None]
    # Large ones first, so that no worker is left alone with one at the end.
    todo.sort(key=lambda i: (-sizes[i], i))
    if len(todo) < len(parts):
        print(f"{len(parts) - len(todo)} of {len(parts)} recordings were finished before")
    print(f"preparing {len(todo)} recordings on {cluster.name}", flush=True)
    if todo:
        lines = [_job(plan.sources[i], plan.keys[i]) for i in todo]
        # Dealt out in turn, so that every file has large ones and small ones.
        count = -(-len(lines) // _JOBS_A_FILE)
        texts = ["".join(lines[k::count]) for k in range(count)]
        paths = _write_jobs(out, "recordings", texts)
        cluster.run(functools.partial(_prepare_pipeline, paths, recipe))
    parts = load_parts(recipe.folder, plan.keys, failed=True)
    if lost := parts.count(None):
        raise PrepareError(
            f"{cluster.name}: {lost} of {len(parts)} recordings came to no result in {out}; do its "
            "workers write to the same --out? The same command goes on with these"
        )
    return parts


def write_all(
    cluster: Cluster, out: epath.Path, spec: SignalSpec, jobs: Sequence[ShardJob]
) -> None:
    """Writes shards, each by one worker.

    Raises:
      PrepareError: the pipeline failed.
    """
    print(f"writing {len(jobs)} shards on {cluster.name}", flush=True)
    if jobs:
        paths = _write_jobs(out, "shard", [json.dumps(job.to_dict()) for job in jobs])
        cluster.run(functools.partial(_write_pipeline, paths, out, spec))
    there = {path.name for path in out.iterdir()}
    if lost := [job.shard.file for job in jobs if job.shard.file not in there]:
        raise PrepareError(
            f"{cluster.name}: {len(lost)} of {len(jobs)} shards are not in {out}, such as "
            f"{lost[0]}; do its workers write to the same --out?"
        )


def _write_jobs(out: epath.Path, name: str, texts: Sequence[str]) -> list[str]:
    folder = out / WORK_DIR / JOBS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}-{n:05d}.json" for n in range(len(texts))]
    at_once(lambda pair: durable.write_text(*pair), zip(paths, texts, strict=True))
    return [str(path) for path in paths]


def _job(source: Source, key: str) -> str:
    # What it is made of; texts may be long and are not.
    return json.dumps([source.replace(reports=()).to_dict(), key], ensure_ascii=False) + "\n"


def _prepare_pipeline(paths: Sequence[str], recipe: Recipe, pipeline: Any) -> None:
    import apache_beam as beam

    (
        pipeline
        | "NamesOfJobs" >> beam.Create(paths)
        | "ReadJobs" >> beam.FlatMap(_read_jobs)
        | "Spread" >> beam.Reshuffle()
        | "PrepareRecording" >> beam.Map(_prepare, recipe, code_version())
    )


def _write_pipeline(paths: Sequence[str], out: epath.Path, spec: SignalSpec, pipeline: Any) -> None:
    import apache_beam as beam

    (
        pipeline
        | "NamesOfShards" >> beam.Create(paths)
        | "WriteShard" >> beam.Map(_write, str(out), spec, code_version())
    )


# From here on: what workers do.


def _read_jobs(path: str) -> Iterator[str]:
    return iter(epath.Path(path).read_text().splitlines())


def _prepare(line: str, recipe: Recipe, code: str) -> None:
    _get_ready(code)
    values, key = json.loads(line)
    source = Source.from_dict(values)
    if (recipe.folder / f"{key}.json").exists():
        return  # by an earlier try of this very job
    try:
        part = make_part(recipe, source, key)
    except MemoryError as error:
        raise PrepareError(
            f"{source.file}: not enough memory: give each worker more, or take a smaller "
            "--max_duration_s"
        ) from error
    _count("recordings_skipped" if part.skipped else "recordings_prepared")


def _write(path: str, out: str, spec: SignalSpec, code: str) -> None:
    _get_ready(code)
    ShardJob.from_dict(json.loads(epath.Path(path).read_text())).write(epath.Path(out), spec)
    _count("shards_written")


def _count(name: str) -> None:
    from apache_beam.metrics import Metrics

    Metrics.counter("prepare", name).inc()


@functools.cache
def _get_ready(code: str) -> None:
    """Once in a worker process: is it of this version, and does it work with one thread?"""
    if code_version() != code:
        raise PrepareError(
            f"a worker has {code_version()}, the command {code}: give workers the same version "
            "(their container image, or --beam_option setup_file=./setup.py)"
        )
    import elm_jax.signals.pipeline  # noqa: F401  loads the libraries whose threads are limited

    # Matrix products round otherwise with several. Not lifted: other recordings may be under way.
    threadpool_limits(1)
