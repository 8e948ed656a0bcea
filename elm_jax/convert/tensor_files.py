"""Which parameters go into which file of PyTorch tensors, under which names."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from elm_jax.convert import elm, engine
from elm_jax.convert.engine import ConvertError, ConvertRule, LoadReport, StateDict


class TensorFile(NamedTuple):
    """One file.

    Attributes:
      stem: its name without suffix.
      modules: our names of the modules in it -> the names that the rules use for them.
      rules: of the modules' parameters, to the rule table.
    """

    stem: str
    modules: Mapping[str, str]
    rules: Callable[[Mapping[str, Any]], list[ConvertRule]]


def _model_rules(params: Mapping[str, Any]) -> list[ConvertRule]:
    projector = params.get("signal_projector")
    if projector is None:
        return elm.released_rules(None)
    return elm.released_rules({"sizes": (1, 1) if "hidden" in projector else (1,)})


def _classifier_rules(params: Mapping[str, Any]) -> list[ConvertRule]:
    return elm.classifier_rules(sum(name.startswith("hidden_") for name in params["classifier"]))


FILES = (
    TensorFile("model", {"encoder": "encoder", "signal_projector": "projector"}, _model_rules),
    TensorFile(
        "text_projector", {"text_projector": "projector"}, lambda _: elm.TEXT_PROJECTOR_RULES
    ),
    TensorFile("classifier", {"classifier": "classifier"}, _classifier_rules),
)
COUNTERS = "batch_counters"  # where a model's description has counters_of() its source
# What lies in a Hugging Face folder of its own.
ELSEWHERE = ("text_tower",)


def files_of(params: Mapping[str, Any]) -> list[TensorFile]:
    """The files that a model with these parameters has.

    Raises:
      ConvertError: parameters of a module that no file has a place for.
    """
    placed = {module for file in FILES for module in file.modules} | set(ELSEWHERE)
    if lost := sorted(set(params) - placed):
        raise ConvertError(f"no rules to export the parameters of {lost}; known: {sorted(placed)}")
    return [file for file in FILES if set(file.modules) & set(params)]


def _tree(file: TensorFile, params: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    """The modules of a file as ``{name in the rules: {"params", "batch_stats"?}}``."""
    return {
        inner: {"params": params[ours]} | ({"batch_stats": stats[ours]} if ours in stats else {})
        for ours, inner in file.modules.items()
        if ours in params
    }


def _prefix(file: TensorFile) -> str:
    """In front of the names in a report, for all files but the first."""
    return "" if file is FILES[0] else f"{file.stem}:"


def counters_of(report: LoadReport) -> dict[str, int]:
    """The batch counters that came with PyTorch tensors, as numbers for a description."""
    return {name: int(value) for name, value in report.kept.items()}


def to_states(
    params: Mapping[str, Any],
    model_state: Mapping[str, Any],
    counters: Mapping[str, int] | None = None,
) -> dict[str, StateDict]:
    """A model as state dicts by file stem, batch counters included.

    Args:
      params: by module.
      model_state: ``{"batch_stats": {by module}}``.
      counters: from :func:`counters_of` its source; what is not in there is written as 0.

    Raises:
      ConvertError: parameters without a rule.
    """
    states = {}
    for file in files_of(params):
        tree = _tree(file, params, model_state["batch_stats"])
        state = elm.with_counters(tree, file.rules(params))
        for name in (n for n in state if n.endswith("num_batches_tracked")):
            count = (counters or {}).get(_prefix(file) + name, 0)
            state[name] = np.asarray(count, np.int64)
        states[file.stem] = state
    return states


def from_states(
    states: Mapping[str, StateDict],
    params_shape: Mapping[str, Any],
    stats_shape: Mapping[str, Any],
    *,
    source: str,
) -> tuple[dict[str, Any], dict[str, Any], LoadReport]:
    """(params, batch statistics, report) out of the state dicts that :func:`to_states` gives.

    Args:
      states: by file stem.
      params_shape: shapes of the model that is to be filled.
      stats_shape: of its batch statistics.
      source: for messages.

    Raises:
      ConvertError: a tensor does not fit, is missing or unknown; or a file of tensors.
    """
    shapes = {name: value for name, value in params_shape.items() if name not in ELSEWHERE}
    wanted = {file.stem: file for file in files_of(shapes)}
    if set(wanted) != set(states):
        raise ConvertError(
            f"{source}: the settings ask for the tensor files {sorted(wanted)}, found "
            f"{sorted(states)}"
        )
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    joined = LoadReport(source)
    for stem, file in wanted.items():
        tree, report = engine.from_torch(
            states[stem],
            file.rules(shapes),
            _tree(file, shapes, stats_shape),
            excuses=elm.EXCUSES,
            source=f"{source}/{stem}.safetensors",
        )
        joined = joined.joined(report, _prefix(file))
        for ours, inner in file.modules.items():
            if inner in tree:
                params[ours] = tree[inner]["params"]
            if "batch_stats" in tree.get(inner, {}):
                stats[ours] = tree[inner]["batch_stats"]
    return params, stats, joined
