"""Evals: after training, or of any finished model on any prepared directory."""

import contextlib
import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from etils import epath

from elm_jax import build, leakage, results, run_dir
from elm_jax.data.corpus import Corpus
from elm_jax.data.manifest import ManifestError
from elm_jax.data.people import People
from elm_jax.data.read_ahead import reader_of
from elm_jax.data.samplers import Sampler
from elm_jax.evals.base import Eval, EvalData, EvalResult, ModelInfo
from elm_jax.finished import open_finished
from elm_jax.metrics import read_metrics
from elm_jax.pretrained import Pretrained
from elm_jax.text_source import TextSource

log = logging.getLogger(__name__)

FEW_PEOPLE = 10  # whose resampling gives intervals that are too narrow, or of no width at all


def eval_data(
    config: Any, corpus: Corpus, texts: TextSource | None, model: Pretrained | None = None
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
        model=ModelInfo() if model is None else _about(model),
        by=reader_of(config),
        sampled=_sampled(config, corpus, texts),
    )


def _sampled(
    config: Any, corpus: Corpus, texts: TextSource | None
) -> Callable[[str], tuple[Sampler, Any]] | None:
    """The sampler of a training recipe and its batches, by split; None where it trains nothing."""
    if not config.get("sampler"):
        return None
    return functools.cache(lambda split: build.build_batches(config, corpus, texts, split))


def _about(model: Pretrained) -> ModelInfo:
    return ModelInfo(
        model.source,
        model.weights_sha256,
        model.trained_on,
        model.selected_on,
        by_name="channels" in model.open_fields,
    )


def check(config: Any, corpus: Corpus, texts: TextSource | None) -> None:
    """Says now what would stop :func:`run`, which comes after hours of training.

    An eval of a split that the data lack is left out, with a warning here and a note in the
    summary: one may train on everything.

    Raises:
      ValueError: settings or labels that an eval cannot use.
    """
    data, evals = eval_data(config, corpus, texts), build.build_evals(config)
    leakage.mode_of(config)
    results.require_free_names(evals)
    for name, evaluation in evals.items():
        try:
            evaluation.check(data)
        except ManifestError as error:
            log.warning("eval     %s will be left out: %s", name, error)
        except ValueError as error:
            raise ValueError(f"config.evals.{name}: {error}") from error


def require_unseen(config: Any, corpus: Corpus, people: People | None) -> None:
    """Refuses, before any work, evals that would score whom the model was trained on.

    Raises:
      TrainedOn: there are some, and ``config.evals.trained_on_people`` is "refuse".
    """
    data = eval_data(config, corpus, None)
    for name, evaluation in build.build_evals(config).items():
        with contextlib.suppress(ManifestError):  # left out, which check() has said
            leakage.guard(name, evaluation, data, leakage.mode_of(config), people)


def run(config: Any, corpus: Corpus, model: Pretrained) -> dict[str, EvalResult]:
    """Every eval of ``config.evals``, by name, on a model that takes ``corpus.spec``.

    Raises:
      TrainedOn: an eval would score people whom the model was trained on; see
        :mod:`elm_jax.leakage`.
    """
    predict = model.predictor(corpus.manifest.steps_per_unit)
    data = eval_data(config, corpus, model.texts, model)
    mode, found = leakage.mode_of(config), {}
    for name, evaluation in build.build_evals(config).items():
        began = time.monotonic()
        try:
            evaluation.check(data)
            notes = leakage.guard(name, evaluation, data, mode, model.trained_on)
        except ManifestError as error:
            found[name] = EvalResult(notes=(str(error),))
            continue
        found[name] = evaluation(predict, data)
        if mode == "mark" and model.trained_on is not None:
            found[name] = leakage.mark(found[name], evaluation, data, notes, model.trained_on)
        found[name] = _with_caution(found[name], evaluation, data)
        log.info("eval     %s took %.1f s", name, time.monotonic() - began)
    return results.with_own_stems(found)


def _with_caution(result: EvalResult, evaluation: Eval, data: EvalData) -> EvalResult:
    """With notes: where few people are scored, and where they may be those of training."""
    known = data.manifest.people
    people = {person for split in evaluation.scored_splits for person in known.get(split, ())}
    notes = []
    if len(people) == 1:  # over whom there is no interval
        notes.append("one person is scored: nothing follows for others")
    elif 1 < len(people) < FEW_PEOPLE:
        notes.append(f"{len(people)} people are scored: an interval over so few says little")
    if data.manifest.split_by == "recording":
        notes.append(
            "the data are split by recording: scores are of people who may have been trained on, "
            "and say nothing about new people; where a probe counts people, it counts recordings"
        )
    return result._replace(notes=(*result.notes, *notes)) if result.scalars else result


def about_people(config: Any, corpus: Corpus, model: Pretrained) -> dict[str, Any]:
    """What summary.json says about whom the model has seen; warnings are said in the log, too."""
    data = eval_data(config, corpus, None, model)
    said = leakage.in_words(data.model, build.build_evals(config), data)
    for warning in said["warnings"]:
        log.warning("people   %s", warning)
    return said


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
    require_unseen(config, corpus, model.trained_on)
    found = run(config, corpus, model)
    own = (workdir / "checkpoints").exists()
    folder = workdir / "evaluation" if own else workdir
    content = results.summary(
        config,
        corpus,
        found,
        spec=model.spec,
        step=model.step,
        loss=run_dir.last_loss(workdir) if read_metrics(workdir) else None,
        seconds=time.monotonic() - started,
        model=model.about,
        people=about_people(config, corpus, model),
    )
    run_dir.write_config(config, folder)
    return results.write_results(folder, content, found, simulated=corpus.manifest.simulated)
