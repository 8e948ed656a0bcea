"""The encoders that ELM's authors released: their state dict <-> ours, their settings -> ours."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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


class ElmCheckpoint(NamedTuple):
    """A released model in our terms; variables are ``{"params": ..., "batch_stats": ...}``."""

    encoder: dict[str, Any]
    projector: dict[str, Any]
    encoder_kwargs: dict[str, Any]
    projector_kwargs: dict[str, Any]
    window_samples: int
    sfreq_hz: float
    report: engine.LoadReport


def load_elm_checkpoint(
    path: str | pathlib.Path, *, config: str | pathlib.Path | None = None
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
    path = pathlib.Path(path)
    config = pathlib.Path(config) if config else path.parent / "config_xy.yaml"
    encoder_kwargs, projector_kwargs, window_samples, sfreq_hz = _settings(config)
    encoder, projector, report = from_released(
        read_state_dict(path), encoder_kwargs, projector_kwargs, window_samples, source=str(path)
    )
    return ElmCheckpoint(
        encoder, projector, encoder_kwargs, projector_kwargs, window_samples, sfreq_hz, report
    )


def _settings(path: pathlib.Path) -> tuple[dict[str, Any], dict[str, Any], int, float]:
    import yaml

    if not path.is_file():
        raise FileNotFoundError(f"the settings of an ELM checkpoint are missing: no {path}")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    try:
        model = values["model"]
        encoder = dict(
            in_channels=model["in_channels"],
            kernels=tuple(map(tuple, model["encoder_conv1_params"])),
            block_kernels=tuple(map(tuple, model["encoder_res_params"])),
            n_blocks=model["encoder_blocks"],
            pool_sizes=tuple(model["encoder_pool_size"]),
            dropout=float(model["encoder_dropout_p"] or 0.0),
            res_dropout=float(model["res_dropout_p"] or 0.0),
        )
        projector = dict(sizes=tuple(model["ELM"]["eeg_proj_size"]))
        return encoder, projector, model["n_time_samples"], float(values["dataset"]["sfreq"])
    except (KeyError, TypeError) as error:
        raise engine.ConvertError(
            f"{path}: expected ELM's settings (model.in_channels, model.encoder_conv1_params, ...),"
            f" found no {error}"
        ) from error


def _target(model: str, module, inputs: jax.ShapeDtypeStruct) -> dict[str, Any]:
    key = jax.random.key(0)
    return {model: jax.eval_shape(lambda x: module.init(key, x, train=False), inputs)}


def from_released(
    state: StateDict,
    encoder_kwargs: Mapping[str, Any],
    projector_kwargs: Mapping[str, Any],
    window_samples: int,
    *,
    source: str = "state dict",
) -> tuple[dict[str, Any], dict[str, Any], engine.LoadReport]:
    """Converts a released state dict: (encoder variables, projector variables, report).

    Raises:
      ConvertError: a tensor does not fit; all of them are named.
    """
    encoder = ConvEeg(**encoder_kwargs)
    width = sum(w for _, w, _ in encoder.kernels)
    signal = jax.ShapeDtypeStruct((1, encoder.in_channels, window_samples), jnp.float32)
    projector = SignalProjector(**projector_kwargs)
    target = _target("encoder", encoder, signal) | _target(
        "projector", projector, jax.ShapeDtypeStruct((1, width), jnp.float32)
    )
    rules = released_rules(projector_kwargs)
    tree, report = engine.from_torch(state, rules, target, excuses=EXCUSES, source=source)
    return tree["encoder"], tree["projector"], report


def released_rules(projector_kwargs: Mapping[str, Any]) -> list[ConvertRule]:
    """The whole table for a released model with this projector."""
    single = len(projector_kwargs["sizes"]) == 1
    return ENCODER_RULES + (SINGLE_PROJECTOR_RULES if single else PROJECTOR_RULES)


def to_released(
    encoder: Mapping[str, Any],
    projector: Mapping[str, Any],
    *,
    kept: StateDict | None = None,
) -> dict[str, np.ndarray]:
    """Our variables as a state dict that the published PyTorch code loads strictly.

    Args:
      encoder: ``{"params": ..., "batch_stats": ...}`` of a ConvEeg.
      projector: the same of a SignalProjector.
      kept: ``LoadReport.kept``: batch counters as they were; else they are written as 0.
    """
    sizes = (1,) if "hidden" not in projector["params"] else (1, 1)
    rules = released_rules({"sizes": sizes})
    tree = {"encoder": encoder, "projector": projector}
    names = engine.to_torch(tree, rules)
    counters = [
        name.removesuffix("running_mean") + "num_batches_tracked"
        for name in names
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
