"""Signal2Vec: vectors of ECG-Byte's tokens, by skip-gram with negative sampling.

A token should tell which tokens stand near it (Mikolov et al. 2013). As in ECG-Bench: a centre is
drawn uniformly from all texts, a width from 1 to ``window``, a neighbour uniformly within that
width in the same text; noise by frequency to the power 0.75; a vector is the mean of the token's
two (as centre, as context); Adam with decoupled decay and a cosine of rates. Where noise is the
neighbour itself it does not count (there it is drawn once more), and terms of noise are summed, as
in the paper (there averaged).

Training is a pure function of texts, settings and seed. On a GPU or TPU sums of gradients may be
taken in another order each time.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from elm_jax.axes import Array, Float, Int, Key
from elm_jax.data.ecg_byte.arrays import ArraysError, read_npz, write_npz
from elm_jax.losses.skip_gram import skip_gram

FORMAT, VERSION = "elm_jax Signal2Vec", 1
_CHUNK_STEPS = 50  # between two calls of `progress`


class VectorError(ValueError):
    """Texts that nothing can be learnt from, or a file that holds no vectors."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How vectors are trained; but for ``pairs`` the numbers are ECG-Bench's.

    Attributes:
      width: of a vector.
      window: tokens to either side at most.
      negatives: random tokens a pair.
      pairs: of a token and its neighbour, in all.
      batch_pairs: of each step.
      learning_rate: at first; falls to 0 along a cosine.
      weight_decay: decoupled.
      noise_power: of the frequencies that noise is drawn by.
      min_count: rarer tokens are taken out of the texts.
      subsample: where positive, a token of frequency f stays in the texts with probability
        ``sqrt(subsample / f) + subsample / f``.
    """

    width: int = 128
    window: int = 12
    negatives: int = 5
    pairs: int = 10_000_000
    batch_pairs: int = 4096
    learning_rate: float = 2e-3
    weight_decay: float = 1e-5
    noise_power: float = 0.75
    min_count: int = 10
    subsample: float = 1e-5

    def __post_init__(self):
        least = {"min_count": 0, "subsample": 0, "weight_decay": 0, "noise_power": 0}
        for field in dataclasses.fields(self):
            value, low = getattr(self, field.name), least.get(field.name, 1)
            if field.name == "learning_rate":
                low = 1e-12
            if not low <= value < float("inf"):
                raise VectorError(f"{field.name} is {value}, expected at least {low:g}")

    @property
    def steps(self) -> int:
        """Of training."""
        return -(-self.pairs // self.batch_pairs)


class Vectors(NamedTuple):
    """What training gives.

    Attributes:
      vector: of each id, row ``i`` is id ``i``; of an id that was not trained, zeros.
      count: how often each id occurs in the texts, before any was taken out.
      trained: which ids were in the texts that were trained on.
      loss: mean of every so many steps.
    """

    vector: Float[np.ndarray, "v d"]
    count: Int[np.ndarray, " v"]
    trained: np.ndarray
    loss: Float[np.ndarray, " chunks"]


class _Texts(NamedTuple):
    """All texts in a row, on the device."""

    ids: Array  # [n]
    text: Array  # of each token [n]
    begin: Array  # of each text, and the end of the last
    noise_below: Array  # cumulative share of each id [v]


def train_vectors(
    texts: Sequence[np.ndarray],
    vocab_size: int,
    settings: Settings | None = None,
    *,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> Vectors:
    """Vectors of the ids of a vocabulary.

    Args:
      texts: ids of each record.
      vocab_size: how many ids there are.
      settings: see :class:`Settings`.
      seed: of everything random.
      progress: called with the steps so far and the mean loss of the last of them.

    Raises:
      VectorError: ids beyond the vocabulary, or no text of two tokens is left.
    """
    settings = settings or Settings()
    every = np.concatenate([np.zeros(0, np.int64), *texts]).astype(np.int64)
    if len(every) and not 0 <= every.min() <= every.max() < vocab_size:
        raise VectorError(f"ids reach from {every.min()} to {every.max()} of {vocab_size}")
    count = np.bincount(every, minlength=vocab_size)
    kept = thinned(texts, count, settings, seed)
    ready, seen = _on_device(kept, vocab_size, settings)
    params = _init(jax.random.key(seed), vocab_size, settings.width)
    schedule = optax.cosine_decay_schedule(settings.learning_rate, settings.steps)
    optimiser = optax.adamw(schedule, weight_decay=settings.weight_decay)
    opt_state, losses = optimiser.init(params), []
    key = jax.random.fold_in(jax.random.key(seed), 1)
    for step in range(0, settings.steps, _CHUNK_STEPS):
        steps = min(_CHUNK_STEPS, settings.steps - step)
        params, opt_state, loss = _train(
            params, opt_state, ready, key, jnp.asarray(step), steps, settings, optimiser
        )
        losses.append(float(loss))
        if progress:
            progress(step + steps, losses[-1])
    vector = np.asarray((params["center"] + params["context"]) / 2)
    vector = np.where(seen[:, None], vector, np.float32(0))
    return Vectors(vector, count, seen, np.asarray(losses))


def thinned(
    texts: Sequence[np.ndarray], count: Int[np.ndarray, " v"], settings: Settings, seed: int
) -> list[np.ndarray]:
    """Texts without rare tokens and with fewer of the frequent; those of two tokens or more."""
    enough = count >= settings.min_count
    texts = [text[enough[text]] for text in texts]
    if settings.subsample > 0:
        frequency = np.where(enough, count, 0) / max(count[enough].sum(), 1)
        ratio = settings.subsample / np.maximum(frequency, 1e-12)
        stays = np.sqrt(ratio) + ratio
        rng = np.random.default_rng(seed)
        texts = [text[rng.random(len(text)) < stays[text]] for text in texts]
    texts = [text for text in texts if len(text) > 1]
    if not texts:
        raise VectorError(
            f"no text of two tokens is left: lower min_count ({settings.min_count}), raise "
            f"subsample ({settings.subsample:g}) or set it to 0, or take more records"
        )
    return texts


def _on_device(
    texts: Sequence[np.ndarray], vocab_size: int, settings: Settings
) -> tuple[_Texts, np.ndarray]:
    """The texts as arrays, and which ids are in them."""
    ids = np.concatenate(texts).astype(np.int32)
    lengths = np.asarray([len(text) for text in texts])
    count = np.bincount(ids, minlength=vocab_size)
    share = np.where(count > 0, count.astype(np.float64) ** settings.noise_power, 0.0)
    below = np.cumsum(share / share.sum()).astype(np.float32)
    text = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    begin = np.cumsum([0, *lengths]).astype(np.int32)
    return _Texts(*map(jnp.asarray, (ids, text, begin, below))), count > 0


def _init(key: Key, vocab_size: int, width: int) -> dict[str, Array]:
    shape = (vocab_size, width)
    center = jax.random.uniform(key, shape, minval=-0.5 / width, maxval=0.5 / width)
    return {"center": center, "context": jnp.zeros(shape)}


def draw_pairs(
    key: Key, texts: _Texts, settings: Settings
) -> tuple[Int[Array, " b"], Int[Array, " b"], Int[Array, "b k"]]:
    """Ids of centres, of their neighbours, and of noise."""
    b, n = settings.batch_pairs, len(texts.ids)
    key_center, key_width, key_side, key_noise = jax.random.split(key, 4)
    at = jax.random.randint(key_center, (b,), 0, n)
    width = jax.random.randint(key_width, (b,), 1, settings.window + 1)
    text = texts.text[at]
    left = jnp.minimum(width, at - texts.begin[text])
    right = jnp.minimum(width, texts.begin[text + 1] - 1 - at)
    # A text has two tokens at least, so there is a neighbour on one side or the other.
    nth = jnp.floor(jax.random.uniform(key_side, (b,)) * (left + right)).astype(jnp.int32)
    nth = jnp.minimum(nth, left + right - 1)
    beside = jnp.where(nth < left, at - left + nth, at + 1 + nth - left)
    chance = jax.random.uniform(key_noise, (b, settings.negatives), maxval=texts.noise_below[-1])
    noise = jnp.searchsorted(texts.noise_below, chance, side="right")
    noise = jnp.minimum(noise, len(texts.noise_below) - 1)
    return texts.ids[at], texts.ids[beside], noise.astype(jnp.int32)


def batch_loss(
    params: Mapping[str, Array],
    center: Int[Array, " b"],
    context: Int[Array, " b"],
    noise: Int[Array, "b k"],
) -> Float[Array, ""]:
    """The mean loss of some pairs."""
    keep = noise != context[:, None]
    own, beside = params["center"], params["context"]
    return skip_gram(own[center], beside[context], beside[noise], keep).mean()


@functools.partial(
    jax.jit, static_argnames=("steps", "settings", "optimiser"), donate_argnums=(0, 1)
)
def _train(
    params: Any,
    opt_state: Any,
    texts: _Texts,
    key: Key,
    first: Array,
    steps: int,
    settings: Settings,
    optimiser: optax.GradientTransformation,
) -> tuple[Any, Any, Array]:
    """Some steps, and their mean loss."""

    def step(carry, number):
        params, opt_state = carry
        pairs = draw_pairs(jax.random.fold_in(key, number), texts, settings)
        loss, gradient = jax.value_and_grad(batch_loss)(params, *pairs)
        updates, opt_state = optimiser.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), loss

    numbers = first + jnp.arange(steps)
    (params, opt_state), loss = jax.lax.scan(step, (params, opt_state), numbers)
    return params, opt_state, loss.mean()


def nearest(
    vectors: Vectors, ids: Int[np.ndarray, " q"], neighbours: int
) -> tuple[Int[np.ndarray, "q k"], Float[np.ndarray, "q k"]]:
    """The tokens most like some others by cosine, and how like; never themselves.

    Raises:
      VectorError: an id was not trained, or there are not that many others.
    """
    known = np.flatnonzero(vectors.trained)
    if not vectors.trained[ids].all():
        raise VectorError(f"{ids[~vectors.trained[ids]][:5].tolist()} were not trained")
    if not 1 <= neighbours < len(known):
        raise VectorError(f"{neighbours} neighbours of {len(known)} trained tokens")
    unit = vectors.vector / np.maximum(
        np.linalg.norm(vectors.vector, axis=1, keepdims=True), np.float32(1e-12)
    )
    like = unit[ids] @ unit[known].T
    like[known[None] == np.asarray(ids)[:, None]] = -np.inf
    order = np.argsort(-like, axis=1, kind="stable")[:, :neighbours]
    return known[order], np.take_along_axis(like, order, axis=1)


def save(path: epath.PathLike, vectors: Vectors, meta: Mapping[str, Any]) -> None:
    """Writes ``.npz``: vector, id, count, trained, loss, and ``meta`` as JSON."""
    head = dict(meta) | {"format": FORMAT, "version": VERSION}
    arrays = vectors._asdict() | {
        "id": np.arange(len(vectors.vector)),
        "meta": np.frombuffer(json.dumps(head, ensure_ascii=False).encode(), np.uint8),
    }
    write_npz(path, arrays)


def load(path: epath.PathLike) -> tuple[Vectors, dict[str, Any]]:
    """Reads a file of :func:`save`: the vectors, and its ``meta``.

    Raises:
      FileNotFoundError: there is none.
      VectorError: it is something else, of another version, or damaged.
    """
    try:
        arrays = read_npz(path, (*Vectors._fields, "id", "meta"))
        meta = json.loads(arrays.pop("meta").tobytes().decode())
    except ArraysError as error:
        raise VectorError(str(error)) from error
    except ValueError as error:
        raise VectorError(f"{path}: damaged ({error})") from error
    found = (meta.pop("format", None), meta.pop("version", None))
    if found != (FORMAT, VERSION):
        raise VectorError(f"{path}: found {found}, expected {(FORMAT, VERSION)}")
    ids = arrays.pop("id")
    sizes = {len(arrays[name]) for name in ("vector", "count", "trained")}
    if arrays["vector"].ndim != 2 or sizes != {len(ids)} or (ids != np.arange(len(ids))).any():
        raise VectorError(f"{path}: arrays of {sorted(sizes)} rows do not fit together")
    return Vectors(**arrays), meta
