"""Evals: after training, or of any finished model on any prepared directory."""

import json
import logging
import time
from typing import Any

from etils import epath

from elm_jax import build, run_dir
from elm_jax.data.manifest import ManifestError
from elm_jax.evals.base import EvalData, EvalResult, ModelInfo
from elm_jax.finished import open_finished
from elm_jax.metrics import read_metrics
from elm_jax.pretrained import Pretrained
from elm_jax.text_source import TextSource

log = logging.getLogger(__name__)


def eval_data(
    config: Any, corpus: build.Corpus, texts: TextSource | None, model: Pretrained | None = None
) -> EvalData:
    """What the evals read; without a ``model``, what they can be checked with before training."""
    return EvalData(
        corpus.manifest,
        corpus.reader,
        corpus.windows,
        None if texts is None else texts.table,
        rows_per_batch=config.evals.rows_per_batch,
        segments=corpus.segments,
        require_whole=None if texts is None else texts.require_whole,
        random_predict=None
        if model is None
        else lambda seed: model.randomised(seed).predictor(corpus.manifest.steps_per_unit),
        model=ModelInfo()
        if model is None
        else ModelInfo(model.source, model.weights_sha256, model.trained_on, model.selected_on),
    )


def check(config: Any, corpus: build.Corpus, texts: TextSource | None) -> None:
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


def run(config: Any, corpus: build.Corpus, model: Pretrained) -> dict[str, EvalResult]:
    """Every eval of ``config.evals``, by name, on a model that takes ``corpus.spec``."""
    predict = model.predictor(corpus.manifest.steps_per_unit)
    data = eval_data(config, corpus, model.texts, model)
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


def evaluate(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Runs the evals on ``config.model``, or on the latest checkpoint of ``workdir`` itself.

    The results of a workdir's own checkpoint go into its ``evaluation/``, beside those of its
    training; those of another model into ``workdir``.

    Returns:
      What was written to ``summary.json``.

    Raises:
      FileNotFoundError: there is no model.
      SpecError, ValueError: the model takes another signal than the data, or an eval cannot use
        the labels.
    """
    started = time.monotonic()
    model, corpus = open_finished(config, workdir)
    check(config, corpus, model.texts)
    results = run(config, corpus, model)
    own = (workdir / "checkpoints").exists()
    folder = workdir / "evaluation" if own else workdir
    content = run_dir.summary(
        config,
        corpus,
        results,
        step=model.step,
        loss=run_dir.last_loss(workdir) if read_metrics(workdir) else None,
        seconds=time.monotonic() - started,
    )
    content["model"] = {"source": model.source, "weights_sha256": model.weights_sha256}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(run_dir.plain_config(config), indent=1) + "\n")
    run_dir.write_results(folder, content, results, simulated=corpus.manifest.simulated)
    return content
