"""Weights of MERL, ST-MEM, MTAE or MLAE as one file, with what tensors do not tell beside it.

NAME.pt, ...     the state dict: MERL's ``ECGCLIP`` or its network alone; a masked autoencoder or
                 its encoder alone
NAME.yaml        ``sfreq``, ``channels``, ``layout`` ...; ours in a section of its own

Files that others wrote need no YAML, but for MTAE's and MLAE's, which do not tell which they are:
what is not said is assumed, and told. MERL brings each record to 0..1 by its own minimum and
maximum and ST-MEM by its mean and deviation, which no tensor shows either.
"""

import copy
import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import filling, merl, network, probe, released, vit1d
from elm_jax.convert.engine import ConvertError, ConvertRule
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import StateDict, WeightsFile, read_weights_file
from elm_jax.convert.tensor_files import COUNTERS, Network, counters_of, to_states
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.profiles import ECG_SPEC

# The order in which machines and most corpora store twelve leads: what published weights saw.
STORED_ORDER = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
KINDS = dict(
    sfreq=int | float, n_times=int, channels=list, layout=str, num_leads=int, heads=int
)  # fmt: skip
# MERL's records: 10 s at 500 Hz.
MERL_SAMPLES, MERL_SFREQ_HZ = 5000, 500.0
NO_HEAD = dict(name="two_tower", signal_projection=None, text_projection=None)
ASSUMED = ("highpass_hz", "lowpass_hz", "clip", "resample", "scale", "mean", "std")


def claims(names: Collection[str]) -> bool:
    """Whether tensors of these names are of one of these models."""
    return merl.prefix_of(names) is not None or vit1d.prefix_of(names) is not None


def read(
    path: epath.PathLike,
    *,
    weights: WeightsFile | None = None,
    config: epath.PathLike | None = None,
) -> ModelParts:
    """A model out of such a file.

    Args:
      path: the file.
      weights: what it holds, if that was read already.
      config: YAML or JSON with settings of :data:`KINDS`; by default NAME.yaml, if there is one.

    Raises:
      ConvertError: settings or tensors that do not fit, are unknown or missing.
    """
    source = str(path)
    with paths.told():
        weights = read_weights_file(path) if weights is None else weights
        beside = paths.of(path).with_suffix(".yaml") if config is None else paths.of(config)
        there = config is not None or beside.exists()
    values = _read_settings(beside) if there else {}
    ours = values.pop(released.OUR_SECTION, None)
    given = _checked(values, str(beside))
    if ours is not None:
        released.require_section(ours, str(beside))
        return _of_ours(weights.state, given, ours, path)
    made = from_state(weights.state, given, source=source)
    made.report.excused |= {name: "state of the training" for name in weights.beside}
    return made


def from_state(
    state: StateDict, settings: Mapping[str, Any], *, source: str = "state dict"
) -> ModelParts:
    """A model from arrays by published name.

    Args:
      state: see :func:`claims`.
      settings: those of :data:`KINDS` that are told.
      source: for messages.

    Raises:
      ConvertError: settings or tensors that do not fit, are unknown or missing.
    """
    make = _of_merl if merl.prefix_of(state) is not None else _of_vit
    return make(state, _checked(settings, source), source)


def _read_settings(path: epath.Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(staging.local(path).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConvertError(f"{path}: no YAML: {error}") from error
    if not isinstance(values, Mapping):
        raise ConvertError(f"{path}: expected settings among {sorted(KINDS)}, found {values!r}")
    return dict(values)


def _checked(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Settings, where all are known and of their kind.

    Raises:
      ConvertError: names those that are not.
    """
    if unknown := sorted(set(values) - set(KINDS)):
        raise ConvertError(f"{source}: settings {unknown} are not known; known: {sorted(KINDS)}")
    wrong = {k: v for k, v in values.items() if isinstance(v, bool) or not isinstance(v, KINDS[k])}
    if wrong:
        raise ConvertError(f"{source}: settings of the wrong kind: {wrong}")
    return dict(values)


def _spec(
    given: Mapping[str, Any], leads: int, samples: int, sfreq_hz: float, source: str
) -> tuple[SignalSpec, tuple[str, ...]]:
    """The signal, and what of it is assumed."""
    names = tuple(given.get("channels", STORED_ORDER))
    if len(names) != leads:
        raise ConvertError(
            f"{source}: its tensors take {leads} leads, "
            + (f"channels names {len(names)}" if "channels" in given else "12 are assumed")
            + ": name them in their order, channels: [I, II, ...], in its YAML or --config"
        )
    sfreq_hz = float(given.get("sfreq", sfreq_hz))
    told = {"sfreq_hz": "sfreq", "window_s": "sfreq", "channels": "channels"}
    assumed = tuple(field for field, name in told.items() if name not in given)
    spec = ECG_SPEC.replace(
        channels=names, sfreq_hz=sfreq_hz, window_s=samples / sfreq_hz, lowpass_hz=sfreq_hz / 2
    )
    return spec, (*assumed, *ASSUMED)


# -- MERL -----------------------------------------------------------------------------------------


def _of_merl(state: StateDict, given: dict[str, Any], source: str) -> ModelParts:
    prefix = merl.prefix_of(state) or ""
    _require_known_settings(given, ("sfreq", "n_times", "channels", "heads"), "MERL", source)
    encoder = dict(name=merl.NAME, **merl.encoder_settings(state, prefix, source=source))
    objective, samples = copy.deepcopy(NO_HEAD), given.get("n_times", MERL_SAMPLES)
    if "linear1.weight" in state:
        objective = merl.head_settings(state)
        objective["signal_head"]["heads"] = given.get("heads", 4)
    leads = state[f"{prefix}conv1.weight"].shape[1]
    spec, assumed = _spec(given, leads, samples, MERL_SFREQ_HZ, source)
    merl.require_positions(state, prefix, samples, source=source)
    assumed = assumed if "n_times" in given or "window_s" in assumed else (*assumed, "window_s")
    recipe = dict(dtype="float32", encoder=encoder, objective=objective, text=None)
    return _filled(state, recipe, spec, assumed, source)


def _merl_rules(state: StateDict) -> list[ConvertRule]:
    """Of a file of MERL's the rules whose paths begin with our names of modules."""
    rules = merl.encoder_rules(merl.prefix_of(state) or "")
    rules += merl.ATTENTION_RULES if "downconv.weight" in state else merl.MLP_RULES
    rules += merl.text_rules({"hidden": None}, "text_projector")

    def ours(rule: ConvertRule) -> tuple[str, ...]:
        return tuple(re.sub("^projector/", "signal_projector/", path) for path in rule.paths)

    return [rule._replace(ours=ours(rule)) for rule in rules]


# -- ST-MEM, MTAE, MLAE ---------------------------------------------------------------------------


def _of_vit(state: StateDict, given: dict[str, Any], source: str) -> ModelParts:
    prefix = vit1d.prefix_of(state) or ""
    known = ("sfreq", "n_times", "channels", "layout", "num_leads")
    _require_known_settings(given, known, "a masked autoencoder", source)
    if "channels" in given:
        given.setdefault("num_leads", len(given["channels"]))
    window = vit1d.window_settings(state, prefix, given, source=source)
    if given.get("n_times", window["seq_len"]) != window["seq_len"]:
        raise ConvertError(
            f"{source}: n_times is {given['n_times']}, its tensors take {window['seq_len']} samples"
        )
    encoder = dict(name=vit1d.NAME, layout=window["layout"], patch_size=window["patch_size"])
    encoder |= vit1d.encoder_settings(state, prefix, source=source)
    objective = copy.deepcopy(NO_HEAD)
    if vit1d.has_decoder(state):
        decoder = vit1d.decoder_settings(state, source=source)
        objective = dict(name="masked_recon", decoder=decoder)
    spec, assumed = _spec(given, window["num_leads"], window["seq_len"], ECG_SPEC.sfreq_hz, source)
    recipe = dict(dtype="float32", encoder=encoder, objective=objective, text=None)
    return _filled(state, recipe, spec, assumed, source)


def _require_known_settings(
    given: Mapping[str, Any], known: tuple[str, ...], what: str, source: str
) -> None:
    if foreign := sorted(set(given) - set(known)):
        raise ConvertError(f"{source}: settings {foreign} mean nothing of {what}; known: {known}")


# -- both -----------------------------------------------------------------------------------------


def _filled(
    state: StateDict,
    recipe: dict[str, Any],
    spec: SignalSpec,
    assumed: tuple[str, ...],
    source: str,
) -> ModelParts:
    """The model of a recipe with these tensors."""
    if recipe["encoder"]["name"] == merl.NAME:
        rules, excuses = _merl_rules(state), list(merl.EXCUSES)
    else:
        vit1d.require_one_embedding(state, source)
        prefix = vit1d.prefix_of(state) or ""
        rules = vit1d.encoder_rules(prefix) + vit1d.DECODER_RULES
        excuses = list(vit1d.EXCUSES) if prefix else []
    width = None
    if recipe["objective"].get("text_projection"):
        width = state["proj_t.0.weight"].shape[1]
    params, model_state, report = filling.fill(
        state, recipe, spec, rules, excuses=excuses, text_width=width, source=source
    )
    counters = counters_of(report)
    if merl.prefix_of(state) == "":  # as they are named where the network is one part of several
        counters = {merl.ENCODER + name: n for name, n in counters.items()}
    return ModelParts(
        spec=spec, recipe=recipe, params=params, model_state=model_state, assumed=assumed,
        report=report, source=source, extra={COUNTERS: counters},
    )  # fmt: skip


def _of_ours(
    state: StateDict, given: Mapping[str, Any], ours: Mapping[str, Any], path: epath.PathLike
) -> ModelParts:
    """A model out of a file that we wrote, whose section tells the whole recipe.

    Raises:
      ConvertError: the settings outside of the section say otherwise.
    """
    where = f"{path}: {released.OUR_SECTION}"
    spec = SignalSpec.from_dict(ours["spec"], source=f"{where}.spec")
    told = {k: copy.deepcopy(ours.get(k)) for k in ("dtype", "encoder", "objective")}
    recipe = network.require_recipe(told | {"text": None}, where)
    expected = _settings_of(recipe, spec)
    if wrong := {k: (v, expected.get(k)) for k, v in given.items() if v != expected.get(k)}:
        raise ConvertError(f"{where} says otherwise than the settings beside it: {wrong}")
    parts = _filled(state, recipe, spec, tuple(ours["assumed"]), str(path))
    stored = probe.read(paths.of(path).with_suffix(".probe.npz"), dtype=recipe["dtype"])
    stored.require_window(spec, str(path))
    return dataclasses.replace(
        parts, trained_on=ours["trained_on"], probe=stored, origin=ours["origin"],
        extra=ours["extra"] | parts.extra,
    )  # fmt: skip


# -- writing --------------------------------------------------------------------------------------


def kept(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """The modules that a file has a place for."""
    if recipe["encoder"]["name"] == vit1d.NAME:
        return ("encoder", "decoder")
    is_merl = recipe["objective"].get("loss") == "merl"
    return ("encoder", "signal_projector", "text_projector") if is_merl else ("encoder",)


def objective_of(recipe: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """``config.objective`` of what a file holds of a model."""
    if "decoder" in params or "signal_projector" in params:
        return copy.deepcopy(dict(recipe["objective"]))
    return copy.deepcopy(NO_HEAD)


def state(parts: ModelParts) -> dict[str, np.ndarray]:
    """The state dict, with the names of the classes that a file is for."""
    states = to_states(
        Network(parts.recipe, parts.params, parts.model_state), parts.extra.get(COUNTERS)
    )
    found = dict(states["model"]) | states.get("text_projector", {})
    if parts.recipe["encoder"]["name"] == vit1d.NAME:
        return vit1d.with_second_names(found) if "decoder" in parts.params else found
    prefix = merl.ENCODER
    if "signal_projector" not in parts.params:
        found, prefix = {name.removeprefix(prefix): v for name, v in found.items()}, ""
    return merl.with_unused(found, prefix, merl.features_of(parts.params["encoder"]))


def settings_of(parts: ModelParts, ours: dict[str, Any]) -> dict[str, Any]:
    """The YAML's content: what tensors do not tell, and our section."""
    section = ours | {k: parts.recipe[k] for k in ("encoder", "objective")}
    return _settings_of(parts.recipe, parts.spec) | {released.OUR_SECTION: section}


def _settings_of(recipe: Mapping[str, Any], spec: SignalSpec) -> dict[str, Any]:
    told: dict[str, Any] = dict(
        sfreq=spec.sfreq_hz, n_times=spec.window_samples, channels=list(spec.channels)
    )
    if recipe["encoder"]["name"] == vit1d.NAME:
        told["layout"] = recipe["encoder"].get("layout", "st_mem")
    elif recipe["objective"].get("loss") == "merl":
        told["heads"] = (recipe["objective"].get("signal_head") or {}).get("heads", 4)
    return told
