"""A finished model: asked for vectors, fitted to other signals, described, saved and shared.

:mod:`elm_jax.pretrained` makes one from wherever it lies.
"""

import copy
import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import encoders, networks
from elm_jax.axes import Float, ModelState, Params
from elm_jax.convert import network
from elm_jax.convert.filling import FRESH_HEAD
from elm_jax.convert.parts import SELECTED_ON, ModelParts, unseen_channels, weights_sha256
from elm_jax.data.people import People
from elm_jax.data.pipeline import to_network
from elm_jax.data.spec import MOMENTS, SignalSpec, SpecError
from elm_jax.encoding import Encoding, in_calls, require_network_values
from elm_jax.evals.base import Predict
from elm_jax.objectives.base import Objective
from elm_jax.predict import make_predict, mesh_of
from elm_jax.sharding import replicated, to_host
from elm_jax.signals.one_recording import windows_by_name, windows_of
from elm_jax.text_source import TextSource

log = logging.getLogger(__name__)


class TextTowerMissing(ValueError):
    """A text was given to a model that reads none."""


@dataclasses.dataclass(eq=False)
class Pretrained:
    """A finished model with everything needed to use it.

    Attributes:
      spec: the signal it takes; its mean and std are those it was trained with.
      recipe: the sections of a config from which :mod:`elm_jax.build` makes its network.
      objective: the network; only ``predict`` is used.
      params: parameters.
      model_state: batch statistics.
      texts: the text tower; None where there is no text side.
      trained_on: the people it was trained on; None where its source does not tell.
      selected_on: the people on whose recordings a step or a rate was chosen; None likewise.
      assumed: fields of ``spec`` that its source does not tell.
      source: where it comes from.
      step: of its training; None where its source does not tell.
      parts: what was read of the source.
    """

    spec: SignalSpec
    recipe: dict[str, Any]
    objective: Objective
    params: Params
    model_state: ModelState
    texts: TextSource | None
    trained_on: People | None
    source: str
    selected_on: People | None = None
    assumed: tuple[str, ...] = ()
    step: int | None = None
    parts: ModelParts | None = None

    # -- vectors --------------------------------------------------------------------------------

    def encode(self, x: np.ndarray) -> Encoding:
        """Vectors of windows in *network values*: as ``spec`` (SignalSpec) says.

        Where its ``moments`` is "fixed", ``(signal * scale - mean) / std``; else z-scores of each
        channel in its recording (or window), which only whoever has the recording can make:
        :meth:`embed` does.

        Args:
          x: floating point ``[b, c, t]``; ``c`` channels and ``t`` samples are those of ``spec``.

        Raises:
          UnusableSignal: another shape than ``[b, channels, window]``, or values that are not
            finite.
        """
        x = require_network_values(x, self.spec)
        out = in_calls(self._predict, x.astype(np.float32, copy=False))
        return Encoding(out["features"], out.get("projection"), out.get("logits"))

    def embed(self, recording: Any, *, rename: Mapping[str, str | None] | None = None) -> Encoding:
        """Vectors of a recording, one row a window, through the pipeline that prepares training.

        Nothing is cut from the start: windows follow one another from the first sample on, anew
        after every gap; what is left at the end of a stretch and is shorter than a window goes.

        A model that reads channels by name takes those electrodes of the recording that it knows,
        at least four, whatever it was trained on; the log says which it left out.

        Args:
          recording: an ``mne.io.Raw`` (volts), or the path of an EDF, EDF+ or BDF file; of an ECG,
            the path of a WFDB record too (``records100/00000/00001_lr``, with or without ".hea"),
            or ``elm_jax.signals.ecg.recording.from_array(x, leads, sfreq_hz, "mV")``.
          rename: channel label in the recording -> electrode, derivation or lead meant.

        Raises:
          FileNotFoundError: no such file.
          UnusableSignal: a montage that cannot be built (names the missing electrodes), a
            recording shorter than a window, a broken file.
        """
        if "channels" in self.open_fields:
            found, spec = windows_by_name(recording, self.spec, rename=rename)
        else:
            found, spec = windows_of(recording, self.spec, rename=rename), self.spec
        encoding = self.taking(spec).encode(found.signal)
        told = dict(start_s=found.start_s, defects=found.defects, channels=spec.channels)
        return encoding._replace(**told)

    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "n e"]:
        """Vectors of texts in the space of ``projection``.

        Raises:
          TextTowerMissing: the model has no text side.
          ValueError: no text, an empty one, or one longer than the text tower takes.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise ValueError(f"expected texts with words in them, found {texts}")
        source, distinct = self.require_texts(), tuple(dict.fromkeys(texts))
        source.require_whole(distinct)
        table = source.table(distinct)
        batch = table.take(np.arange(len(table.texts)))
        return self._predict(batch)["text_projection"][table.rows(texts)]

    def require_texts(self) -> TextSource:
        """The text tower.

        Raises:
          TextTowerMissing: says how to get one.
        """
        if self.texts is None:
            raise TextTowerMissing(
                f"{self.source} has no text tower, so it cannot read texts. Fit one to your own "
                "reports: python -m elm_jax.main --config configs/elm_adapt.py "
                f"--config.init_from={self.source} --config.data.dir=SHARDS --workdir runs/adapted"
            )
        return self.texts

    @functools.cached_property
    def _predict(self) -> Predict:
        return make_predict(self.objective, self.params, self.model_state, whole=True)

    def predictor(self, steps_per_unit: float, spec: SignalSpec | None = None) -> Predict:
        """``predict`` for batches of stored integers, as shards hold them; see ``evals.base``.

        Args:
          steps_per_unit: of the shards' manifest.
          spec: by whose moments signals are normalised; the model's own by default.
        """
        prepare = to_network(spec or self.spec, steps_per_unit)
        return make_predict(self.objective, self.params, self.model_state, prepare=prepare)

    # -- signals that it takes ------------------------------------------------------------------

    @functools.cached_property
    def open_fields(self) -> tuple[str, ...]:
        """Fields of ``spec`` in which signals may differ: see ``encoders.open_fields``."""
        return encoders.open_fields(network.as_config(self.recipe))

    def taking(self, spec: SignalSpec) -> "Pretrained":
        """The same model for signals of ``spec``, which may differ from its own in what is open.

        Its parameters are those of this one. A montage is compiled once, however often it is asked
        for.

        Raises:
          SpecError: it does not take such signals: another rate or unit; channels or a window that
            a part of it, such as a classifier, was not made for.
        """
        if spec == self.spec:
            return self
        hint = f"{self.source} takes no other signals than those it was trained on in these fields."
        ignore = (*MOMENTS, *self.open_fields)
        self.spec.require_same(spec, source="the signal", hint=hint, ignore=ignore)
        if spec not in self._others:
            objective = self._objective_of(spec)
            self._tell_unseen(spec)
            parts = self.parts and dataclasses.replace(self.parts, probe=None)  # of another shape
            changed = dict(spec=spec, objective=objective, parts=parts)
            self._others[spec] = dataclasses.replace(self, **changed, **self._placed)
        return self._others[spec]

    def _tell_unseen(self, spec: SignalSpec) -> None:
        if "channels" not in self.open_fields or self.parts is None:
            return
        if unseen := unseen_channels(self.parts, spec.channels):
            log.warning(
                "%s was not trained on %d of these %d electrodes, as far as it tells, and their "
                "vectors mean nothing then: %s",
                self.source,
                len(unseen),
                len(spec.channels),
                ", ".join(unseen),
            )

    @functools.cached_property
    def _others(self) -> dict[SignalSpec, "Pretrained"]:
        return {}

    def _objective_of(self, spec: SignalSpec) -> Objective:
        """The network for such signals, of which these parameters must be."""
        if (spec.channels, spec.window_samples) == (self.spec.channels, self.spec.window_samples):
            return self.objective
        config = network.as_config(self.recipe)
        try:
            objective = networks.build_objective(config, spec, self.texts)
            own = (self.params, self.model_state)
            network.require_shapes(
                objective, ModelParts(spec, self.recipe, *own, source=self.source)
            )
        except ValueError as error:
            raise SpecError(
                f"{self.source} does not take {len(spec.channels)} channels in windows of "
                f"{spec.window_s:g} s: {error}"
            ) from error
        return objective

    @functools.cached_property
    def _placed(self) -> dict[str, Any]:
        """Parameters and state on the devices, so that every montage uses the same."""
        where = replicated(mesh_of(self.params))
        params, model_state = jax.device_put((self.params, self.model_state), where)
        return {"params": params, "model_state": model_state}

    # -- what it is -----------------------------------------------------------------------------

    @functools.cached_property
    def weights_sha256(self) -> str:
        """A digest over all parameters and batch statistics."""
        return weights_sha256(to_host(self.params), to_host(self.model_state))

    @property
    def about(self) -> dict[str, Any]:
        """What summary.json says about it."""
        known = {"source": self.source, "weights_sha256": self.weights_sha256}
        return known | ({"notices": list(self.notices)} if self.notices else {})

    @property
    def notices(self) -> tuple[str, ...]:
        """What whoever uses this model should know."""
        lines = []
        if self.assumed:
            told = ", ".join(f"{name}={getattr(self.spec, name)}" for name in self.assumed)
            names = " and ".join(self.assumed) if len(self.assumed) < 3 else "all"
            lines.append(
                f"{self.source} does not tell {names} of the signals it was trained on: {told} "
                "assumed; load_pretrained(..., mean=..., std=...) overrides"
            )
        if self.parts is not None and (fresh := self.parts.extra.get(FRESH_HEAD)):
            lines.append(
                f"{self.source}: its head of {fresh} outputs is new: it has learnt nothing"
            )
        if self.trained_on is None:
            lines.append(f"{self.source} does not tell whom it was trained on")
        return tuple(lines)

    def __repr__(self) -> str:
        size = sum(int(np.prod(p.shape)) for p in jax.tree.leaves(self.params))
        has = "with a text side" if self.texts else "no text side"
        name = self.recipe["encoder"]["name"]
        return f"Pretrained({self.source!r}: {name}, {size} parameters, {has})"

    def randomised(self, seed: int = 0) -> "Pretrained":
        """The same network with fresh parameters: the row of a table to compare with.

        Only its signal side is made.
        """
        signal = np.zeros((1, len(self.spec.channels), self.spec.window_samples), np.float32)
        params, state = jax.jit(self.objective.init)(jax.random.key(seed), {"signal": signal})
        return dataclasses.replace(
            self,
            params=params,
            model_state=state,
            texts=None,
            trained_on=People(),
            source=f"random weights (seed {seed})",
            parts=None,
        )

    def with_normalisation(self, spec: SignalSpec) -> "Pretrained":
        """The same model taking signals normalised as those of ``spec``."""
        told = self.spec.replace(**{name: getattr(spec, name) for name in MOMENTS})
        left = tuple(name for name in self.assumed if name not in MOMENTS)
        return dataclasses.replace(self, spec=told, assumed=left)

    # -- going elsewhere ------------------------------------------------------------------------

    def to_parts(self) -> ModelParts:
        """What :mod:`elm_jax.convert` writes, in any of its forms."""
        base = self.parts or ModelParts(self.spec, self.recipe, {}, {})
        chosen = {} if self.selected_on is None else {SELECTED_ON: self.selected_on.to_json()}
        return dataclasses.replace(
            base,
            spec=self.spec,
            recipe=copy.deepcopy(self.recipe),
            params=to_host(self.params),
            model_state=to_host(self.model_state),
            trained_on=None if self.trained_on is None else self.trained_on.to_json(),
            assumed=self.assumed,
            source=self.source,
            extra=base.extra | chosen,
        )

    def save_pretrained(self, directory: epath.PathLike, *, overwrite: bool = False) -> None:
        """Writes a directory that stands alone, for us and for PyTorch users alike.

        See :func:`elm_jax.convert.folder.write_folder` for what is in it.
        """
        from elm_jax.convert import folder

        folder.write_folder(self.to_parts(), directory, predict=self._predict, overwrite=overwrite)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> str:
        """Saves and uploads; returns the address. See :func:`elm_jax.convert.hub.push_to_hub`."""
        from elm_jax.convert import hub

        return hub.push_to_hub(self.to_parts(), repo_id, predict=self._predict, **kwargs)
