"""The training loop: one for every system, read from top to bottom."""

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import build, evaluate, leakage, pretrained, results, run_dir, start, validation
from elm_jax.axes import Array
from elm_jax.checkpoint import Checkpoints
from elm_jax.convert import probe as probes
from elm_jax.cost import compile_steps
from elm_jax.data.corpus import Corpus
from elm_jax.data.pipeline import to_network
from elm_jax.data.read_ahead import reader_of
from elm_jax.data.spec import SignalSpec
from elm_jax.data.text import distinct
from elm_jax.image_encoder import overlay
from elm_jax.metrics import Measures, MetricsWriter
from elm_jax.objectives.base import Objective
from elm_jax.optim import make_optimizer
from elm_jax.preemption import Preempted, StopRequests
from elm_jax.prefetch import to_device
from elm_jax.progress import Progress
from elm_jax.schedules import run_length
from elm_jax.sharding import make_mesh, replicated, require_divisible
from elm_jax.state import TrainState, init_state
from elm_jax.step import make_step
from elm_jax.text_source import TextSource
from elm_jax.trace import Trace
from elm_jax.watch import Spent, Watch

log = logging.getLogger(__name__)


class NonFiniteLoss(RuntimeError):
    """The loss or a gradient stopped being a number; the last good state was kept."""


def train(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Trains as ``config`` says, resuming what ``workdir`` holds; then runs the evals.

    Returns:
      What was written to ``summary.json``.

    Raises:
      SpecError, ValueError, FileNotFoundError: a config that does not fit its data or model; all
        of these come before any training step.
      NonFiniteLoss: training diverged.
      Preempted: told to stop; the state is saved.
    """
    # -- devices ------------------------------------------------------------------------------
    began, began_unix_s = time.monotonic(), time.time()
    mesh = make_mesh(config.mesh.to_dict())
    jax.set_mesh(mesh)

    # -- data ---------------------------------------------------------------------------------
    begin = start.find(config, workdir)
    start.settle(config, begin)
    corpus = Corpus.open(config, open_fields=build.open_fields(config))
    corpus = start.normalised(config, corpus, begin)
    texts = _texts(config, corpus, workdir, begin)
    build.settle_labels(config, corpus)
    sampler, batches = build.build_batches(config, corpus, texts)
    kinds = batches.kinds()
    example, processes = kinds[0].example, jax.process_count()
    kinds_of_rows = {f"batch[{k!r}]": len(v) * processes for k, v in example.items()}
    require_divisible(kinds_of_rows, mesh, config.microbatches)
    per_epoch, rows = sampler.steps_per_epoch(0), sampler.rows_per_batch
    schedule = config.optimizer.schedule.to_dict()
    checks = dict(config.validation) if config.get("validation") else None
    keep = config.checkpoint
    _require_use(keep, checks)
    stop = StopRequests(save_every_minutes=keep.get("every_minutes"))
    length = run_length(
        schedule,
        steps_per_epoch=per_epoch,
        rows_per_step=rows,
        validation_epochs=validation.every_epochs(checks),
    )
    build.settle_length(config, length)

    # -- objective ----------------------------------------------------------------------------
    prepare = to_network(corpus.spec, corpus.manifest.steps_per_unit)
    objective = build.build_objective(config, corpus.spec, texts)
    evaluate.check(config, corpus, texts)  # a mistake there must not wait for the end
    seen_before = leakage.seen_before(begin.about, begin.parts)
    seen = leakage.seen_by(config, corpus, sampler, seen_before)
    evaluate.require_unseen(config, corpus, seen.trained_on)

    # -- state --------------------------------------------------------------------------------
    settings = config.optimizer.to_dict()
    frozen = (*objective.frozen, *(texts.frozen if texts else ()))
    settings["rules"] = (*((p, "freeze") for p in frozen), *settings["rules"])
    state, optimizer = init_state(
        objective,
        jax.eval_shape(prepare, example),
        make_tx=lambda params: make_optimizer(settings, params, length),
        overlay=overlay(
            config,
            getattr(objective, "encoder", None),
            texts.overlay if texts else lambda params: params,
            resumed=begin.about is not None,
        ),
        seed=config.seed,
        mesh=mesh,
        rules=config.sharding,
    )

    # -- restore: own workdir, then config.resume, then config.init_from, then scratch ----------
    checkpoints = Checkpoints(workdir, keep_last=keep.keep_last, keep_best=keep.keep_best)
    state, origin = start.restore(config, begin, state, corpus.spec)
    first, total = int(state.step), length.total_steps
    trace = Trace(config.profile, workdir, first=first, last=total)
    run_dir.describe(config, workdir, corpus, state, origin, length)
    leakage.tell(config, seen.trained_on)

    # -- validation ---------------------------------------------------------------------------
    valid = validation.of_run(
        checks,
        lambda split: build.build_batches(config, corpus, texts, split),
        objective=objective,
        prepare=prepare,
        optimizer=optimizer,
        length=length,
        state=state,
        mesh=mesh,
        history=begin.history,
        noted=begin.extra.get("noted", ()),
        threads=config.data.reader_threads,
        by=reader_of(config),
    )

    # -- step ---------------------------------------------------------------------------------
    parts, place = config.microbatches, jax.tree.map(lambda x: x.sharding, state)
    make = functools.partial(
        make_step, objective, optimizer, prepare, config.seed, remat=config.remat, place=place
    )
    at_once = make() if parts > 1 else None
    step_fn, cost = compile_steps(
        make(microbatches=parts), state, kinds, mesh, dtype=config.dtype, at_once=at_once
    )
    eyes = Watch(rows, cost, Spent.of(begin.extra.get("spent"), began_unix_s))
    probe = _probing(objective, corpus.spec, config.dtype, mesh)
    writer = MetricsWriter(workdir, resumed_step=first)
    save_every = max(1, round(keep.every_epochs * per_epoch))

    def save(state: TrainState, *, due: bool) -> None:
        loss, step = unsaved.means()["loss"], int(state.step)
        # What is saved because of a signal or the clock does not compete for the best.
        selection = valid.selection(step) if due else math.inf
        if due:
            unsaved.clear()
        about = dict(config=run_dir.plain_config(config), spec=corpus.spec, **seen._asdict())
        extra = start.carried(config, begin, corpus) | {
            "use": keep.get("use", "last"),
            "validation": valid.to_json(),
            "noted": valid.noted(),
        }
        extra["probe"] = probe(state)
        extra["spent"] = eyes.to_json()
        extra["unlogged"], extra["unsaved"] = unlogged.to_json(), unsaved.to_json()
        writer.flush()  # a checkpoint never knows of more than the curve
        checkpoints.save(state, loss=loss, selection=selection, extra=extra, **about)
        stop.saved()

    # -- loop ---------------------------------------------------------------------------------
    unlogged = Measures(begin.extra.get("unlogged"))
    unsaved = Measures(begin.extra.get("unsaved"))  # since the last checkpoint that was due
    previous: dict[str, Array] | None = None  # measures of the step before
    last = first if valid.stopped else total
    reading = dict(threads=config.data.reader_threads, by=reader_of(config))
    stream = batches.dataset(first, last, **reading)
    stream = to_device(stream, mesh, ahead=config.data.prefetch_batches)
    kept = checkpoints.finished()
    with writer, kept, closing(stream), Progress(first, total) as progress, stop, trace, eyes:
        for done, batch in enumerate(eyes.fed(stream), first + 1):
            trace.before(done)
            state, measures = step_fn(state, batch)
            eyes.started(measures["loss"])
            trace.after(done, measures["loss"])
            # Looked at one step late, so that the device never waits for the host; the state itself
            # refuses a step that is not finite.
            if previous is not None:
                _require_finite(done - 1, previous, checkpoints)
            previous = measures
            unlogged.add({k: v for k, v in measures.items() if k != "finite"})
            unsaved.add({"loss": measures["loss"]})
            valid.note(measures)
            progress.advance()
            ends = done == total or valid.due(done)
            if done % config.log_every_steps == 0 or ends:
                _require_finite(done, measures, checkpoints)
                values = unlogged.means() | {"learning_rate": float(measures["learning_rate"])}
                values |= eyes.report() | {"epoch": done / per_epoch}
                progress.show(done, values)
                state, measured = valid(done, state)
                writer.write(done, values | measured)
                unlogged.clear()
            told_to_stop = stop.asked(done)
            due = done % save_every == 0 or ends
            if due or told_to_stop or stop.save_due:
                _require_finite(done, measures, checkpoints)
                save(state, due=due)
            checkpoints.raise_errors()
            if told_to_stop and done < total:
                raise Preempted(f"told to stop: the state of step {done} is saved in {workdir}")
            if valid.stopped:
                break

    # -- the state that stands for the run: its last, or its best ---------------------------------
    step = int(state.step)
    if (chosen := checkpoints.chosen_step() or step) != step:
        state = checkpoints.restore_model(state, chosen)
        log.info("state    of step %d, the best of the run, from here on", chosen)

    # -- evals --------------------------------------------------------------------------------
    source = dict(source=str(workdir), **seen._asdict())
    model = pretrained.of_run(config, corpus.spec, objective, state, texts, **source)
    found = evaluate.run(config, corpus, model)
    for name, result in found.items():
        writer.write(
            int(state.step), {f"{name}/{k}": v for k, v in result.scalars.items()}, log_line=False
        )
    writer.close()
    checkpoints.close()
    content = results.summary(
        config,
        corpus,
        found,
        spec=model.spec,
        step=model.step,
        loss=run_dir.last_loss(workdir),
        seconds=time.monotonic() - began,
        model=model.about,
        people=evaluate.about_people(config, corpus, model),
    )
    return results.write_results(workdir, content, found, simulated=corpus.simulated)


def _texts(
    config: Any, corpus: Corpus, workdir: epath.Path, begin: start.Start
) -> TextSource | None:
    """The run's text tower, if its model reads text.

    A vocabulary is the run's own, or that of the run whose tower it takes over.
    """
    if not config.text:
        return None
    origins = [epath.Path(config.resume)] if config.resume else []
    if begin.parts is not None and begin.parts.text_tower_dir and start.takes_text_tower(config):
        origins.append(epath.Path(begin.parts.text_tower_dir.parent))
    return build.build_text_source(
        config,
        workdirs=(workdir, *origins),
        cache=workdir.parent / "text_cache",
        corpus=lambda: distinct(corpus.segments("train")),
    )


def _probing(
    objective: Objective, spec: SignalSpec, dtype: str, mesh: Any
) -> Callable[[TrainState], dict[str, Any] | None]:
    """What a checkpoint is checked by on loading: its outputs for a signal made from a seed."""
    run = jax.jit(objective.predict, out_shardings=replicated(mesh))

    def outputs_of(state: TrainState) -> dict[str, Any] | None:
        def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return jax.device_get(run(state.params, state.model_state, dict(batch)))

        try:
            return probes.make(predict, spec, dtype=dtype).outputs_json()
        except probes.BadProbe as error:  # a model that gives nothing must still be kept
            log.warning("checkpoint of step %d cannot be checked on loading: %s", state.step, error)
            return None

    return outputs_of


def _require_use(keep: Any, checks: Mapping[str, Any] | None) -> None:
    """Raises unless ``config.checkpoint.use`` can be done with the validation there is.

    Raises:
      ValueError: an unknown word, or the best where none is measured or kept.
    """
    use = keep.get("use", "last")
    if use not in ("best", "last"):
        raise ValueError(f"config.checkpoint.use is {use!r}; known: 'best', 'last'")
    if use == "best" and (keep.keep_best < 1 or not checks):
        raise ValueError(
            "config.checkpoint.use='best' needs config.validation, which says what is best, and "
            "config.checkpoint.keep_best of at least 1"
        )


def _require_finite(step: int, measures: dict[str, Array], checkpoints: Checkpoints) -> None:
    """Raises NonFiniteLoss if the step was not finite; what was being saved is finished first."""
    if bool(measures["finite"]):
        return
    checkpoints.wait()
    values = ", ".join(f"{k}={float(v):.4g}" for k, v in measures.items() if k != "finite")
    raise NonFiniteLoss(
        f"step {step} is not finite ({values}); it was not applied. Last good checkpoint: step "
        f"{checkpoints.latest_step()} in {checkpoints.path}. Lower config.optimizer.rate, set "
        "config.optimizer.clip_norm, or look at the batch of that step."
    )
