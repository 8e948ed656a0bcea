"""Evals: after training, or from a checkpoint without an optimiser."""

import functools
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
from elm_jax.data.manifest import ManifestError
from elm_jax.data.pipeline import to_network
from elm_jax.data.spec import SignalSpec
from elm_jax.evals.base import EvalData, EvalResult, Predict
from elm_jax.objectives.base import Objective
from elm_jax.sharding import make_mesh, replicated
from elm_jax.state import TrainState
from elm_jax.text_source import TextSource

log = logging.getLogger(__name__)


def make_predict(
    objective: Objective, state: TrainState, prepare: Callable[[Batch], Batch]
) -> Predict:
    """``objective.predict`` jitted, with host arrays in and out; the same on every process."""
    everywhere = jax.tree.leaves(state.params)[0].sharding.mesh

    @functools.partial(jax.jit, out_shardings=replicated(everywhere))
    def apply(params, model_state, batch):
        return objective.predict(params, model_state, prepare(batch))

    def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        out = apply(state.params, state.model_state, dict(batch))
        return {k: np.asarray(v, np.float32) for k, v in out.items()}

    return predict


def eval_data(config: Any, corpus: build.Corpus, texts: TextSource) -> EvalData:
    """What the evals read."""
    return EvalData(
        corpus.manifest,
        corpus.reader,
        corpus.windows,
        texts.table,
        rows_per_batch=config.evals.rows_per_batch,
    )


def check(config: Any, corpus: build.Corpus, texts: TextSource) -> None:
    """Says now what would stop :func:`run`, which comes after hours of training.

    An eval of a split that the data lack is left out, with a warning here and a note in the
    summary: one may train on everything.

    Raises:
      ValueError: settings or labels that an eval cannot use.
    """
    data = eval_data(config, corpus, texts)
    for name, evaluation in build.build_evals(config).items():
        try:
            evaluation.check(data)
        except ManifestError as error:
            log.warning("eval     %s will be left out: %s", name, error)
        except ValueError as error:
            raise ValueError(f"config.evals.{name}: {error}") from error


def run(
    config: Any, corpus: build.Corpus, texts: TextSource, objective: Objective, state: TrainState
) -> dict[str, EvalResult]:
    """Every eval of ``config.evals``, by name."""
    prepare = to_network(corpus.spec, corpus.manifest.steps_per_unit)
    predict = make_predict(objective, state, prepare)
    data = eval_data(config, corpus, texts)
    results = {}
    for name, evaluation in build.build_evals(config).items():
        began = time.monotonic()
        try:
            evaluation.check(data)
        except ManifestError as error:
            results[name] = EvalResult(notes=(str(error),))
            continue
        results[name] = evaluation(predict, data)
        log.info("eval     %s took %.1f s", name, time.monotonic() - began)
    return results


def _example(spec: SignalSpec, texts: TextSource) -> Batch:
    """One row of either side, for shapes alone: data to evaluate on may have no reports."""
    signal = np.zeros((1, len(spec.channels), spec.window_samples), np.float32)
    return {"signal": signal} | texts.table(("normal",)).take(np.zeros(1, np.int64))


def evaluate(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Runs the evals on the latest checkpoint of ``workdir``; writes to its ``evaluation/``.

    Returns:
      What was written to ``evaluation/summary.json``.

    Raises:
      FileNotFoundError: there is no checkpoint.
      SpecError, ValueError: the checkpoint is of another signal or model, or an eval cannot use
        the labels.
    """
    started = time.monotonic()
    mesh = make_mesh(config.mesh.to_dict())
    jax.set_mesh(mesh)
    corpus = build.Corpus.open(config)
    checkpoints = Checkpoints(workdir, read_only=True)
    about = checkpoints.describe()
    run_dir.require_same_model(config, about.config, str(checkpoints.path))
    hint = "Evaluate on shards prepared as the training shards were."
    about.spec.require_same(corpus.spec, source=config.data.dir, hint=hint, ignore=("mean", "std"))
    # The network values that the model was trained on: its own corpus's mean and std.
    corpus = corpus.with_normalisation(about.spec)
    texts = build.build_text_source(config, corpus, workdir, learn=False)
    check(config, corpus, texts)
    objective = build.build_objective(config, corpus.spec, texts)
    shapes = jax.eval_shape(objective.init, jax.random.key(0), _example(corpus.spec, texts))
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
        loss=run_dir.last_loss(workdir),
        seconds=time.monotonic() - started,
    )
    folder = workdir / "evaluation"
    run_dir.write_results(folder, content, results, simulated=corpus.manifest.simulated)
    return content
