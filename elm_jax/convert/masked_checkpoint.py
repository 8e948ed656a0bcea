"""Checkpoints that the pretraining code of EEGPT and DARE-EEG writes (PyTorch Lightning).

``state_dict`` holds ``target_encoder.*``, the momentum twin that every downstream use takes, and
``encoder.*``, ``predictor.*``, ``reconstructor.*``; of DARE-EEG also ``loss_mc.*``. All of it is
read: a further pretraining starts from it, and whoever only embeds gets the twin. The file tells
neither channels nor window; the number of heads follows from the rotary frequencies stored with
predictor and reconstructor, since all three have the same in both papers' code.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import staging
from elm_jax.convert import braindecode_config, eegpt, eegpt_parts, heads
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse
from elm_jax.convert.filling import FRESH_HEAD
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import WeightsFile
from elm_jax.signals.profiles import EEGPT_SPEC

TRAINED = ("encoder", "predictor", "reconstructor")
ASSUMED = ("sfreq_hz", "window_s", *braindecode_config.ASSUMED)
SETTINGS = ("num_heads", "patch_stride", "sfreq", "n_times", "channels")
OF_TRAINING = "state of the training: a finished model has no use for it"


def claims(names: Collection[str]) -> bool:
    """Whether tensors of these names are such a checkpoint's."""
    return f"{eegpt.ENCODER}.summary_token" in names


def read(
    path: epath.PathLike,
    weights: WeightsFile,
    *,
    config: epath.PathLike | None = None,
    n_outputs: int | None = None,
) -> ModelParts:
    """A model out of such a checkpoint.

    Args:
      path: the file, for messages.
      weights: what it holds.
      config: YAML or JSON with what the file does not tell, of :data:`SETTINGS`.
      n_outputs: classes wanted: a new head on the twin; what pretraining alone needs is left out.

    Raises:
      ConvertError: tensors are missing, unknown or do not fit; the number of heads is not known,
        or not the one that the tensors were trained with.
    """
    source = str(path)
    given = {} if config is None else _read_settings(config)
    state = weights.state
    pretraining = any(name.startswith(tuple(f"{part}." for part in TRAINED)) for name in state)
    encoder = _encoder(state, given, source)
    spec = EEGPT_SPEC.replace(
        channels=tuple(
            map(braindecode_config.canonical, given.get("channels", EEGPT_SPEC.channels))
        ),
        sfreq_hz=float(given.get("sfreq", EEGPT_SPEC.sfreq_hz)),
    )
    samples = given.get("n_times", EEGPT_SPEC.window_samples)
    spec = spec.replace(
        window_s=samples / spec.sfreq_hz, lowpass_hz=min(spec.lowpass_hz, spec.sfreq_hz / 2)
    )
    learns = pretraining and n_outputs is None
    recipe = dict(dtype="float32", encoder=encoder, text=None)
    recipe["objective"] = _objective(state, encoder, n_outputs, pretraining, source)
    params, model_state, report = eegpt_parts.fill(
        state,
        recipe,
        spec,
        _rules(recipe, learns),
        fresh_head=n_outputs is not None,
        excuses=[] if learns or not pretraining else [_NOT_NEEDED],
        source=source,
    )
    report.excused |= {name: OF_TRAINING for name in weights.beside}
    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=params,
        model_state=model_state,
        assumed=tuple(a for a in ASSUMED if _TELLS.get(a) not in given),
        report=report,
        source=source,
        extra={} if n_outputs is None else {FRESH_HEAD: n_outputs},
    )


_TELLS = {"sfreq_hz": "sfreq", "window_s": "n_times"}
_NOT_NEEDED = Excuse(
    rf"({'|'.join(TRAINED)})\..*|loss_mc\..*", "of pretraining: a classifier has no use for it"
)


def _read_settings(path: epath.PathLike) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(staging.local(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConvertError(f"{path}: no YAML: {error}") from error
    if not isinstance(values, Mapping) or set(values) - set(SETTINGS):
        raise ConvertError(f"{path}: expected settings among {SETTINGS}, found {values}")
    kinds = dict(num_heads=int, patch_stride=int, sfreq=int | float, n_times=int, channels=list)
    wrong = {k: v for k, v in values.items() if isinstance(v, bool) or not isinstance(v, kinds[k])}
    if wrong:
        raise ConvertError(f"{path}: settings of the wrong kind: {wrong}")
    return dict(values)


def _encoder(state: Mapping[str, np.ndarray], given: dict[str, Any], source: str) -> dict[str, Any]:
    """``config.encoder``.

    Raises:
      ConvertError: nothing says how many heads there are, or two things say differently.
    """
    sizes = eegpt.encoder_settings(state, source=source)
    told = {}
    for part in ("predictor", "reconstructor"):
        if f"{part}.time_embed.freqs" in state:
            width = state[f"{part}.{part}_embed.weight"].shape[0]
            told[part] = eegpt.heads_of(
                state[f"{part}.time_embed.freqs"], width, source=f"{source}: {part}"
            )
    if "num_heads" in given:
        told["config: num_heads"] = given["num_heads"]
    if not told:
        raise ConvertError(
            f"{source}: nothing in it tells the number of attention heads. Give it, as num_heads, "
            "in a YAML: --config (config=...)"
        )
    if len(set(told.values())) > 1:
        raise ConvertError(f"{source}: the numbers of attention heads contradict: {told}")
    (count,) = set(told.values())
    stride = given.get("patch_stride", sizes["patch_size"])
    return dict(name="eeg_transformer", heads=count, patch_stride=stride, **sizes)


def _objective(
    state: Mapping[str, np.ndarray],
    encoder: dict[str, Any],
    n_outputs: int | None,
    pretraining: bool,
    source: str,
) -> dict[str, Any]:
    """``config.objective``: the pretraining's own, unless a classifier is wanted."""
    if n_outputs is not None:
        return braindecode_config.classifier_of(n_outputs, source=source)
    if not pretraining:
        return dict(braindecode_config.NO_HEAD)
    objective: dict[str, Any] = dict(name="masked_dual")
    for part in ("predictor", "reconstructor"):
        objective[part] = _behind(state, part, encoder, source)
    if "loss_mc.projection_head.0.weight" in state:
        sizes = [state[f"loss_mc.projection_head.{i}.bias"].shape[0] for i in (0, 2)]
        objective |= dict(name="dual_aligned", projection=sizes)
        if "loss_mc.temperature" in state:
            objective["temperature"] = round(float(state["loss_mc.temperature"]), 7)
    return objective


def _behind(
    state: Mapping[str, np.ndarray], part: str, encoder: dict[str, Any], source: str
) -> dict[str, Any]:
    """Settings of the predictor or reconstructor that are not the encoder's."""
    prefix = f"{part}.{part}_blocks."
    blocks = {int(n.removeprefix(prefix).split(".")[0]) for n in state if n.startswith(prefix)}
    try:
        width = state[f"{part}.{part}_embed.weight"].shape[0]
    except KeyError as error:
        raise ConvertError(f"{source}: lacks {error}") from error
    found = dict(depth=1 + max(blocks, default=-1))
    return found if width == encoder["width"] else found | dict(width=width)


def _rules(recipe: dict[str, Any], learns: bool) -> list[ConvertRule]:
    normed = recipe["encoder"]["patch_norm"]
    if learns:
        return eegpt.model_rules(patch_norm=normed, twin=True)
    encoder = eegpt.encoder_rules(patch_norm=normed)
    labels = recipe["objective"].get("labels")
    return encoder + (heads.head_rules(recipe, {}) if labels else [])
