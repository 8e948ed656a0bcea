"""Loss and gradients of a global batch, at once or in microbatches, one after the other.

With ``config.microbatches = n`` only an n-th of the rows (of signals and of texts alike) goes
through the models at a time, so that activations take an n-th of the memory. The loss stays that of
the whole batch:

- Where rows are independent (``Objective.rows_independent``), the gradients of the parts' losses
  are added, each weighted by what its rows count for: the weighted mean over all rows, exactly.
- Where rows are compared (contrast), embeddings are cached as in GradCache (Gao et al. 2021, arXiv
  2101.06983): all parts are embedded, nothing is kept but their embeddings; the loss and its
  gradient are computed on the embeddings of the whole global batch; then each part is embedded
  again, with the same dropout keys, and that gradient is pulled back through it. It costs one
  forward pass more. A bag may be cut anywhere.

Losses and measures are always those of all the embeddings together, so this gives what one big
batch gives, but for two things:

- **BatchNorm** in training normalises by the statistics of its microbatch (over all devices), not
  of the whole batch, and the running statistics are updated once a microbatch, in order: n updates
  a step instead of one. With running statistics (a frozen encoder) nothing departs.
- **Dropout** patterns are drawn for each microbatch from a key of its own. What all rows of a batch
  share (a mask) is drawn from ``batch["batch_key"]``, which every part is given.

Parts are the same on any number of devices, and each device cuts its own rows (see
:func:`split_rows`). Gradients are added in the parameters' type, float32, and summed over devices
once a microbatch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from elm_jax.axes import Array, Batch, Float, Key, ModelState, Params
from elm_jax.objectives.base import Objective
from elm_jax.sharding import batch_sharding, require_divisible, ways


class Found(NamedTuple):
    """Loss, its terms, what is only reported, the state after the models ran, the gradients.

    Gradients have the parameters' structure, with None where nothing is learnt.
    """

    loss: Float[Array, ""]
    terms: dict[str, Float[Array, ""]]
    report: dict[str, Float[Array, ""]]
    model_state: ModelState
    grads: Params


# (what learns, model state, rows as stored, key) -> (outputs, model state)
Embed = Callable[[Params, ModelState, Batch, Key], tuple[dict[str, Array], ModelState]]
# outputs of all rows of a batch -> (loss, (terms, report))
Score = Callable[[dict[str, Array]], tuple[Array, tuple[dict[str, Array], dict[str, Array]]]]


def value_and_grad(
    objective: Objective,
    prepare: Callable[[Batch], Batch],
    trainable: Params,
    microbatches: int = 1,
) -> Callable[[Params, ModelState, Batch, Key], Found]:
    """A function (params, model_state, batch, key) -> :class:`Found`, for use under jit.

    Args:
      objective: what is learnt.
      prepare: stored integers to network values, row by row.
      trainable: a bool for every parameter; nothing is differentiated by the others.
      microbatches: in how many parts a batch is embedded; every kind of row must be a multiple of
        it times the devices that share the rows.
    """

    def run(params: Params, model_state: ModelState, batch: Batch, key: Key) -> Found:
        batch_key = key

        def embed(learning: Params, state: ModelState, part: Batch, key: Key):
            whole = jax.tree.map(lambda t, p, x: x if t else p, trainable, params, learning)
            rows = dict(prepare(part)) | {"batch_key": batch_key}
            return objective.embed(whole, state, rows, key, train=True)

        def score(out: dict[str, Array], rows: Batch = batch):
            terms, report = objective.terms(out, prepare(rows))
            return sum(terms.values()), (terms, report)

        learning = jax.tree.map(lambda t, p: p if t else None, trainable, params)
        if microbatches == 1:
            return _at_once(embed, score, learning, model_state, batch, key)
        parts = split_rows(batch, microbatches), jax.random.split(key, microbatches)
        if objective.rows_independent:
            weight = lambda part: objective.weight(prepare(part))  # noqa: E731
            return _weighted(embed, score, weight, learning, model_state, batch, parts)
        return _cached(embed, score, learning, model_state, parts)

    return run


def _at_once(
    embed: Embed, score: Score, learning: Params, state: ModelState, batch: Batch, key: Key
) -> Found:
    def loss_fn(learning):
        out, new = embed(learning, state, batch, key)
        loss, scored = score(out)
        return loss, (*scored, new)

    (loss, rest), grads = jax.value_and_grad(loss_fn, has_aux=True)(learning)
    return Found(loss, *rest, grads)


def _weighted(
    embed: Embed,
    score: Callable[..., Any],
    weight: Callable[[Batch], Array],
    learning: Params,
    state: ModelState,
    batch: Batch,
    parts: tuple[Batch, Key],
) -> Found:
    """Parts whose losses' weighted mean is the loss: one forward and one backward pass."""
    total = weight(batch)
    total = jnp.where(total > 0, total, 1)

    def one(carry, part_key):
        state, grads = carry
        part, key = part_key

        def loss_fn(learning):
            out, new = embed(learning, state, part, key)
            loss, _ = score(out, part)
            return loss * (weight(part).astype(loss.dtype) / total), (out, new)

        more, (out, state) = jax.grad(loss_fn, has_aux=True)(learning)
        return (state, _add(grads, more)), out

    (state, grads), out = jax.lax.scan(one, (state, _zeros(learning)), parts)
    loss, scored = score(join_rows(out))
    return Found(loss, *scored, state, grads)


def _cached(
    embed: Embed, score: Score, learning: Params, state: ModelState, parts: tuple[Batch, Key]
) -> Found:
    """Embeddings first, then the loss on all of them, then the way back part by part."""
    n = len(parts[1])

    def forward(state, part_key):
        out, state = embed(learning, state, *part_key)
        return state, out

    def backward(carry, part_key_cotangent):
        state, grads = carry
        *part_key, cotangent = part_key_cotangent
        _, pull, state = jax.vjp(lambda x: embed(x, state, *part_key), learning, has_aux=True)
        return (state, _add(grads, pull(cotangent)[0])), None

    _, out = jax.lax.scan(forward, state, parts)
    (loss, scored), cotangents = jax.value_and_grad(score, has_aux=True)(join_rows(out))
    cotangents = split_rows(cotangents, n)
    (state, grads), _ = jax.lax.scan(backward, (state, _zeros(learning)), (*parts, cotangents))
    return Found(loss, *scored, state, grads)


def _zeros(tree: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, tree)


def _add(a: Params, b: Params) -> Params:
    return jax.tree.map(jnp.add, a, b)


def split_rows(tree: Any, microbatches: int) -> Any:
    """``[b, ...]`` to ``[microbatches, b / microbatches, ...]``: row r goes to part r mod n.

    So every part has its share of each bag (whose rows follow each other), the parts are the same
    on any number of devices, and each device cuts its own rows: nothing is moved. Under a mesh
    (``jax.set_mesh``) every part is spread evenly.

    Raises:
      ValueError: rows that cannot be cut evenly.
    """
    mesh = jax.sharding.get_abstract_mesh()

    def leaf(x: Array) -> Array:
        b, *rest = x.shape
        require_divisible({"a kind of row": b}, mesh, microbatches)
        parts = x.reshape(b // microbatches, microbatches, *rest).swapaxes(0, 1)
        return _spread(parts, mesh, axis=1)

    return jax.tree.map(leaf, tree)


def join_rows(tree: Any) -> Any:
    """``[microbatches, b / microbatches, ...]`` back to ``[b, ...]``, in the order of before."""
    mesh = jax.sharding.get_abstract_mesh()

    def leaf(x: Array) -> Array:
        n, rows, *rest = x.shape
        return _spread(x.swapaxes(0, 1).reshape(n * rows, *rest), mesh, axis=0)

    return jax.tree.map(leaf, tree)


def _spread(x: Array, mesh: AbstractMesh, *, axis: int) -> Array:
    """Rows, which are ``axis``, shared out over the mesh's batch axes."""
    if ways(mesh) == 1:
        return x
    return jax.lax.with_sharding_constraint(x, P(*(None,) * axis, *batch_sharding(mesh).spec))
