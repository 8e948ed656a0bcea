"""``config.json`` of ``braindecode.models.EEGPT`` <-> a signal and a recipe of ours.

It holds the arguments of that class. Three things it cannot hold are lost there, and here: how
signals were prepared, a ``norm_layer`` of the user's own (it is written as null), and what code
its names of modules stand for.
"""

from collections.abc import Mapping
from typing import Any

from elm_jax.channels import DICTIONARY, UnknownChannels, channel_id, channel_ids
from elm_jax.convert.braindecode_arguments import BraindecodeClass
from elm_jax.convert.engine import ConvertError
from elm_jax.data.spec import SignalSpec
from elm_jax.models.adapters import TEN_TWENTY
from elm_jax.signals.names import parse_label
from elm_jax.signals.profiles import EEGPT_SPEC

#: The arguments, with the values that braindecode 1.8 gives them.
DEFAULTS: dict[str, Any] = dict(
    n_outputs=None, n_chans=None, chs_info=None, n_times=None, input_window_seconds=None,
    sfreq=None, patch_size=64, patch_stride=32, embed_num=4, embed_dim=512, depth=8, num_heads=8,
    mlp_ratio=4.0, drop_prob=0.0, attn_drop_rate=0.0, drop_path_rate=0.0, init_std=0.02,
    qkv_bias=True, patch_module=None, norm_layer=None, layer_norm_eps=1e-6,
    return_encoder_output=False, chan_proj_type="conv1d_constraint", n_chans_target=19,
    chan_conv_max_norm=1.0, final_layer=None,
)  # fmt: skip
EEGPT = BraindecodeClass(
    "EEGPT",
    DEFAULTS,
    telling=frozenset({"embed_num", "embed_dim", "patch_size", "num_heads"}),
    words=frozenset({"patch_module", "norm_layer", "final_layer", "chan_proj_type"}),
    empty=frozenset({"patch_stride"}),
)
# Its arguments -> fields of our encoder.
ENCODER = dict(
    embed_dim="width", depth="depth", num_heads="heads", embed_num="summary_tokens",
    patch_size="patch_size", patch_stride="patch_stride", mlp_ratio="mlp_ratio",
    drop_prob="dropout", attn_drop_rate="attention_dropout", drop_path_rate="drop_path",
    init_std="init_std", qkv_bias="qkv_bias", layer_norm_eps="norm_eps",
)  # fmt: skip
# What the config does not say of the signal.
ASSUMED = ("montage", "highpass_hz", "lowpass_hz", "notch_hz", "clip", "scale", "mean", "std")
HEAD = dict(name="two_stage", hidden=16, dropout=0.5, max_norm=[1.0, 0.25])
NO_HEAD = dict(name="two_tower", signal_projection=None, text_projection=None)
#: ``chan_proj_type`` -> our adapter.
PROJECTIONS = {"conv1d_constraint": "conv", "linear": "linear", "none": None}


# -- into our terms -------------------------------------------------------------------------------


def spec_of(config: Mapping[str, Any], *, source: str) -> tuple[SignalSpec, tuple[str, ...]]:
    """The signal, and the fields of it that the config does not tell.

    Raises:
      ConvertError: channels that the dictionary lacks, or no number of samples.
      SpecError: an impossible window.
    """
    assumed = list(ASSUMED)
    names = _channels(config, source)
    if config["chs_info"] is None:
        assumed.append("channels")
    samples, window_s, sfreq_hz = (config[k] for k in ("n_times", "input_window_seconds", "sfreq"))
    if sfreq_hz is None and None not in (samples, window_s):
        sfreq_hz = samples / window_s
    if sfreq_hz is None:
        sfreq_hz = EEGPT_SPEC.sfreq_hz
        assumed.append("sfreq_hz")
    if samples is None and window_s is not None:
        samples = round(window_s * sfreq_hz)
    if samples is None:
        raise ConvertError(f"{source}: neither n_times nor input_window_seconds is said")
    spec = EEGPT_SPEC.replace(
        channels=names,
        sfreq_hz=float(sfreq_hz),
        window_s=samples / sfreq_hz,
        lowpass_hz=min(EEGPT_SPEC.lowpass_hz, sfreq_hz / 2),
    )
    return spec, tuple(assumed)


def _channels(config: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """Names of the signal's rows, in the house's spelling."""
    projects = config["chan_proj_type"] != "none"
    if config["chs_info"] is None:
        count = config["n_chans"]
        if count is None:
            raise ConvertError(f"{source}: neither n_chans nor chs_info is said")
        if projects:
            return tuple(f"channel {i + 1}" for i in range(count))
        if count > len(DICTIONARY):
            raise ConvertError(
                f"{source}: {count} channels without names; the dictionary has {len(DICTIONARY)}"
            )
        return tuple(map(canonical, DICTIONARY[:count]))  # numbered through, as braindecode does
    names = tuple(ch["ch_name"] for ch in config["chs_info"])
    if projects:
        return tuple(map(canonical, names))
    try:
        channel_ids(names)
    except UnknownChannels as error:
        raise ConvertError(
            f"{source}: {error}. braindecode gave such a channel the learnt vector of whatever "
            "electrode has its place's number"
        ) from error
    return tuple(map(canonical, names))


def canonical(name: str) -> str:
    """An electrode's name in the house's spelling; other names as they are."""
    return name if channel_id(name) is None else parse_label(name).name


def recipe_of(
    config: Mapping[str, Any], *, patch_norm: bool, dictionary_size: int, source: str
) -> dict[str, Any]:
    """The network: encoder, adapter and head.

    Args:
      config: all arguments of the class.
      patch_norm: whether patches are normed: the tensors tell, the config names code.
      dictionary_size: rows of the table of electrodes: likewise.
      source: for messages.

    Raises:
      ConvertError: an unknown projection.
    """
    encoder = {ours: config[theirs] for theirs, ours in ENCODER.items()}
    stride = config["patch_stride"] or config["patch_size"]
    samples = spec_of(config, source=source)[0].window_samples
    objective: dict[str, Any] = dict(NO_HEAD)
    if not config["return_encoder_output"]:
        head = HEAD if config["final_layer"] is None else _OWN_HEAD
        objective = classifier_of(config["n_outputs"], head=head, source=source)
    if (adapter := _adapter(config, source)) is not None:
        objective["adapter"] = adapter
    return dict(
        dtype="float32",
        encoder=dict(name="eeg_transformer", **encoder)
        | dict(
            patch_norm=patch_norm,
            pad_window=(samples - config["patch_size"]) % stride != 0,
            dictionary_size=dictionary_size,
        ),
        objective=objective,
        text=None,
    )


# ``final_layer``: a linear layer on the flattened tokens, nothing constrained.
_OWN_HEAD = dict(name="linear", pooling="flatten", dropout=0.0, max_norm=None)


def classifier_of(
    n_outputs: int | None, *, head: Mapping[str, Any] = HEAD, source: str
) -> dict[str, Any]:
    """``config.objective`` of a classifier whose classes have numbers for names.

    Raises:
      ConvertError: no number of outputs.
    """
    if n_outputs is None or n_outputs < 1:
        raise ConvertError(f"{source}: n_outputs is {n_outputs}: how many classes there are")
    labels: dict[str, Any] = dict(name="output", kind="multiclass")
    labels["classes"] = [str(i) for i in range(n_outputs)]
    if n_outputs == 1:
        labels = dict(name="output", kind="regression", mean=0.0, std=1.0)
    return dict(name="classify", labels=labels, head=dict(head))


def _adapter(config: Mapping[str, Any], source: str) -> dict[str, Any] | None:
    kind = config["chan_proj_type"]
    if kind not in PROJECTIONS:
        raise ConvertError(f"{source}: chan_proj_type is {kind!r}; known: {sorted(PROJECTIONS)}")
    if (name := PROJECTIONS[kind]) is None:
        return None
    limit = dict(max_norm=config["chan_conv_max_norm"]) if name == "conv" else {}
    return dict(name=name, channels=list(TEN_TWENTY), **limit)
