"""Hugging Face BERT directories <-> our Bert."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from etils import epath

from elm_jax import staging
from elm_jax.convert import engine
from elm_jax.convert.engine import ConvertRule, Excuse
from elm_jax.convert.reader import StateDict, read_hf_weights
from elm_jax.models.bert import Bert, BertConfig


def _dense(torch: str, ours: str) -> list[ConvertRule]:
    return [
        ConvertRule(rf"{torch}\.weight", f"params/{ours}/kernel", "dense"),
        ConvertRule(rf"{torch}\.bias", f"params/{ours}/bias"),
    ]


def _norm(torch: str, ours: str) -> list[ConvertRule]:
    return [
        ConvertRule(rf"{torch}\.LayerNorm\.weight", f"params/{ours}/scale"),
        ConvertRule(rf"{torch}\.LayerNorm\.bias", f"params/{ours}/bias"),
        # Files from before 2019 call them so.
        ConvertRule(rf"{torch}\.LayerNorm\.gamma", f"params/{ours}/scale"),
        ConvertRule(rf"{torch}\.LayerNorm\.beta", f"params/{ours}/bias"),
    ]


def _embedding(torch: str, ours: str) -> ConvertRule:
    return ConvertRule(rf"embeddings\.{torch}\.weight", f"params/embeddings/{ours}/embedding")


_LAYER = r"encoder\.layer\.(\d+)\."
RULES = [
    _embedding("word_embeddings", "word"),
    _embedding("position_embeddings", "position"),
    _embedding("token_type_embeddings", "token_type"),
    *_norm("embeddings", "embeddings/norm"),
    *_dense(_LAYER + r"attention\.self\.query", "layer_{0}/attention/query"),
    *_dense(_LAYER + r"attention\.self\.key", "layer_{0}/attention/key"),
    *_dense(_LAYER + r"attention\.self\.value", "layer_{0}/attention/value"),
    *_dense(_LAYER + r"attention\.output\.dense", "layer_{0}/attention/out"),
    *_norm(_LAYER + r"attention\.output", "layer_{0}/attention_norm"),
    *_dense(_LAYER + r"intermediate\.dense", "layer_{0}/mlp/up"),
    *_dense(_LAYER + r"output\.dense", "layer_{0}/mlp/down"),
    *_norm(_LAYER + r"output", "layer_{0}/mlp_norm"),
]
EXCUSES = [
    Excuse(r"embeddings\.(position_ids|token_type_ids)", "a buffer that only counts"),
    Excuse(r"pooler\.dense\.(weight|bias)", "the pooler: texts are pooled here without it"),
    Excuse(r"(cls|classifier|qa_outputs)\..*", "the head of another task"),
]


class LoadedBert(NamedTuple):
    """A text tower from a file."""

    config: BertConfig
    variables: dict[str, Any]
    report: engine.LoadReport


def load_bert(directory: epath.PathLike) -> LoadedBert:
    """Reads ``config.json`` and the weights of a Hugging Face BERT directory.

    Weights saved by BertModel or, with the prefix ``bert.``, by a model with a head.

    Returns:
      the configuration, ``{"params": ...}`` for ``Bert(config)``, and the report.

    Raises:
      FileNotFoundError: a file is missing.
      BertConfigError: another network than BERT.
      UnreadableWeights: a broken or unsafe weights file.
      ConvertError: a tensor does not fit; all of them are named.
    """
    directory = staging.local_folder(directory)
    config = BertConfig.from_hf_dir(directory)
    variables, report = from_hf(config, read_hf_weights(directory), source=str(directory))
    return LoadedBert(config, variables, report)


def from_hf(
    config: BertConfig, state: StateDict, *, source: str = "state dict"
) -> tuple[dict[str, Any], engine.LoadReport]:
    """Converts a Hugging Face state dict into Bert variables.

    Raises:
      ConvertError: a tensor does not fit.
    """
    plain = {name.removeprefix("bert."): value for name, value in state.items()}
    if len(plain) != len(state):
        raise engine.ConvertError(f"{source}: names occur with and without the prefix 'bert.'")
    token_id = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    token_valid = jax.ShapeDtypeStruct((1, 1), jnp.bool_)
    target = jax.eval_shape(
        lambda token, valid: Bert(config).init(jax.random.key(0), token, valid, train=False),
        token_id,
        token_valid,
    )
    return engine.from_torch(plain, RULES, target, excuses=EXCUSES, source=source)


def save_bert(
    directory: str | pathlib.Path, config: BertConfig, variables: Mapping[str, Any]
) -> None:
    """Writes ``config.json`` and ``model.safetensors``; ``transformers.BertModel`` opens them.

    The pooler, which we lack, is initialised anew by transformers.
    """
    import safetensors.numpy

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    state = engine.to_torch({"params": variables["params"]}, RULES)
    # Not save_file: that leaves a file which only its owner may read.
    content = safetensors.numpy.save(state, metadata={"format": "pt"})
    (directory / "model.safetensors").write_bytes(content)
    text = json.dumps(config.to_hf_dict(), indent=2) + "\n"
    (directory / "config.json").write_text(text, encoding="utf-8")
