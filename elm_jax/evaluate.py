"""Evals: after training, or from a checkpoint without an optimiser."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax import build, run_dir
from elm_jax.axes import Batch
from elm_jax.checkpoint import Checkpoints
from elm_jax.data.pipeline import to_network
from elm_jax.evals.base import EvalData, EvalResult, Predict
from elm_jax.objectives.base import Objective
from elm_jax.sharding import make_mesh, replicated
from elm_jax.state import TrainState

log = logging.getLogger(__name__)


def make_predict(
    objective: Objective, state: TrainState, prepare: Callable[[Batch], Batch]
) -> Predict:
    """``objective.predict`` jitted, with host arrays in and out."""

    @jax.jit
    def apply(params, model_state, batch):
        return objective.predict(params, model_state, prepare(batch))

    def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        out = apply(state.params, state.model_state, dict(batch))
        return {k: np.asarray(v, np.float32) for k, v in out.items()}

    return predict


def run(
    config: Any, corpus: build.Corpus, texts: Any, objective: Objective, state: TrainState
) -> dict[str, EvalResult]:
    """Every eval of ``config.evals``, by name."""
    prepare = to_network(corpus.spec, corpus.manifest.steps_per_unit)
    predict = make_predict(objective, state, prepare)
    data = EvalData(
        corpus.manifest,
        corpus.reader,
        corpus.windows,
        texts.table,
        rows_per_batch=config.evals.rows_per_batch,
    )
    results = {}
    for name, evaluate in build.build_evals(config).items():
        began = time.monotonic()
        results[name] = evaluate(predict, data)
        log.info("eval     %s took %.1f s", name, time.monotonic() - began)
    return results


def evaluate(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Runs the evals on the latest checkpoint of ``workdir``.

    Returns:
      What was written to ``summary.json``.

    Raises:
      FileNotFoundError: there is no checkpoint.
      SpecError, ValueError: the checkpoint is of another signal or model.
    """
    started = time.monotonic()
    mesh = make_mesh(config.mesh.to_dict())
    jax.set_mesh(mesh)
    corpus = build.Corpus.open(config)
    checkpoints = Checkpoints(workdir)
    about = checkpoints.describe()
    hint = "Evaluate on shards prepared as the training shards were."
    about.spec.require_same(corpus.spec, source=config.data.dir, hint=hint, ignore=("mean", "std"))
    # The network values that the model was trained on: its own corpus's mean and std.
    corpus = corpus.with_normalisation(about.spec)
    texts = build.build_text_source(config, corpus, workdir)
    objective = build.build_objective(config, corpus.spec, texts)
    _, batches = build.build_batches(config, corpus, texts)
    prepare = to_network(corpus.spec, corpus.manifest.steps_per_unit)
    example = jax.eval_shape(prepare, batches.batch(0))
    shapes = jax.eval_shape(objective.init, jax.random.key(0), example)
    place = replicated(mesh)
    params, model_state = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=place), shapes
    )
    step = jax.ShapeDtypeStruct((), jnp.int32, sharding=place)
    state = checkpoints.restore_model(TrainState(step, params, model_state, ()))
    results = run(config, corpus, texts, objective, state)
    content = run_dir.summary(
        config,
        corpus,
        results,
        step=about.step,
        loss=None,
        seconds=time.monotonic() - started,
    )
    run_dir.write_results(workdir, content, results, simulated=corpus.manifest.simulated)
    return content
