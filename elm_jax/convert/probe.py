"""A stored input and what a model made of it: shows on loading that the model is that model.

Shapes and names can all fit where a model is not the one that was saved: another order of equal
layers, another number of attention heads, weights that were never copied. Its outputs then differ.
"""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import staging
from elm_jax.data.spec import SignalSpec

Predict = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

ROWS = 2
OUTPUTS = ("features", "projection", "text_projection", "logits")
# Largest difference over the largest value of an output, by what the model computes in. On CPUs of
# any make, in JAX and in PyTorch, float32 differs by 1e-6. Accelerators may round factors to
# TensorFloat-32 or bfloat16, whatever is asked for: 2e-3 was estimated for the released encoders
# by rounding their weights. In bfloat16 throughout they err by 1e-2. Two output channels of one of
# the 41 convolutions exchanged: 2e-2 (60 s) to 8e-1 (5 s); two blocks exchanged: more than 1.
CPU_TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
TOLERANCE = {"float32": 5e-3, "bfloat16": 3e-2}
CPU = "cpu"
LARGEST_BYTES = 1 << 26  # of an unpacked probe: a small file can be made to fill the memory


class ProbeMismatch(ValueError):
    """A model that does not give the output that was stored with it."""


class BadProbe(ValueError):
    """A probe file that is broken, unsafe or incomplete."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Inputs, as a batch for ``predict``, and the outputs that they gave.

    Attributes:
      inputs: ``signal [2, c, t]`` in network values; ``text_emb`` or ``text_token`` with
        ``text_token_valid`` where the model has a text side.
      outputs: those of :data:`OUTPUTS` that the model gives.
      dtype: what the model computes in.
      made_on: JAX's name of the platform that gave the outputs.
    """

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    dtype: str = "float32"
    made_on: str = CPU

    @property
    def input(self) -> np.ndarray:
        """The signal ``[2, c, t]``."""
        return self.inputs["signal"]

    @property
    def tolerance(self) -> float:
        """The largest difference that is rounding, here and where the outputs were made."""
        exact = self.made_on == CPU and _platform() == CPU
        return (CPU_TOLERANCE if exact else TOLERANCE)[self.dtype]

    def differences(self, predict: Predict) -> dict[str, float]:
        """Largest difference of each output, as a share of the stored one's largest value.

        Infinite where the output is missing, of another shape, or not finite.
        """
        found = _run(predict, self.inputs)
        return {k: _difference(found.get(k), v) for k, v in self.outputs.items()}

    def check(self, predict: Predict, source: str = "the model") -> None:
        """Raises unless ``predict`` gives the stored outputs.

        Raises:
          ProbeMismatch: names the output, the largest difference and the tolerance.
        """
        found = self.differences(predict)
        worst = max(found, key=found.__getitem__)
        if not found[worst] <= self.tolerance:
            raise ProbeMismatch(
                f"{source}: the built model is not the one that was saved: of its probe's outputs "
                f"{worst!r} differs by {found[worst]:.3g} of the largest value (tolerance "
                f"{self.tolerance:g}; all: {_listing(found)}). The weights were not really loaded, "
                "or the settings (pooling, heads, order of layers) are not those they were "
                "trained with."
            )

    def require_window(self, spec: SignalSpec, source: str) -> None:
        """Raises unless the stored signal is one of ``spec``.

        Raises:
          ProbeMismatch: another number of channels or samples.
        """
        expected = (ROWS, len(spec.channels), spec.window_samples)
        if self.input.shape != expected:
            raise ProbeMismatch(
                f"{source}: the probe's signal has shape {self.input.shape}, the signal's "
                f"description (channels, window_s, sfreq_hz) asks for {expected}: two models"
            )

    def outputs_json(self) -> dict[str, Any]:
        """What :func:`from_outputs` reads: the outputs alone, since the signal is made from a seed.

        Short enough to stand beside every checkpoint.
        """
        return {
            "made_on": self.made_on,
            "outputs": {k: v.astype(np.float32).tolist() for k, v in self.outputs.items()},
        }

    def to_bytes(self) -> bytes:
        """An ``.npz``, the same bytes for the same content."""
        arrays = {f"in_{k}": v for k, v in self.inputs.items()}
        arrays |= {f"out_{k}": v for k, v in self.outputs.items()}
        arrays["made_on"] = np.asarray(self.made_on)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, value in arrays.items():
                member = io.BytesIO()
                np.save(member, np.asarray(value, order="C"), allow_pickle=False)
                # A fixed date: numpy.savez would write the present one.
                entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
                archive.writestr(entry, member.getvalue())
        return out.getvalue()


def _platform() -> str:
    import jax

    return jax.default_backend()


def _run(predict: Predict, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """``predict``, as exact as the platform can: accelerators round float32 products by default."""
    if _platform() == CPU:
        return predict(inputs)  # it is exact, and asking for that would compile once more
    import jax

    with jax.default_matmul_precision("highest"):
        return predict(inputs)


def _listing(differences: Mapping[str, float]) -> str:
    return ", ".join(f"{k} {v:.3g}" for k, v in differences.items())


def _difference(found: np.ndarray | None, expected: np.ndarray) -> float:
    if found is None or np.shape(found) != expected.shape:
        return float("inf")
    found = np.asarray(found, np.float64)
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def probe_signal(spec: SignalSpec, seed: int = 0) -> np.ndarray:
    """Two windows ``[2, c, t]`` of network values: rhythms of 1 to 30 Hz and noise, spread 1."""
    rng = np.random.default_rng(seed)
    shape = (ROWS, len(spec.channels), 1)
    time_s = np.arange(spec.window_samples) / spec.sfreq_hz
    signal = rng.normal(0.0, 0.5, (*shape[:2], spec.window_samples))
    for _ in range(3):
        rate_hz, phase = rng.uniform(1.0, 30.0, shape), rng.uniform(0.0, 2 * np.pi, shape)
        signal += 0.7 * np.sin(2 * np.pi * rate_hz * time_s + phase)
    return signal.astype(np.float32)


def make(
    predict: Predict,
    spec: SignalSpec,
    *,
    text: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    dtype: str = "float32",
) -> Probe:
    """Runs a model on a signal made from ``seed`` and keeps what it gives.

    Args:
      predict: host batch to host outputs.
      spec: the signal that the model takes.
      text: the text part of the batch, two rows, for a model with a text side.
      seed: of the signal.
      dtype: what the model computes in; the tolerance depends on it.

    Raises:
      BadProbe: an output is not finite, or there are no features.
    """
    inputs = {"signal": probe_signal(spec, seed), **(text or {})}
    found = _run(predict, inputs)
    outputs = {k: np.asarray(found[k], np.float32) for k in OUTPUTS if k in found}
    if not _tells(outputs):
        raise BadProbe(
            "the model gives nothing that could be recognised: expected finite outputs, and "
            f"features that are not all zero; found {sorted(found)}"
        )
    return Probe(inputs, outputs, dtype, _platform())


def _tells(outputs: Mapping[str, np.ndarray]) -> bool:
    """Whether a model can be recognised by these outputs."""
    finite = all(np.isfinite(value).all() for value in outputs.values())
    return finite and "features" in outputs and bool(outputs["features"].any())


def from_outputs(values: Mapping[str, Any], spec: SignalSpec, *, dtype: str, source: str) -> Probe:
    """The probe whose outputs :meth:`Probe.outputs_json` gave; of the signal side alone.

    Raises:
      BadProbe: the values are not such outputs; names ``source``.
    """
    try:
        outputs = {k: np.asarray(v, np.float32) for k, v in values["outputs"].items()}
        made_on = str(values["made_on"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadProbe(f"{source}: its probe is damaged: {error}") from error
    if not outputs or set(outputs) - set(OUTPUTS) or any(len(v) != ROWS for v in outputs.values()):
        raise BadProbe(f"{source}: its probe has outputs {sorted(outputs)}; known: {OUTPUTS}")
    return Probe({"signal": probe_signal(spec)}, outputs, dtype, made_on)


def read(path: epath.PathLike, *, dtype: str = "float32") -> Probe:
    """Reads ``probe.npz``; the tolerance is ours, not the file's.

    Raises:
      FileNotFoundError: there is none.
      BadProbe: broken, unsafe, or without a signal or outputs.
    """
    path = staging.local(path)
    if not path.is_file():
        raise FileNotFoundError(f"no probe {path}: a saved model without one cannot be checked")
    try:
        with zipfile.ZipFile(path) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > LARGEST_BYTES:
                raise ValueError(f"{size} bytes, at most {LARGEST_BYTES} are read")
        with np.load(path, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
    # What numpy raises for damaged archives is not documented; seen were ValueError (a pickle),
    # OSError, EOFError, KeyError, BadZipFile, TypeError, NotImplementedError, RuntimeError.
    except Exception as error:
        raise BadProbe(f"{path}: broken or no plain arrays: {error}") from error
    inputs = {k.removeprefix("in_"): v for k, v in arrays.items() if k.startswith("in_")}
    outputs = {k.removeprefix("out_"): v for k, v in arrays.items() if k.startswith("out_")}
    signal = inputs.get("signal")
    if signal is None or signal.ndim != 3 or signal.dtype != np.float32 or not outputs:
        raise BadProbe(
            f"{path}: expected in_signal [2, c, t] float32 and outputs: {sorted(arrays)}"
        )
    wrong = [k for k, v in outputs.items() if k not in OUTPUTS or v.dtype != np.float32]
    if wrong or not _tells(outputs):
        raise BadProbe(
            f"{path}: expected finite float32 outputs of {OUTPUTS}, with features that are not all "
            f"zero; found {sorted(outputs)}"
        )
    return Probe(inputs, outputs, dtype, str(arrays.get("made_on", "")))
