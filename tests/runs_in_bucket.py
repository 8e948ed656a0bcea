"""What tests/test_bucket.py runs: every mode on ``gs://`` paths, in a process led to a fake store.

``python runs_in_bucket.py BUCKET``; prints a line of JSON at the end.
"""

import importlib
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
from etils import epath
from jax.experimental.compilation_cache import compilation_cache

import elm_jax
from elm_jax import command_line, evaluate, main, paths, progress, train
from elm_jax.convert import __main__ as convert
from elm_jax.data.embedding_file import EmbeddingFile
from elm_jax.data.manifest import Manifest

LEFT_OUT = {"zero_shot", "band_power", "embedding_map"}  # one eval is enough, and it has figures


def recipe(name, **settings):
    config = importlib.import_module(f"configs.{name}").get_config("smoke")
    with config.unlocked():
        config.update_from_flattened_dict(settings)
        for eval_name in set(config.get("evals", {})) & LEFT_OUT:
            del config.evals[eval_name]
    return config


def run(name, workdir, **settings):
    config = recipe(name, **settings)
    module, function = main.MODES[config.mode]
    return getattr(importlib.import_module(module), function)(config, workdir)


def refused(of):
    """The one line that the command would say of an error."""
    try:
        of()
    except Exception as error:  # of a store's client, or ours
        return f"{type(error).__name__}: {paths.explain(error) or error}"


def everything(bucket):
    out, data = {}, f"{bucket}/shards"
    workdir = paths.require_folder(f"{bucket}/runs/first")
    progress.setup_logging(workdir)
    given = {"data.dir": data}
    first = train.train(recipe("elm_5s", **given), workdir)
    longer = {"optimizer.schedule.total_steps": 3, **given}
    resumed = train.train(recipe("elm_5s", **longer), workdir)
    out["steps"] = [first["step"], resumed["step"]]
    own = importlib.import_module("configs.elm_5s").get_config("smoke")
    own.mode, own.data.dir = "evaluate", data
    out["evaluated"] = evaluate.evaluate(own, workdir)["step"]

    model = {"model": str(workdir), **given}
    run("elm_embed", epath.Path(f"{bucket}/runs/embedded"), **model)
    with EmbeddingFile(f"{bucket}/runs/embedded") as file:
        out["embedded"] = [list(file.projection.shape), file.attributes["source"]]
    words = {"query.texts": ("Diffuse slowing.",), **model}
    run("elm_query", epath.Path(f"{bucket}/runs/asked"), **words)
    tuned = {"init_from": str(workdir), **given}
    out["tuned"] = run("elm_finetune", epath.Path(f"{bucket}/runs/tuned"), **tuned)["step"]

    loaded = elm_jax.load_pretrained(str(workdir))
    loaded.save_pretrained(f"{bucket}/models/saved")
    targets = [f"{bucket}/models/workdir", f"{bucket}/models/file.safetensors"]
    codes = [convert.main([f"{bucket}/models/saved", targets[0], "--to", "orbax"])]
    words = ["--leave_out", "text_projector,text_tower"]
    codes.append(convert.main([targets[0], targets[1], *words]))
    out["converted"] = codes
    vectors = [
        elm_jax.load_pretrained(t).weights_sha256 for t in (f"{bucket}/models/saved", targets[0])
    ]
    out["same_weights"] = vectors == [loaded.weights_sha256] * 2
    out["file"] = repr(elm_jax.load_pretrained(targets[1]))
    return out


def compile_into(folder):
    """As the command does beside its workdir; at the end, so that the runs above share theirs."""
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    compilation_cache.reset_cache()
    jax.jit(lambda x: 3 * x + x.sum())(np.arange(7.0)).block_until_ready()


def mistakes():
    return {
        "no bucket": refused(lambda: paths.require_folder("gs://nowhere/runs/x")),
        "only a bucket": refused(lambda: paths.require_folder("gs://bucket/")),
        "closed": refused(lambda: paths.require_folder("gs://closed/runs/x")),
        "read only": refused(lambda: paths.require_folder("gs://readable/runs/x")),
        "closed data": refused(lambda: Manifest.load("gs://closed/shards")),
        "no data": refused(lambda: Manifest.load("gs://bucket/nothing")),
        "no model": refused(lambda: elm_jax.load_pretrained("gs://bucket/nothing")),
        "elsewhere": refused(lambda: paths.of("s3://bucket/x")),
        "code": command_line.report_mistakes(
            lambda: epath.Path("gs://closed/x").read_text(), pathlib.Path()
        ),
    }


if __name__ == "__main__":
    compile_into(f"{sys.argv[1]}/runs/.jax_cache")
    print(json.dumps({"runs": everything(sys.argv[1]), "mistakes": mistakes()}, default=str))
