"""Orbax checkpoints: state, config and signal description together, restored onto any mesh."""

import contextlib
import dataclasses
import json
import logging
from collections.abc import Iterator
from typing import Any

import absl.logging
import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers

from elm_jax import digest, distributed, paths
from elm_jax.checkpoint_errors import (
    CorruptCheckpoint,
    SaveFailed,
    only_through_exceptions,
    without_tracebacks,
)
from elm_jax.data.people import People
from elm_jax.data.spec import SignalSpec
from elm_jax.messages import listed
from elm_jax.state import TrainState
from elm_jax.trees import path_of

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Described:
    """What a checkpoint says of itself, beside its arrays.

    Attributes:
      step: of training.
      config: the config it was trained with.
      spec: the signal it was trained on.
      trained_on: the people whose recordings or reports shaped the parameters; None where the
        checkpoint does not tell.
      selected_on: the people on whose recordings a step, a rate or a temperature was chosen; None
        where the checkpoint does not tell.
      extra: JSON-ready values that travel along; see :meth:`Checkpoints.save`.
    """

    step: int
    config: dict[str, Any]
    spec: SignalSpec
    trained_on: People | None = None
    selected_on: People | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


def _selection_of(metrics: dict[str, float]) -> float:
    # Runs from before there was validation have a training loss alone.
    return metrics.get("selection", metrics["loss"])


def _policy(keep_last: int, keep_best: int):
    policies: list[Any] = [checkpoint_managers.LatestN(keep_last)]
    if keep_best:
        best = checkpoint_managers.BestN(
            get_metric_fn=_selection_of,
            reverse=True,
            n=keep_best,
            keep_checkpoints_without_metrics=False,
        )
        policies.append(best)
    return checkpoint_managers.AnyPreservationPolicy(policies)


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(level)


class Checkpoints:
    """The ``checkpoints/`` folder of a workdir: asynchronous, keeps the last n and the best.

    Args:
      workdir: the run's folder.
      keep_last: how many of the newest checkpoints stay.
      keep_best: how many of the best stay as well: by the validated value, or, in runs without
        validation, by the training loss.
      read_only: only read: nothing is made, and nothing unfinished is cleared away.

    Raises:
      FileNotFoundError: ``read_only``, and there is no such folder.
      CorruptCheckpoint: what a checkpoint says of its loss cannot be read.
      SaveFailed: the folder cannot be made.
    """

    def __init__(
        self,
        workdir: epath.PathLike,
        *,
        keep_last: int = 2,
        keep_best: int = 1,
        read_only: bool = False,
    ):
        self.path = paths.absolute(workdir) / "checkpoints"  # Orbax wants it so
        if read_only and not self.path.exists():
            raise FileNotFoundError(f"{workdir} is no workdir of an earlier run: no {self.path}")
        options = dict(
            preservation_policy=_policy(keep_last, keep_best),
            # The policy decides; without this the losses are not stored for the next process.
            best_fn=_selection_of,
            best_mode="min",
            cleanup_tmp_directories=not read_only,
            enable_async_checkpointing=not read_only,
            read_only=read_only,
            create=not read_only,
        )
        only_through_exceptions()
        self._under_way: int | None = None  # step of the save of which nobody knows the end yet
        self._abouts: dict[int, dict[str, Any]] = {}
        _require_losses(self.path)
        # Orbax warns that a manager asked to be read-only is read-only.
        quiet = _errors_only() if read_only else contextlib.nullcontext()
        with quiet, self._writing(None):
            self._manager = ocp.CheckpointManager(
                self.path,
                options=ocp.CheckpointManagerOptions(**options),
                item_names=("model", "optimizer", "about"),
            )

    def latest_step(self) -> int | None:
        """The last step that was saved whole."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The kept step with the best validated value (without validation: the lowest loss)."""
        metrics = {s: self._manager.metrics(s) for s in sorted(self._manager.all_steps())}
        costs = {s: _selection_of(m) for s, m in metrics.items() if m}
        return min(costs, key=costs.get, default=None)

    def chosen_step(self) -> int | None:
        """The step that stands for the run: its last, or its best where it was told to use that."""
        latest = self.latest_step()
        if latest is None or self.describe(latest).extra.get("use") != "best":
            return latest
        best = self.best_step()
        return latest if best is None else best

    def save(
        self,
        state: TrainState,
        *,
        config: dict[str, Any],
        spec: SignalSpec,
        loss: float | None,
        selection: float | None = None,
        trained_on: People | None = None,
        selected_on: People | None = None,
        extra: dict[str, Any] | None = None,
    ) -> bool:
        """Saves unless this step is there already; returns at once, writing goes on behind.

        A converted model has no optimiser's state (``state.opt_state`` is empty) and no loss.

        Args:
          state: what is saved.
          config: the config as run.
          spec: the signal.
          loss: of training since the last save.
          selection: what the best is chosen by, the smallest; None takes ``loss``.
          trained_on: see :class:`Described`.
          selected_on: see :class:`Described`.
          extra: JSON-ready values that travel along. With ``use="best"``, :meth:`chosen_step` is
            the best.

        Raises:
          SaveFailed: this save, or the one before it, which had gone on behind.
        """
        step = int(state.step)
        if step == self.latest_step():
            return False
        about = {"config": config, "spec": spec.to_dict(), "extra": extra or {}}
        for name, people in (("trained_on", trained_on), ("selected_on", selected_on)):
            about |= {} if people is None else {name: people.to_json()}
        items = dict(
            model=ocp.args.StandardSave(_model_part(state)), about=ocp.args.JsonSave(about)
        )
        about["digests"] = {"model": digest.digests(_model_part(state))}
        if jax.tree.leaves(state.opt_state):
            items["optimizer"] = ocp.args.StandardSave(state.opt_state)
            about["digests"]["optimizer"] = digest.digests(state.opt_state)
        metrics = None
        if loss is not None:
            selection = loss if selection is None else selection
            metrics = {"loss": float(loss), "selection": float(selection)}
        self.wait()
        self._under_way = step
        # Orbax warns where there are no metrics.
        quiet = _errors_only() if loss is None else contextlib.nullcontext()
        with quiet, self._writing(step):
            return self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def describe(self, step: int | None = None) -> Described:
        """Config, signal description and people of a step (default: the latest).

        Raises:
          CorruptCheckpoint: it cannot be read.
        """
        step = self._require(step)
        about, source = self._about(step), f"{self.path}/{step}"
        spec = SignalSpec.from_dict(about["spec"], source=source)
        # Checkpoints of before people were recorded lack both.
        people = (
            People.from_json(about.get(name), source=f"{source}: {name}")
            for name in ("trained_on", "selected_on")
        )
        return Described(step, about["config"], spec, *people, extra=about.get("extra", {}))

    def _about(self, step: int) -> dict[str, Any]:
        if step not in self._abouts:
            args = ocp.args.Composite(about=ocp.args.JsonRestore())
            with self._reading(step):
                about = self._manager.restore(step, args=args)["about"]
                missing = {"config", "spec"} - set(about)
                if missing:
                    raise KeyError(f"about lacks {sorted(missing)}")
            self._abouts[step] = about
        return self._abouts[step]

    def read_model(self, step: int | None = None) -> dict[str, Any]:
        """``{"params", "model_state"}`` of a step as numpy arrays, in the shapes they were saved.

        For who asks what there is; training restores into shapes that it knows.
        """
        step = self._require(step)
        place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        with self._reading(step):
            abstract = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
                self._saved_tree("model", step),
                is_leaf=lambda x: hasattr(x, "shape"),
            )
            tree = self._read("model", abstract, step)
        return jax.tree.map(np.asarray, {k: tree[k] for k in ("params", "model_state")})

    def restore(self, abstract: TrainState, step: int | None = None) -> TrainState:
        """The state of a step, laid out as ``abstract`` says (shapes, dtypes, shardings).

        Raises:
          FileNotFoundError: there is no such step, or it is a converted model's.
          ValueError: a tensor is missing, unexpected or of another shape; names it.
          CorruptCheckpoint: files are missing or damaged, or hold other bits than were saved.
        """
        opt_state = self._item("optimizer", abstract.opt_state, step)
        return self.restore_model(abstract, step).replace(opt_state=opt_state)

    def restore_model(self, abstract: TrainState, step: int | None = None) -> TrainState:
        """As :meth:`restore`, without the optimiser's state (which stays as in ``abstract``)."""
        return abstract.replace(**self._item("model", _model_part(abstract), step))

    def _item(self, name: str, abstract: Any, step: int | None) -> Any:
        step = self._require(step)
        if not (self.path / str(step) / name).exists() and name not in self._digests(step):
            raise FileNotFoundError(
                f"{self.path}/{step} has no {name}: a converted model, which no run can be resumed "
                "from; give it as --config.init_from, and another --workdir"
            )
        with self._reading(step):
            saved = _shapes(self._saved_tree(name, step))
        _require_same_tensors(saved, _shapes(abstract), f"{self.path}/{step}/{name}")
        with self._reading(step):
            return self._read(name, abstract, step)

    def _saved_tree(self, name: str, step: int) -> Any:
        return ocp.StandardCheckpointHandler().metadata(self.path / str(step) / name).tree

    def _read(self, name: str, abstract: Any, step: int) -> Any:
        """An item, its bits compared with those that were saved."""
        args = ocp.args.Composite(**{name: ocp.args.StandardRestore(abstract)})
        tree = self._manager.restore(step, args=args)[name]
        # Orbax checks where arrays lie, not what is in them.
        if bad := digest.differing(tree, self._digests(step).get(name, {})):
            raise ValueError(f"not what was saved: {listed(bad)}")
        return tree

    def _digests(self, step: int) -> dict[str, dict[str, str]]:
        """Of each item; checkpoints of before there were any have none."""
        return self._about(step).get("digests", {})

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """What goes wrong inside is the fault of the checkpoint of ``step``."""
        try:
            with without_tracebacks(), paths.told():
                yield
        except (jax.errors.JaxRuntimeError, CorruptCheckpoint):  # memory, say
            raise
        except Exception as error:
            closed = isinstance(error, paths.RemoteError) and not isinstance(
                error, FileNotFoundError
            )
            if closed or distributed.tells_of_a_lost_peer(error):
                raise
            others = [s for s in sorted(self._manager.all_steps()) if s != step]
            raise CorruptCheckpoint.of(self.path, step, error, others) from error

    @contextlib.contextmanager
    def _writing(self, step: int | None) -> Iterator[None]:
        """What goes wrong inside kept ``step`` from being saved."""
        try:
            with paths.told():
                yield
        except (OSError, ValueError) as error:
            if distributed.tells_of_a_lost_peer(error):
                raise
            whole = None if step is None else self._manager.latest_step()
            raise SaveFailed.of(self.path, step, error, whole) from error

    def _require(self, step: int | None) -> int:
        step = self.latest_step() if step is None else step
        have = sorted(self._manager.all_steps())
        if step is None:
            raise FileNotFoundError(f"{self.path}: no finished checkpoint; train into it first")
        if step not in have:
            raise FileNotFoundError(f"{self.path}: no checkpoint of step {step}; there are {have}")
        return step

    @contextlib.contextmanager
    def finished(self) -> Iterator[None]:
        """What is being saved when the block ends is written first, also where the block fails.

        Raises:
          SaveFailed: it could not be written; only told where the block failed by itself.
        """
        try:
            yield
        except BaseException:
            try:
                self.wait()
            except SaveFailed as error:
                log.error("%s", error)
            raise
        self.wait()

    def wait(self) -> None:
        """Blocks until what was saved is on disk, and raises what went wrong in writing it.

        Raises:
          SaveFailed: that is not there.
        """
        step, self._under_way = self._under_way, None
        if step is not None:
            with self._writing(step):
                self._manager.wait_until_finished()

    def raise_errors(self) -> None:
        """Raises what went wrong in a save that is through; one under way is not waited for.

        Raises:
          SaveFailed: it is not there.
        """
        if self._under_way is not None and not self._manager.is_saving_in_progress():
            self.wait()

    def close(self) -> None:
        """Waits and lets go."""
        self.wait()
        self._manager.close()


def _require_losses(folder: epath.Path) -> None:
    """Raises CorruptCheckpoint where a step's losses are no JSON, which Orbax does not place."""
    steps = [int(p.name) for p in folder.iterdir() if p.name.isdigit()] if folder.exists() else []
    for step in steps:
        path = folder / str(step) / "metrics" / "metrics"
        try:
            if path.exists():
                json.loads(path.read_text())
        except ValueError as error:
            others = sorted(s for s in steps if s != step)
            raise CorruptCheckpoint.of(folder, step, error, others) from error


def _model_part(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "params": state.params, "model_state": state.model_state}


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda x: hasattr(x, "shape"))
    return {
        path_of(path): tuple(x.shape) for path, x in leaves if getattr(x, "shape", None) is not None
    }


def _require_same_tensors(saved: dict[str, tuple], wanted: dict[str, tuple], source: str) -> None:
    lines = [f"missing in the checkpoint: {k} {wanted[k]}" for k in sorted(wanted.keys() - saved)]
    lines += [f"unknown to this model: {k} {saved[k]}" for k in sorted(saved.keys() - wanted)]
    lines += [
        f"{k}: the checkpoint has {saved[k]}, this model {wanted[k]}"
        for k in sorted(saved.keys() & wanted.keys())
        if saved[k] != wanted[k]
    ]
    if lines:
        raise ValueError(
            f"{source} does not fit the configured model:\n  {listed(lines)}\n"
            "Give the config that it was trained with (config.json in its workdir), or another "
            "--workdir."
        )
