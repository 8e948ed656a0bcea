"""Layer-wise decay: rates by depth as BEiT has them, in AdamW as PyTorch's parameter groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.layer_decay import layer_factors
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.trees import path_of

DEPTH, DECAY = 3, 0.65


@pytest.fixture(scope="module")
def params():
    encoder = EegTransformer(("C3", "Cz"), width=8, depth=DEPTH, heads=2, patch_size=4)
    x = jnp.zeros((1, 2, 8))
    shapes = jax.eval_shape(lambda: encoder.init(jax.random.key(0), x, train=False))["params"]
    whole = {"adapter": {"proj": {"kernel": jax.ShapeDtypeStruct((2, 2), jnp.float32)}}}
    whole |= {"encoder": shapes}
    whole |= {"classifier": {"out": {"kernel": jax.ShapeDtypeStruct((8, 3), jnp.float32)}}}
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), s.dtype), whole)


def published_exponent(path):
    """Of ``values = decay ** (depth + 1 - i)``: i of a parameter, were it found by its name."""
    if path.startswith(("encoder/patch_embed", "encoder/channel_embed", "encoder/summary_token")):
        return DEPTH + 1
    if path.startswith("encoder/layer_"):
        return DEPTH - int(path.split("/")[1].removeprefix("layer_"))
    return 0


def test_every_parameter_has_the_rate_of_its_layer(params):
    factors = jax.tree_util.tree_leaves_with_path(layer_factors(params, DECAY))
    found = {path_of(key): factor for key, factor in factors}
    assert found == {path: DECAY ** published_exponent(path) for path in found}
    assert {published_exponent(path) for path in found} == {0, 1, 2, 3, 4}


def test_adamw_steps_are_those_of_pytorch_s_parameter_groups(params):
    torch = pytest.importorskip("torch")
    flat = {path_of(k): np.array(x) for k, x in jax.tree_util.tree_leaves_with_path(params)}
    theirs = {path: torch.nn.Parameter(torch.tensor(x)) for path, x in flat.items()}
    groups = [
        dict(
            params=[p],
            lr=1e-2 * DECAY ** published_exponent(path),
            weight_decay=0.05 if p.ndim > 1 else 0.0,
        )
        for path, p in theirs.items()
    ]
    optimizer = torch.optim.AdamW(groups)
    schedule = dict(kind="constant", warmup_steps=0, total_steps=3, per="step")
    settings = dict(name="adamw", rate=1e-2, weight_decay=0.05, schedule=schedule)
    ours = make_optimizer(settings | {"layer_decay": DECAY}, params, RunLength(3, 3, 1))
    state, mine = ours.tx.init(params), params
    for seed in range(3):
        rng = np.random.default_rng(seed)
        gradients = {path: rng.normal(size=x.shape).astype(np.float32) for path, x in flat.items()}
        for path, p in theirs.items():
            p.grad = torch.tensor(gradients[path])
        optimizer.step()
        grads = jax.tree_util.tree_map_with_path(lambda k, _: gradients[path_of(k)], params)  # noqa: B023
        updates, state = ours.tx.update(grads, state, mine)
        mine = jax.tree.map(jnp.add, mine, updates)
    for key, x in jax.tree_util.tree_leaves_with_path(mine):
        wanted = theirs[path_of(key)].detach().numpy()
        np.testing.assert_allclose(x, wanted, rtol=1e-5, atol=1e-6, err_msg=path_of(key))


def test_what_rules_freeze_stays_frozen_and_factors_multiply(params):
    rules = (("encoder/layer_0/.*", "freeze"), ("encoder/layer_1/.*", 0.5), (".*", "train"))
    schedule = dict(kind="constant", warmup_steps=0, total_steps=1, per="step")
    settings = dict(name="sgd", momentum=0.0, rate=1.0, schedule=schedule, rules=rules)
    optimizer = make_optimizer(settings | {"layer_decay": DECAY}, params, RunLength(1, 1, 1))
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.tx.update(ones, optimizer.tx.init(params), params)
    moved = {i: float(updates["encoder"][f"layer_{i}"]["mlp"]["up"]["bias"][0]) for i in range(3)}
    np.testing.assert_allclose([moved[i] for i in range(3)], [0, -0.5 * DECAY**2, -DECAY])
    assert not any(jax.tree.leaves(optimizer.trainable["encoder"]["layer_0"]))


@pytest.mark.parametrize(("decay", "message"), [(1.5, "0 < decay"), (0.0, "0 < decay")])
def test_a_decay_that_is_none_is_refused(params, decay, message):
    with pytest.raises(ValueError, match=message):
        layer_factors(params, decay)


def test_a_model_without_layers_is_refused_by_name():
    with pytest.raises(ValueError, match=r"needs a transformer.*\['classifier', 'encoder'\]"):
        layer_factors({"encoder": {"stem": 1.0}, "classifier": {"out": 1.0}}, DECAY)
