"""The encoders that ELM's authors released: their state dict <-> ours, their settings -> ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import engine
from elm_jax.convert.engine import ConvertRule, Excuse
from elm_jax.convert.reader import StateDict, read_state_dict
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.heads import SignalProjector, TextProjector

NO_COUNTER = Excuse(
    r".*num_batches_tracked",
    "BatchNorm's batch counter: nothing reads it while momentum is a number",
    lambda: np.zeros((), np.int64),
)
EXCUSES = (NO_COUNTER,)


def linear_rules(torch: str, model: str, ours: str) -> list[ConvertRule]:
    """Rules of one ``nn.Linear``."""
    return [
        ConvertRule(rf"{torch}\.weight", f"{model}/params/{ours}/kernel", "dense"),
        ConvertRule(rf"{torch}\.bias", f"{model}/params/{ours}/bias"),
    ]


def norm_rules(torch: str, model: str, ours: str) -> list[ConvertRule]:
    """Rules of one ``nn.BatchNorm1d``."""
    return [
        ConvertRule(rf"{torch}\.weight", f"{model}/params/{ours}/scale"),
        ConvertRule(rf"{torch}\.bias", f"{model}/params/{ours}/bias"),
        ConvertRule(rf"{torch}\.running_mean", f"{model}/batch_stats/{ours}/mean"),
        ConvertRule(rf"{torch}\.running_var", f"{model}/batch_stats/{ours}/var"),
    ]


def _conv_norm_rules(convs: str, branch: int, norm: str, ours: str) -> list[ConvertRule]:
    """Rules of one ConvNorm; ``branch`` is the group that numbers its convolutions."""
    path = f"encoder/params/{ours}/branch_{{{branch}}}"
    return [
        ConvertRule(rf"{convs}\.weight", f"{path}/kernel", "conv"),
        ConvertRule(rf"{convs}\.bias", f"{path}/bias"),
        *norm_rules(norm, "encoder", f"{ours}/norm"),
    ]


_BLOCK = r"res_blocks\.(\d+)\."
ENCODER_RULES = [
    *_conv_norm_rules(r"conv1_layers\.(\d+)\.1", 0, "bn1", "stem"),
    *_conv_norm_rules(_BLOCK + r"conv1_layers\.(\d+)\.1", 1, _BLOCK + "bn1", "block_{0}/conv1"),
    *_conv_norm_rules(_BLOCK + r"conv2_layers\.(\d+)\.1", 1, _BLOCK + "bn2", "block_{0}/conv2"),
    *_conv_norm_rules(
        _BLOCK + r"stream_conv_layers\.(\d+)", 1, _BLOCK + "stream_bn", "block_{0}/skip"
    ),
]
PROJECTOR_RULES = [
    *linear_rules(r"proj\.0", "projector", "hidden"),
    *norm_rules(r"proj\.1", "projector", "norm"),
    ConvertRule(r"proj\.3\.weight", "projector/params/out/kernel", "dense"),
]
SINGLE_PROJECTOR_RULES = [ConvertRule(r"proj\.0\.weight", "projector/params/out/kernel", "dense")]
TEXT_PROJECTOR_RULES = [
    *linear_rules(r"layers\.0", "projector", "hidden"),
    *norm_rules(r"layers\.1", "projector", "norm"),
    *linear_rules(r"layers\.3", "projector", "out"),
    *norm_rules(r"layers\.4", "projector", "out_norm"),
]


def classifier_rules(n_hidden: int) -> list[ConvertRule]:
    """Rules of the published classification head with so many hidden layers.

    Four entries of its ``nn.Sequential`` make one: Linear, BatchNorm, ReLU, Dropout.
    """
    rules = []
    for i in range(n_hidden):
        rules += linear_rules(rf"layers\.{4 * i}", "classifier", f"hidden_{i}")
        rules += norm_rules(rf"layers\.{4 * i + 1}", "classifier", f"norm_{i}")
    last = ConvertRule(rf"layers\.{4 * n_hidden}\.weight", "classifier/params/out/kernel", "dense")
    return [*rules, last]


class ElmCheckpoint(NamedTuple):
    """A released model in our terms; variables are ``{"params": ..., "batch_stats": ...}``.

    Both of the projector are None where the settings have none.
    """

    encoder: dict[str, Any]
    projector: dict[str, Any] | None
    encoder_kwargs: dict[str, Any]
    projector_kwargs: dict[str, Any] | None
    window_samples: int
    sfreq_hz: float
    report: engine.LoadReport


def load_elm_checkpoint(
    path: epath.PathLike, *, config: epath.PathLike | None = None
) -> ElmCheckpoint:
    """Reads a released checkpoint and the settings beside it.

    Args:
      path: ``model_0_checkpoint.pt`` (or its tensors as ``.safetensors``).
      config: the authors' YAML; by default ``config_xy.yaml`` beside ``path``.

    Returns:
      variables for ``ConvEeg(**encoder_kwargs)`` and ``SignalProjector(**projector_kwargs)``.

    Raises:
      FileNotFoundError: the weights or the YAML are missing.
      UnreadableWeights: the file is broken or unsafe.
      ConvertError: settings lack a field, or tensors do not fit them.
    """
    path = paths.of(path)
    settings = read_settings(config or path.parent / "config_xy.yaml")
    own = settings.encoder_kwargs, settings.projector_kwargs, settings.window_samples
    state = read_state_dict(path)
    encoder, projector, report = from_released(state, *own, source=str(path))
    return ElmCheckpoint(encoder, projector, *own, settings.sfreq_hz, report)


# What is read of the authors' YAML.
_SETTINGS = (
    "dataset.sfreq",
    "model.in_channels",
    "model.n_time_samples",
    "model.encoder_conv1_params",
    "model.encoder_res_params",
    "model.encoder_blocks",
    "model.encoder_pool_size",
    "model.encoder_dropout_p",
    "model.res_dropout_p",
    "model.ELM.eeg_proj_size",
)


class ElmSettings(NamedTuple):
    """The authors' settings in our terms.

    ``projector_kwargs`` is None for an encoder without projector; ``values`` is all of the YAML.
    """

    encoder_kwargs: dict[str, Any]
    projector_kwargs: dict[str, Any] | None
    window_samples: int
    sfreq_hz: float
    values: dict[str, Any]


def read_settings(path: epath.PathLike) -> ElmSettings:
    """Reads the YAML beside a released checkpoint.

    Raises:
      FileNotFoundError: there is none.
      ConvertError: no YAML mapping, fields are missing (all are named), or hold something else.
    """
    import yaml

    path = staging.local(path)
    if not path.is_file():
        raise FileNotFoundError(f"the settings of an ELM checkpoint are missing: no {path}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise engine.ConvertError(f"{path}: no YAML: {error}") from error
    found = {name: _look_up(values, name) for name in _SETTINGS}
    missing = [name for name, value in found.items() if value is _ABSENT]
    if missing:
        raise engine.ConvertError(
            f"{path}: expected the settings of an ELM encoder in its authors' layout; it lacks "
            f"{', '.join(missing)}"
        )
    try:
        return _in_our_terms({k.rpartition(".")[2]: v for k, v in found.items()}, values)
    except (TypeError, ValueError) as error:
        raise engine.ConvertError(f"{path}: a setting is of the wrong kind: {error}") from error


_ABSENT = object()


def _look_up(values: Any, name: str) -> Any:
    for key in name.split("."):
        if not isinstance(values, Mapping) or key not in values:
            return _ABSENT
        values = values[key]
    return values


def _branches(rows: Any) -> tuple[tuple[int, int, int], ...]:
    return tuple((int(size), int(width), int(stride)) for size, width, stride in rows)


def _in_our_terms(found: Mapping[str, Any], values: dict[str, Any]) -> ElmSettings:
    encoder = dict(
        in_channels=int(found["in_channels"]),
        kernels=_branches(found["encoder_conv1_params"]),
        block_kernels=_branches(found["encoder_res_params"]),
        n_blocks=int(found["encoder_blocks"]),
        pool_sizes=tuple(map(int, found["encoder_pool_size"])),
        dropout=float(found["encoder_dropout_p"] or 0.0),
        res_dropout=float(found["res_dropout_p"] or 0.0),
    )
    sizes = found["eeg_proj_size"]
    projector = dict(sizes=tuple(map(int, sizes))) if sizes else None
    samples, sfreq_hz = int(found["n_time_samples"]), float(found["sfreq"])
    return ElmSettings(encoder, projector, samples, sfreq_hz, values)


def _target(model: str, module, inputs: jax.ShapeDtypeStruct) -> dict[str, Any]:
    key = jax.random.key(0)
    return {model: jax.eval_shape(lambda x: module.init(key, x, train=False), inputs)}


def from_released(
    state: StateDict,
    encoder_kwargs: Mapping[str, Any],
    projector_kwargs: Mapping[str, Any] | None,
    window_samples: int,
    *,
    source: str = "state dict",
) -> tuple[dict[str, Any], dict[str, Any] | None, engine.LoadReport]:
    """Converts a released state dict: (encoder variables, projector variables, report).

    Without ``projector_kwargs`` there is no projector, and None stands for it.

    Raises:
      ConvertError: a tensor does not fit; all of them are named.
    """
    encoder = ConvEeg(**encoder_kwargs)
    width = sum(w for _, w, _ in encoder.kernels)
    signal = jax.ShapeDtypeStruct((1, encoder.in_channels, window_samples), jnp.float32)
    target = _target("encoder", encoder, signal)
    if projector_kwargs:
        pooled = jax.ShapeDtypeStruct((1, width), jnp.float32)
        target |= _target("projector", SignalProjector(**projector_kwargs), pooled)
    rules = released_rules(projector_kwargs)
    tree, report = engine.from_torch(state, rules, target, excuses=EXCUSES, source=source)
    return tree["encoder"], tree.get("projector"), report


def released_rules(projector_kwargs: Mapping[str, Any] | None) -> list[ConvertRule]:
    """The whole table for a released model with this projector."""
    if not projector_kwargs:
        return ENCODER_RULES
    single = len(projector_kwargs["sizes"]) == 1
    return ENCODER_RULES + (SINGLE_PROJECTOR_RULES if single else PROJECTOR_RULES)


def to_released(
    encoder: Mapping[str, Any],
    projector: Mapping[str, Any] | None,
    *,
    kept: StateDict | None = None,
) -> dict[str, np.ndarray]:
    """Our variables as a state dict that the published PyTorch code loads strictly.

    Args:
      encoder: ``{"params": ..., "batch_stats": ...}`` of a ConvEeg.
      projector: the same of a SignalProjector, if there is one.
      kept: ``LoadReport.kept``: batch counters as they were; else they are written as 0.
    """
    tree, kwargs = {"encoder": encoder}, None
    if projector is not None:
        tree["projector"] = projector
        kwargs = {"sizes": (1, 1) if "hidden" in projector["params"] else (1,)}
    return with_counters(tree, released_rules(kwargs), kept)


def with_counters(
    tree: Mapping[str, Any], rules: list[ConvertRule], kept: StateDict | None = None
) -> dict[str, np.ndarray]:
    """Our tree as a state dict, with every BatchNorm's counter as PyTorch has it."""
    counters = [
        name.removesuffix("running_mean") + "num_batches_tracked"
        for name in engine.to_torch(tree, rules)
        if name.endswith("running_mean")
    ]
    return engine.to_torch(tree, rules, excuses=EXCUSES, kept=kept, fill=counters)


def text_projector_from_released(
    state: StateDict, *, source: str = "state dict"
) -> tuple[dict[str, Any], engine.LoadReport]:
    """Converts the state dict of the published text projector to TextProjector variables.

    Raises:
      ConvertError: a tensor does not fit.
    """
    try:
        (hidden, d), (out, _) = state["layers.0.weight"].shape, state["layers.3.weight"].shape
    except (KeyError, ValueError) as error:
        raise engine.ConvertError(f"{source}: not a text projector: {error}") from error
    module = TextProjector(sizes=(hidden, out))
    target = _target("projector", module, jax.ShapeDtypeStruct((1, d), jnp.float32))
    tree, report = engine.from_torch(
        state, TEXT_PROJECTOR_RULES, target, excuses=EXCUSES, source=source
    )
    return tree["projector"], report
