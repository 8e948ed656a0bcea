"""From a recipe to the network: the shapes that a source must fill, and what the model gives."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from elm_jax import encoders, networks
from elm_jax.convert import probe
from elm_jax.convert.engine import ConvertError, flatten
from elm_jax.convert.parts import ModelParts
from elm_jax.data import tokens
from elm_jax.data.spec import SignalSpec
from elm_jax.messages import listed
from elm_jax.models.bert import Bert, BertConfig
from elm_jax.objectives.base import Objective
from elm_jax.text_source import TextSource, find_model

SECTIONS = ("dtype", "encoder", "objective", "text")
PROBE_TOKENS = 12


def require_recipe(recipe: Any, source: str) -> dict[str, Any]:
    """``recipe`` if it has every section.

    Raises:
      ConvertError: a section is missing or of the wrong kind; names it.
    """
    recipe = recipe if isinstance(recipe, Mapping) else {}
    missing = [k for k in SECTIONS if k not in recipe]
    wrong = [k for k in ("encoder", "objective") if not isinstance(recipe.get(k), Mapping)]
    if missing or wrong or recipe["dtype"] not in probe.TOLERANCE:
        raise ConvertError(
            f"{source}: expected a recipe with {SECTIONS} (dtype one of {list(probe.TOLERANCE)}); "
            f"missing {missing}, not a section {wrong}, dtype {recipe.get('dtype')!r}"
        )
    return dict(recipe)


def tower_learns(recipe: Mapping[str, Any]) -> bool:
    """Whether the text tower is part of the parameters (scratch or tuned), not only named."""
    tower = (recipe["text"] or {}).get("tower") or {}
    return tower.get("name") == "scratch_bert" or tower.get("freeze_layers", -1) >= 0


def bert_config(recipe: Mapping[str, Any], params: Mapping[str, Any], folder: Any) -> BertConfig:
    """The sizes of a text tower in the parameters; rates and activation as its recipe has them.

    Args:
      recipe: its sections.
      params: the tower's parameters.
      folder: of the Hugging Face files that a tuned tower came from.
    """
    tower = recipe["text"]["tower"]
    if tower["name"] != "scratch_bert":
        return BertConfig.from_hf_dir(folder or find_model(tower["path"]))
    embeddings = params["embeddings"]
    return BertConfig(
        vocab_size=embeddings["word"]["embedding"].shape[0],
        width=tower["width"],
        n_layers=tower["depth"],
        n_heads=tower["heads"],
        mlp_width=4 * tower["width"],
        max_positions=embeddings["position"]["embedding"].shape[0],
        dropout=tower["dropout"],
        attention_dropout=tower["dropout"],
    )


def build_network(
    recipe: Mapping[str, Any], spec: SignalSpec, bert: BertConfig | None = None
) -> Objective:
    """The objective that a recipe describes, with the text tower ``bert`` in it if there is one.

    Raises:
      ValueError: a name or a setting that :mod:`elm_jax.build` does not know.
    """
    texts = None
    if bert is not None:
        module = Bert(bert, dtype=encoders.DTYPES[recipe["dtype"]])
        texts = TextSource(_no_table, module, recipe["text"]["tower"]["pooling"])
    return networks.build_objective(as_config(recipe), spec, texts)


def as_config(recipe: Mapping[str, Any]) -> ConfigDict:
    """A stored recipe as :mod:`elm_jax.build` reads it."""
    return ConfigDict(_tuples(recipe))


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, which linen modules can hash."""
    if isinstance(value, Mapping):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _no_table(texts: Any) -> Any:
    raise ConvertError("a conversion reads no texts")


def text_inputs(
    recipe: Mapping[str, Any], *, text_width: int | None, bert: BertConfig | None, seed: int = 0
) -> dict[str, np.ndarray]:
    """The text part of a probe's batch: token numbers for a tower, else vectors; may be empty."""
    rng = np.random.default_rng(seed + 1)
    if bert is not None:
        limit = min(PROBE_TOKENS, tokens.MAX_TOKENS[recipe["text"]["mode"]], bert.max_positions)
        token = rng.integers(0, bert.vocab_size, (probe.ROWS, limit)).astype(np.int32)
        valid = np.ones((probe.ROWS, limit), bool)
        valid[-1, limit // 2 :] = False
        return {"text_token": token, "text_token_valid": valid}
    if text_width:
        return {"text_emb": rng.normal(size=(probe.ROWS, text_width)).astype(np.float32)}
    return {}


def text_width_of(projector: Mapping[str, Any]) -> int:
    """How wide the vectors are that a text projector with these parameters takes."""
    return projector["hidden" if "hidden" in projector else "out"]["kernel"].shape[0]


def shapes(
    objective: Objective, spec: SignalSpec, text: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(params, model state) of an objective as shapes and types."""
    signal = jax.ShapeDtypeStruct((1, len(spec.channels), spec.window_samples), jnp.float32)
    batch = {"signal": signal, **{k: jnp.asarray(v) for k, v in text.items()}}
    return jax.eval_shape(objective.init, jax.random.key(0), batch)


def require_shapes(objective: Objective, parts: ModelParts) -> None:
    """Raises unless the tensors of ``parts`` are those of ``objective``, made from their recipe.

    A frozen text tower need not be there: the projector tells how wide its vectors are.

    Raises:
      ConvertError: names every tensor that is missing, unexpected or of another shape or type.
    """
    text: dict[str, np.ndarray] = {}
    if getattr(objective, "text_tower", None) is not None:
        text = {"text_token": np.zeros((1, 4), np.int32), "text_token_valid": np.ones((1, 4), bool)}
    elif "text_projector" in parts.params:
        width = text_width_of(parts.params["text_projector"])
        text = {"text_emb": np.zeros((1, width), np.float32)}
    params, model_state = shapes(objective, parts.spec, text)
    wanted = flatten({"params": params, "model_state": model_state})
    found = flatten({"params": parts.params, "model_state": parts.model_state})
    lines = [f"missing: {k} {wanted[k].shape}" for k in sorted(wanted.keys() - found)]
    lines += [f"unexpected: {k} {found[k].shape}" for k in sorted(found.keys() - wanted)]
    lines += [
        f"{k}: expected {wanted[k].shape} {wanted[k].dtype}, found {found[k].shape} "
        f"{found[k].dtype}"
        for k in sorted(found.keys() & wanted)
        if (found[k].shape, found[k].dtype) != (wanted[k].shape, wanted[k].dtype)
    ]
    if lines:
        raise ConvertError(
            f"{parts.source}: its tensors are not those of its own description:\n  " + listed(lines)
        )


def network_of(parts: ModelParts) -> tuple[Objective, dict[str, np.ndarray]]:
    """The objective of ``parts`` and the text part of a probe's batch for it."""
    bert, width = None, None
    if "text_tower" in parts.params:
        bert = bert_config(parts.recipe, parts.params["text_tower"], parts.text_tower_dir)
    elif "text_projector" in parts.params:
        width = text_width_of(parts.params["text_projector"])
    text = text_inputs(parts.recipe, text_width=width, bert=bert)
    return build_network(parts.recipe, parts.spec, bert), text


def predict_of(parts: ModelParts) -> probe.Predict:
    """Host batch to host outputs, as the probe wants it."""
    objective, _ = network_of(parts)

    @jax.jit
    def run(params, model_state, batch):
        return objective.predict(params, model_state, batch)

    def predict(batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return jax.device_get(run(parts.params, parts.model_state, dict(batch)))

    return predict


def make_probe(parts: ModelParts, predict: probe.Predict | None = None) -> probe.Probe:
    """A fresh probe of ``parts``; the one they came with, if any, is checked first.

    Args:
      parts: a model.
      predict: of its network, if that is built already.

    Raises:
      ProbeMismatch: they do not give what was stored with them.
    """
    predict = predict or predict_of(parts)
    if parts.probe is not None:
        parts.probe.require_window(parts.spec, parts.source)
        parts.probe.check(predict, parts.source)
    _, text = network_of(parts)
    return probe.make(predict, parts.spec, text=text, dtype=parts.recipe["dtype"])
