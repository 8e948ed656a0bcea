"""Weights in the layout of ELM's authors: a state dict, and their YAML beside it."""

from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.convert import elm, probe
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.parts import ModelParts, origin_of, require_description
from elm_jax.convert.reader import WeightsFile, read_state_dict
from elm_jax.convert.tensor_files import COUNTERS, counters_of
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.pipeline import ELM_SPEC

WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
YAMLS = (".yaml", ".yml")
OUR_SECTION = "elm_jax"  # in a YAML that we wrote: what the authors' layout has no place for


def read_released(
    path: epath.PathLike,
    config: epath.PathLike | None = None,
    *,
    weights: WeightsFile | None = None,
) -> ModelParts:
    """Reads a model of the authors' class: theirs, a user's own, or one that we exported.

    Args:
      path: ``.pt``, ``.pth``, ``.ckpt``, ``.bin`` or ``.safetensors``, names with or without
        ``module.``; or the folder that holds one.
      config: the authors' YAML. By default the one with the same stem beside the weights, else
        the only one there.
      weights: what ``path``, a file, holds, if that was read already.

    Returns:
      parts with ``assumed`` = ("mean", "std") unless the YAML is one of ours, which tells them.

    Raises:
      FileNotFoundError: weights or YAML are missing.
      UnreadableWeights: the file is broken or unsafe.
      ConvertError: which file is meant is not clear, the YAML lacks fields, or tensors do not fit.
      SpecError: the settings give no possible signal description.
    """
    with paths.told():
        file = weights_in(paths.of(path))
        yaml_path = paths.of(config) if config else yaml_beside(file)
    settings = elm.read_settings(yaml_path)
    ours = settings.values.get(OUR_SECTION)
    if ours is not None:
        require_section(ours, str(yaml_path))
    spec = _spec(settings, ours, str(yaml_path))
    recipe = _recipe(settings, "float32" if ours is None else ours["dtype"])
    encoder, projector, report = elm.from_released(
        read_state_dict(file) if weights is None else weights.state,
        settings.encoder_kwargs,
        settings.projector_kwargs,
        settings.window_samples,
        source=str(file),
    )
    stored = None
    if ours is not None:  # then we wrote it, and a probe beside it
        stored = probe.read(file.with_suffix(".probe.npz"), dtype=recipe["dtype"])
        stored.require_window(spec, str(file))
    told = ours or {}
    found = {"encoder": encoder, "signal_projector": projector}
    variables = {name: value for name, value in found.items() if value is not None}
    params = {name: value["params"] for name, value in variables.items()}
    stats = {n: v["batch_stats"] for n, v in variables.items() if "batch_stats" in v}
    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=params,
        model_state={"batch_stats": stats},
        trained_on=told.get("trained_on"),
        assumed=tuple(told.get("assumed", ("mean", "std"))),
        report=report,
        probe=stored,
        source=str(file),
        origin=origin_of(params) or told.get("origin", ""),
        extra=told.get("extra", {}) | {COUNTERS: counters_of(report)},
    )


def weights_in(path: epath.Path) -> epath.Path:
    """The weights file that is meant: ``path``, or the only one in that folder.

    Raises:
      FileNotFoundError, ConvertError: there is none, or which is meant is not clear.
    """
    if not path.is_dir():
        return path
    found = sorted(f for f in path.iterdir() if f.suffix in WEIGHTS)
    # The authors' runs save the text projector and heads beside it, as model_2_..., model_1_...
    encoder = [f for f in found if f.stem == "model_0_checkpoint"] or found
    if len({f.stem for f in encoder}) == 1:
        return min(encoder, key=lambda f: WEIGHTS.index(f.suffix))
    if not found:
        raise FileNotFoundError(f"{path} holds no weights file ({', '.join(WEIGHTS)})")
    names = ", ".join(f.name for f in found)
    raise ConvertError(f"{path} holds several weights files ({names}): name the one that is meant")


def yaml_beside(weights: epath.Path) -> epath.Path:
    """The YAML with the same stem as a weights file, else the only one in its folder.

    Raises:
      FileNotFoundError, ConvertError: no such weights, or no such YAML, or several.
    """
    if not weights.is_file():
        raise FileNotFoundError(f"no weights file {weights}")
    found = sorted(f for f in weights.parent.iterdir() if f.suffix in YAMLS)
    same = [f for f in found if f.stem == weights.stem]
    if len(same or found) == 1:
        return (same or found)[0]
    names = ", ".join(f.name for f in found) or "none"
    raise ConvertError(
        f"{weights}: expected one YAML of settings beside it, or {weights.stem}.yaml; found "
        f"{names}. Name it with --config (config=...)"
    )


def require_section(ours: Any, source: str) -> None:
    """Raises unless a section of a YAML is one that we write.

    Raises:
      ConvertError: names what is missing or of a wrong kind.
    """
    where = f"{source}: {OUR_SECTION}"
    if not isinstance(ours, dict):
        raise ConvertError(f"{where}: expected a section, found {type(ours).__name__}")
    require_description(ours, where)
    if ours.get("dtype") not in probe.TOLERANCE:
        raise ConvertError(f"{where}.dtype is {ours.get('dtype')!r}; known: {[*probe.TOLERANCE]}")


def _spec(settings: elm.ElmSettings, ours: dict[str, Any] | None, source: str) -> SignalSpec:
    window_s = settings.window_samples / settings.sfreq_hz
    spec = ELM_SPEC.replace(sfreq_hz=settings.sfreq_hz, window_s=window_s)
    if ours is not None:
        spec = SignalSpec.from_dict(ours["spec"], source=f"{source}: {OUR_SECTION}.spec")
    if spec.sfreq_hz != settings.sfreq_hz or spec.window_samples != settings.window_samples:
        raise ConvertError(
            f"{source}: {OUR_SECTION}.spec has windows of {spec.window_samples} samples at "
            f"{spec.sfreq_hz:g} Hz, model.n_time_samples and dataset.sfreq say "
            f"{settings.window_samples} at {settings.sfreq_hz:g} Hz"
        )
    channels = settings.encoder_kwargs["in_channels"]
    if channels != len(spec.channels):
        raise ConvertError(
            f"{source}: model.in_channels is {channels}; these files do not name their channels, "
            f"and ELM's montage ({spec.montage}) has {len(spec.channels)}"
        )
    return spec


def _recipe(settings: elm.ElmSettings, dtype: str) -> dict[str, Any]:
    encoder = {k: v for k, v in settings.encoder_kwargs.items() if k != "in_channels"}
    for name in ("kernels", "block_kernels"):
        encoder[name] = [list(branch) for branch in encoder[name]]
    encoder["pool_sizes"] = list(encoder["pool_sizes"])
    projector = settings.projector_kwargs
    objective = {
        "name": "two_tower",
        "signal_projection": list(projector["sizes"]) if projector else None,
        "text_projection": None,
    }
    return {
        "dtype": dtype,
        "encoder": {"name": "conv_eeg"} | encoder,
        "objective": objective,
        "text": None,
    }
