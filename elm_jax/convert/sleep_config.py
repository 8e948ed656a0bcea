"""The arguments of ``braindecode.models.SleepStagerChambon2018`` <-> a signal and a recipe of ours.

How signals were prepared they cannot hold. What braindecode's examples do stands for it: a low-pass
at 30 Hz, microvolts, and z-scores of each recording and channel.
"""

from collections.abc import Mapping
from typing import Any

from elm_jax.convert import braindecode_config, network
from elm_jax.convert.braindecode_arguments import BraindecodeClass, channel_of
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.sleep_conv import NAME
from elm_jax.data.spec import SignalSpec
from elm_jax.signals.names import parse_label
from elm_jax.signals.profiles import SLEEP_SPEC

#: The arguments, with the values that braindecode 1.8 gives them.
DEFAULTS: dict[str, Any] = dict(
    n_chans=None, sfreq=None, n_conv_chs=8, time_conv_size_s=0.5, max_pool_size_s=0.125,
    pad_size_s=0.25, activation="torch.nn.modules.activation.ReLU", input_window_seconds=None,
    n_outputs=5, drop_prob=0.25, apply_batch_norm=False, return_feats=False, chs_info=None,
    n_times=None,
)  # fmt: skip
STAGER = BraindecodeClass(
    "SleepStagerChambon2018",
    DEFAULTS,
    telling=frozenset({"n_conv_chs", "time_conv_size_s", "max_pool_size_s"}),
    words=frozenset({"activation"}),
    empty=frozenset({"n_outputs"}),
)
# Its arguments -> fields of our encoder.
ENCODER = dict(
    n_conv_chs="filters", time_conv_size_s="kernel_s", max_pool_size_s="pool_s",
    pad_size_s="pad_s", drop_prob="dropout", apply_batch_norm="batch_norm",
)  # fmt: skip
# Names of ours -> classes of torch.nn.
ACTIVATIONS = dict(
    elu="ELU", gelu="GELU", leaky_relu="LeakyReLU", relu="ReLU", relu6="ReLU6", selu="SELU",
    sigmoid="Sigmoid", silu="SiLU", softplus="Softplus", tanh="Tanh",
) | dict(identity="Identity")  # fmt: skip
# What the arguments do not say of the signal.
ASSUMED = ("montage", "highpass_hz", "lowpass_hz", "notch_hz", "unit", "clip", "moments")
EMBEDS = dict(name="two_tower", signal_projection=None, text_projection=None)
PAIRS = dict(name="relative_position", dropout=0.5)


def activation_of(dotted: str, *, source: str) -> str:
    """Our name of an activation that a config gives as ``torch.nn.modules.activation.ELU``.

    Our own name is taken, too.

    Raises:
      ConvertError: one that we do not have; nothing is imported to find out.
    """
    if dotted in ACTIVATIONS:
        return dotted
    *module, last = dotted.split(".")
    ours = {theirs: name for name, theirs in ACTIVATIONS.items()}
    if module[:2] != ["torch", "nn"] or last not in ours:
        known = ", ".join(f"torch.nn.{name}" for name in sorted(ours))
        raise ConvertError(f"{source}: activation {dotted!r} is not known; known: {known}")
    return ours[last]


def dotted_activation(name: str) -> str:
    """The inverse of :func:`activation_of`."""
    module = "linear" if name == "identity" else "activation"
    return f"torch.nn.modules.{module}.{ACTIVATIONS[name]}"


# -- into our terms -------------------------------------------------------------------------------


def spec_of(config: Mapping[str, Any], *, source: str) -> tuple[SignalSpec, tuple[str, ...]]:
    """The signal, and the fields of it that the arguments do not tell.

    Raises:
      ConvertError: no number of channels or samples, or no rate; or they contradict each other.
      SpecError: an impossible window.
    """
    samples, window_s, sfreq_hz = (config[k] for k in ("n_times", "input_window_seconds", "sfreq"))
    if sfreq_hz is None and None not in (samples, window_s):
        sfreq_hz = samples / window_s
    if samples is None and None not in (window_s, sfreq_hz):
        samples = round(window_s * sfreq_hz)
    if None in (samples, sfreq_hz):
        raise ConvertError(
            f"{source}: two of n_times, input_window_seconds and sfreq are needed, found "
            f"n_times={config['n_times']}, input_window_seconds={window_s}, sfreq={config['sfreq']}"
        )
    if not (samples > 0 and sfreq_hz > 0):
        raise ConvertError(f"{source}: n_times={samples} and sfreq={sfreq_hz} must be positive")
    if window_s is not None and samples != round(window_s * sfreq_hz):
        raise ConvertError(
            f"{source}: n_times={samples} is not input_window_seconds={window_s} times "
            f"sfreq={sfreq_hz}"
        )
    names, told = _channels(config, source)
    spec = SLEEP_SPEC.replace(
        channels=names,
        sfreq_hz=float(sfreq_hz),
        window_s=samples / sfreq_hz,
        lowpass_hz=min(SLEEP_SPEC.lowpass_hz, sfreq_hz / 2),
    )
    return spec.normalised_by("recording"), ASSUMED if told else (*ASSUMED, "channels")


def _channels(config: Mapping[str, Any], source: str) -> tuple[tuple[str, ...], bool]:
    """Names of the signal's rows, and whether they are told."""
    count, channels = config["n_chans"], config["chs_info"]
    if channels is not None:
        if count not in (None, len(channels)):
            raise ConvertError(f"{source}: n_chans={count} but chs_info has {len(channels)}")
        return tuple(parse_label(ch["ch_name"]).name for ch in channels), True
    if count is None or count < 1:
        raise ConvertError(f"{source}: n_chans is {count} and chs_info is not said")
    if count == len(SLEEP_SPEC.channels):
        return SLEEP_SPEC.channels, False
    return tuple(f"channel {i + 1}" for i in range(count)), False


def recipe_of(
    config: Mapping[str, Any], *, objective: Mapping[str, Any], classes: int | None, source: str
) -> dict[str, Any]:
    """The network: the encoder, its output layer with it unless that is a classifier.

    Args:
      config: all arguments of the class.
      objective: of an encoder that is no classifier: :data:`EMBEDS` or :data:`PAIRS`.
      classes: outputs of a classifier; None: there is none, and the output layer embeds.
      source: for messages.

    Raises:
      ConvertError: an activation that we do not have, or no number of outputs.
    """
    encoder = {ours: config[theirs] for theirs, ours in ENCODER.items()}
    encoder["activation"] = activation_of(config["activation"], source=source)
    outputs = None if config["return_feats"] or classes is not None else config["n_outputs"]
    if outputs is None and classes is None and not config["return_feats"]:
        raise ConvertError(f"{source}: n_outputs is null: how wide the output layer is")
    if classes is not None:
        head = dict(name="linear", pooling="flatten", dropout=config["drop_prob"], max_norm=None)
        objective = braindecode_config.classifier_of(classes, head=head, source=source)
    return dict(
        dtype="float32",
        encoder=dict(name=NAME, outputs=outputs, **encoder),
        objective=dict(objective),
        text=None,
    )


# -- out of our terms -----------------------------------------------------------------------------


def config_of(parts: ModelParts) -> dict[str, Any]:
    """The arguments of braindecode's class for a model.

    Raises:
      ConvertError: the class has no argument for something of the model; names all of it.
    """
    objective, spec = parts.recipe["objective"], parts.spec
    module = network.build_network(parts.recipe, spec).encoder
    labels, head = objective.get("labels"), objective.get("head") or {}
    checks = {
        "an adapter": objective.get("adapter"),
        "a projector": "signal_projector" in parts.params,
        "a classifier behind an output layer": labels and module.outputs is not None,
        f"head {head.get('name')!r}": labels and head.get("name") != "linear",
        "a head on pooled tokens": head.get("pooling", "flatten") != "flatten",
        "a head with constrained weights": labels and head.get("max_norm", 1.0) is not None,
        f"outputs in a unit of their own ({labels})": (labels or {}).get("kind") == "regression"
        and (labels.get("mean", 0.0), labels.get("std", 1.0)) != (0.0, 1.0),
    }
    if problems := [problem for problem, there in checks.items() if there]:
        listing = "\n  ".join(problems)
        raise ConvertError(
            f"{parts.source}: braindecode's {STAGER.name} has no argument for\n  {listing}"
        )
    config = {theirs: getattr(module, ours) for theirs, ours in ENCODER.items()}
    outputs = module.outputs
    if labels:
        outputs = parts.params["classifier"]["out"]["kernel"].shape[1]
        config["drop_prob"] = head.get("dropout", 0.5)
    return (
        DEFAULTS
        | config
        | dict(
            n_outputs=DEFAULTS["n_outputs"] if outputs is None else outputs,
            return_feats=outputs is None,
            activation=dotted_activation(module.activation),
            chs_info=[channel_of(name) for name in spec.channels],
            n_times=spec.window_samples,
            sfreq=spec.sfreq_hz,
        )
    )
