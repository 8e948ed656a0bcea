"""Where text vectors come from: a pretrained BERT (frozen or tuned) or a small one from scratch.

Frozen towers run once: every distinct text is embedded before training and cached on disk.
"""

import dataclasses
import functools
import hashlib
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from elm_jax import paths, staging
from elm_jax.axes import Params
from elm_jax.data import tokens
from elm_jax.data.text import TextTable
from elm_jax.models.bert import Bert, BertConfig, pool_text
from elm_jax.text_vectors import TEXTS_OF_ONE_LENGTH, cached_embeddings

ROWS_PER_DEVICE = 64  # texts that a frozen tower embeds at once

# Gives the texts to learn a vocabulary from; None where none may be learnt.
Corpus = Callable[[], Sequence[str]] | None


def _keep_params(params: Params) -> Params:
    return params


def _not_checked(texts: Sequence[str]) -> None:
    """For sources that read no texts themselves."""


@dataclasses.dataclass(frozen=True)
class TextSource:
    """What the rest of the house needs of a text tower.

    Attributes:
      table: texts to what a batch carries for them.
      module: the tower that the objective runs in its step; None if the table has embeddings.
      pooling: how ``module``'s tokens become one vector.
      overlay: writes pretrained weights over freshly initialised parameters.
      frozen: regexes of parameters (under ``text_tower/``) that must not learn.
      require_whole: raises ``tokens.TextTooLong`` (a ValueError) where ``table`` would cut a text;
        for what a person asks in words, which must be read as it is or not at all.
    """

    table: Callable[[Sequence[str]], TextTable]
    module: nn.Module | None = None
    pooling: str = "cls"
    overlay: Callable[[Params], Params] = _keep_params
    frozen: tuple[str, ...] = ()
    require_whole: Callable[[Sequence[str]], None] = _not_checked


def _token_table(
    tokenizer: Any, mode: str, *, cut: bool = True
) -> Callable[[Sequence[str]], TextTable]:
    """Tokenises; rows are as long as the longest text needs, or as the mode's limit if not cut."""

    def table(texts: Sequence[str]) -> TextTable:
        token, valid = tokens.tokenize(tokenizer, list(texts), mode=mode)
        longest = max(int(valid.sum(axis=1).max()), 1) if cut else token.shape[1]
        arrays = {"text_token": token[:, :longest], "text_token_valid": valid[:, :longest]}
        return TextTable(tuple(texts), arrays)

    return table


def scratch_bert(
    *,
    width: int,
    depth: int,
    heads: int,
    vocab_size: int,
    dropout: float,
    pooling: str,
    mode: str,
    corpus: Corpus,
    workdirs: Sequence[epath.Path],
    cache: epath.Path | None,
    dtype: Any,
) -> TextSource:
    """A small BERT, trained jointly; its WordPiece vocabulary is learnt from the corpus.

    The vocabulary is written to ``tokenizer/`` in the first of ``workdirs`` once, and read from
    there after; if another of them has one already, that is copied.

    Raises:
      FileNotFoundError: there is none, and ``corpus`` is None.
    """
    del cache
    tokenizer = tokens.load_tokenizer(_own_tokenizer(workdirs, corpus, vocab_size))
    config = BertConfig(
        vocab_size=len(tokenizer),
        width=width,
        n_layers=depth,
        n_heads=heads,
        mlp_width=4 * width,
        max_positions=tokens.MAX_TOKENS[mode],
        dropout=dropout,
        attention_dropout=dropout,
    )
    return TextSource(
        _token_table(tokenizer, mode),
        Bert(config, dtype=dtype),
        pooling,
        require_whole=functools.partial(tokens.require_whole, tokenizer, mode=mode),
    )


def _own_tokenizer(workdirs: Sequence[epath.Path], corpus: Corpus, vocab_size: int) -> pathlib.Path:
    """The folder of the run's vocabulary: as it is, copied from another run, or learnt."""
    folder, *others = (paths.of(workdir) / "tokenizer" for workdir in workdirs)
    if _is_whole(folder):
        return staging.local_folder(folder)
    origin = next((other for other in others if _is_whole(other)), None)
    if origin is None and corpus is None:
        raise FileNotFoundError(f"{folder}: the vocabulary that the model was trained with is gone")
    if paths.is_remote(folder):
        return _send_tokenizer(folder, origin, corpus, vocab_size)
    folder = pathlib.Path(folder)
    # Renamed into place when whole, so that neither a kill nor a second process can leave a part.
    unique = folder.with_name(f".tokenizer.{uuid.uuid4().hex}.tmp")
    if origin is not None:
        shutil.copytree(staging.local_folder(origin), unique)
    else:
        tokens.learn_wordpiece(corpus(), vocab_size=vocab_size, out_dir=unique)
    try:
        unique.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        shutil.rmtree(unique)  # another process was faster; the same texts gave it the same files
    return folder


_LAST = "tokenizer_config.json"  # of a tokenizer in a bucket, whose files come one after another


def _is_whole(folder: epath.Path) -> bool:
    with paths.told():
        return (folder / _LAST if paths.is_remote(folder) else folder).exists()


def _send_tokenizer(
    folder: epath.Path, origin: epath.Path | None, corpus: Corpus, vocab_size: int
) -> pathlib.Path:
    """As :func:`_own_tokenizer`, of a workdir in a bucket, where no folder can be renamed."""
    with tempfile.TemporaryDirectory() as place:
        made = pathlib.Path(place)
        if origin is None:
            tokens.learn_wordpiece(corpus(), vocab_size=vocab_size, out_dir=made)
        else:
            made = staging.local_folder(origin)
        staging.send_folder(made, folder, last=_LAST)
    return staging.local_folder(folder)


def pretrained_bert(
    *,
    path: str,
    pooling: str,
    freeze_layers: int,
    mode: str,
    corpus: Corpus,
    workdirs: Sequence[epath.Path],
    cache: epath.Path | None,
    dtype: Any,
) -> TextSource:
    """A BERT from a Hugging Face directory or id, frozen (``freeze_layers=-1``) or in the step.

    ``freeze_layers = n > 0`` trains the tower except its embeddings and first n layers; 0 trains
    all of it; -1 freezes all of it. A frozen tower is looked for when the first text is embedded:
    who only embeds signals need not have it. Its vectors are kept in ``cache``; None: nowhere.

    Raises:
      FileNotFoundError: the model is neither a directory nor in the local cache, and cannot be
        downloaded; says how to get it.
    """
    del corpus, workdirs
    if freeze_layers < -1:
        raise ValueError(f"config.text.tower.freeze_layers={freeze_layers}; known: -1, 0, 1, ...")
    if freeze_layers == -1:
        return TextSource(
            _frozen_table(path, pooling, mode, cache, dtype),
            require_whole=lambda texts: tokens.require_whole(
                tokens.load_tokenizer(find_model(path)), texts, mode=mode
            ),
        )
    from elm_jax.convert.bert import load_bert

    folder = find_model(path)
    loaded = load_bert(folder)
    config, params, n = loaded.config, loaded.variables["params"], freeze_layers
    if n > config.n_layers:
        raise ValueError(
            f"config.text.tower.freeze_layers={n}, but {path} has {config.n_layers} layers; -1 "
            "freezes the whole tower"
        )
    frozen = ("embeddings.*", *(f"layer_{i}/.*" for i in range(n))) if n else ()
    tokenizer = tokens.load_tokenizer(folder)
    return TextSource(
        _token_table(tokenizer, mode),
        Bert(config, dtype=dtype),
        pooling,
        overlay=lambda fresh: dict(fresh) | {"text_tower": params},
        frozen=tuple(f"text_tower/{p}" for p in frozen),
        require_whole=functools.partial(tokens.require_whole, tokenizer, mode=mode),
    )


def _frozen_table(
    path: str, pooling: str, mode: str, cache: epath.Path | None, dtype: Any
) -> Callable[[Sequence[str]], TextTable]:
    """The table of a frozen tower, which is read from disk when the first text is asked for."""

    @functools.cache
    def tower():
        from elm_jax.convert.bert import load_bert

        folder = find_model(path)
        loaded = load_bert(folder)
        computed_in = np.dtype(dtype).name
        key = dict(weights=weights_hash(folder), mode=mode, pooling=pooling, dtype=computed_in)
        token_table = _token_table(tokens.load_tokenizer(folder), mode, cut=False)
        run = _on_local_devices(Bert(loaded.config, dtype=dtype), loaded.variables, pooling)
        return token_table, run, key

    def table(texts: Sequence[str]) -> TextTable:
        token_table, run, key = tower()
        rows = ROWS_PER_DEVICE * len(_devices_of_texts())
        vectors = cached_embeddings(
            texts, token_table, run, key=key, cache=cache, rows_per_batch=rows
        )
        return TextTable(tuple(texts), {"text_emb": vectors})

    return table


def _devices_of_texts() -> list[jax.Device]:
    """This process's devices, as many as divide the texts that are padded to one length."""
    n = min(jax.local_device_count(), TEXTS_OF_ONE_LENGTH // ROWS_PER_DEVICE)
    return jax.local_devices()[: 1 << n.bit_length() - 1]


def _on_local_devices(
    module: Bert, variables: Params, pooling: str
) -> Callable[[np.ndarray, np.ndarray], jax.Array]:
    """Tokens to vectors, rows shared out over this process's devices.

    Every device computes ``ROWS_PER_DEVICE`` rows by the same program, however many there are.
    """
    devices = _devices_of_texts()
    mesh = jax.make_mesh((len(devices),), ("rows",), axis_types=(AxisType.Auto,), devices=devices)
    # An argument, not a constant of the compiled program: a tower has half a gigabyte.
    variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
    rows = PartitionSpec("rows")

    @jax.jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(PartitionSpec(), rows, rows), out_specs=rows
    )
    def apply(variables, token, valid):
        return pool_text(module.apply(variables, token, valid, train=False), valid, pooling)

    def run(token: np.ndarray, valid: np.ndarray) -> jax.Array:
        with jax.set_mesh(mesh):  # training's own mesh may be over the devices of all processes
            return apply(variables, token, valid)

    return run


def find_model(
    path_or_id: str,
    *,
    key: str = "config.text.tower.path",
    otherwise: str = (
        "To train a small text tower from scratch instead, run the config with ':demo' "
        "(configs/elm_5s.py:demo)."
    ),
) -> pathlib.Path:
    """The local directory of a Hugging Face model: as given, from the cache, or downloaded.

    Args:
      path_or_id: a directory, or the id of a model on the hub.
      key: of the config, that names it.
      otherwise: what else could be done, for the message.

    Raises:
      FileNotFoundError: says how to get it.
    """
    wanted = [
        "config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab.txt",
        "special_tokens_map.json", "preprocessor_config.json", "processor_config.json",
    ]  # fmt: skip
    if paths.is_remote(path_or_id):
        return staging.local_folder(path_or_id, wanted)
    if pathlib.Path(path_or_id).is_dir():
        return pathlib.Path(path_or_id)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    problem: Exception | None = None
    for offline in (True, False):
        try:
            found = snapshot_download(path_or_id, allow_patterns=wanted, local_files_only=offline)
        except (OSError, HFValidationError, ValueError) as error:
            problem = error
            continue
        if any(pathlib.Path(found).glob("*.safetensors")):
            return pathlib.Path(found)
    raise FileNotFoundError(
        f"{key}={path_or_id!r} is neither a directory here nor in the local model "
        f"cache, and could not be downloaded. Where there is a network:\n"
        f"    hf download {path_or_id}\n"
        f"then copy the folder and set --{key}=FOLDER. {otherwise}"
    ) from problem


def weights_hash(folder: pathlib.Path) -> str:
    """A hash of what decides a tower's output: its configuration, weights and tokenizer."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".safetensors", ".txt"):
            digest.update(path.name.encode())
            with path.open("rb") as f:
                while block := f.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()
