"""Embeds, evaluates and validates a tiny model; as a script, as one of two processes.

What it measured goes to ``FOLDER/PROCESS.json``.
"""

import json
import pathlib
import sys

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from configs import elm_probe, elm_supervised, elm_zero_shot
from elm_jax import build, embed, evaluate, pretrained, pretrained_model, validation
from elm_jax.data.corpus import Corpus
from elm_jax.data.pipeline import Windows, to_network
from elm_jax.evals.zero_shot.prompt_files import load_questions
from elm_jax.predict import make_predict
from elm_jax.processes import this_process
from elm_jax.sharding import make_mesh
from elm_jax.state import TrainState

QUESTIONS = {"abnormal": {"positive": ["Slowing.", "Abnormal EEG."], "negative": ["Normal EEG."]}}
ROWS = 5  # not a multiple of the devices, nor of the processes
EPOCH = dict(windows_per_batch=8, windows_per_recording=0)


def counting(counts):
    """Counts the windows that are read, and the rows that predict is given and gives."""
    read, make = Windows.read, make_predict

    def counted_read(self, reader, rows):
        counts["read"] += int((rows >= 0).sum())
        return read(self, reader, rows)

    def counted_make(*args, **kwargs):
        predict = make(*args, **kwargs)

        def counted(batch):
            if "signal_valid" in batch:
                counts["encoded"] += int(batch["signal_valid"].sum())
            return predict(batch)

        return counted

    Windows.read = counted_read
    pretrained_model.make_predict = counted_make

    def restore():
        Windows.read, pretrained_model.make_predict = read, make

    return restore


def embedded(saved, shards, path):
    model = pretrained.load_pretrained(str(saved))
    corpus = Corpus.fitting(shards, model.spec, hint="", text=model.recipe["text"])
    corpus = corpus.with_normalisation(model.spec)
    questions = load_questions(QUESTIONS)
    settings = dict(features="both", questions=questions, rows_per_batch=ROWS)
    embed.embed_corpus(model, corpus, (), pathlib.Path(path), **settings)
    return model


def evaluated(saved, shards, workdir):
    config = elm_zero_shot.get_config("smoke").unlock()
    config.model, config.data.dir = str(saved), str(shards)
    config.evals.rows_per_batch = ROWS
    config.evals.zero_shot.prompt_files = ()
    with config.ignore_type():
        config.evals.zero_shot.prompts = QUESTIONS
        probe = elm_probe.get_config("smoke").evals.probe
        config.evals.probe = ConfigDict(probe.to_dict())
    config.evals.probe.update(
        inputs=("features", "band_power", "random_features"),
        outer="folds",
        folds=3,
        c=0.01,
        random_networks=1,
        resamples=20,
    )
    content = evaluate.evaluate(config.lock(), workdir)
    return {name: content[name] for name in ("zero_shot", "probe")}


def validated(shards):
    """The loss and scores of the valid split under parameters from a seed."""
    config = elm_supervised.get_config("smoke").unlock()
    config.data.dir, config.sampler = str(shards), dict(name="windows", **EPOCH)
    config.encoder = dict(name="conv_eeg", kernels=((4, 2, 1),), n_blocks=1, pool_sizes=(25,))
    corpus = Corpus.open(config)
    build.settle_labels(config, corpus)
    sampler, batches = build.build_batches(config, corpus, None, "valid")
    objective = build.build_objective(config, corpus.spec, None)
    prepare = to_network(corpus.spec, corpus.manifest.steps_per_unit)
    params, model_state = jax.jit(lambda key, b: objective.init(key, prepare(b)))(
        jax.random.key(0), batches.batch(0)
    )
    mesh = make_mesh({"data": -1})
    steps = sampler.steps_per_epoch(0)
    with jax.set_mesh(mesh):
        host = jax.device_get((params, model_state))
        measure = validation.make_measure(
            objective, prepare, lambda: batches.dataset(0, steps, threads=1), mesh
        )
        return measure(TrainState(np.zeros((), int), *host, ()))


class Doubling:
    """In the place of a model."""

    def predict(self, params, model_state, batch):
        return {"features": batch["signal"] * params["factor"]}


def doubled(mesh):
    """Seven rows of each process through a mesh, whatever shares it cuts rows into."""
    index, _ = this_process()
    predict = make_predict(Doubling(), {"factor": np.float32(2)}, {}, mesh=make_mesh(mesh))
    rows = np.arange(7, dtype=np.float32)[:, None] + 7 * index
    return predict({"signal": rows})["features"].ravel().tolist()


def run(saved, shards, folder, path):
    """All of it; embeds into ``path`` and writes results into ``folder``."""
    counts = {"read": 0, "encoded": 0}
    restore = counting(counts)
    try:
        model = embedded(saved, shards, path)
        embed_counts = dict(counts)
        asked = model.encode_text(["Normal EEG.", "Slowing.", "Abnormal EEG."])
        found = evaluated(saved, shards, epath.Path(folder))
        return {
            "process": jax.process_index(),
            "embed": embed_counts,
            "counts": dict(counts),
            "asked": asked.tolist(),
            "evals": found,
            "valid": validated(shards),
        }
    finally:
        restore()


if __name__ == "__main__":
    port, process, saved, shards, folder = sys.argv[1:]
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(process))
    own = pathlib.Path(folder) / process
    content = run(saved, shards, own / "results", own / "e.h5")
    content["doubled"] = [doubled({"data": -1, "model": n}) for n in (2, 1)]
    out = pathlib.Path(folder) / f"{process}.json"
    out.write_text(json.dumps(content))
