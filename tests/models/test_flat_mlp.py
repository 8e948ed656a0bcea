"""FlatMlp: an MLP as PyTorch's, padded rows, windows of the wrong size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.models.flat_mlp import FlatMlp


def test_training_and_evaluation_are_pytorchs_whatever_padding_holds():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    twin = torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.BatchNorm1d(5), torch.nn.ELU(), torch.nn.Linear(5, 3)
    )
    named = {k: v.numpy().copy() for k, v in twin.state_dict().items()}
    dense = lambda i: {"kernel": named[f"{i}.weight"].T, "bias": named[f"{i}.bias"]}  # noqa: E731
    norm = {"scale": named["1.weight"], "bias": named["1.bias"]}
    stats = {"norm_0": {"mean": named["1.running_mean"], "var": named["1.running_var"]}}
    variables = {"params": {"hidden_0": dense(0), "norm_0": norm, "out": dense(3)}}
    module = FlatMlp(3, 2, (5,), outputs=3, batch_norm=True, activation="elu")
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    expected = twin(torch.from_numpy(x.reshape(4, 6))).detach().numpy()
    valid = jnp.array([True, True, False, True, True])
    padded = jnp.full((5, 3, 2), jnp.nan).at[np.flatnonzero(valid)].set(x)
    own = variables | {"batch_stats": stats}
    options = dict(train=True, mutable=["batch_stats"])
    encoded, new = jax.jit(lambda v, x: module.apply(v, x, valid=valid, **options))(own, padded)
    np.testing.assert_allclose(encoded.pooled[valid], expected, atol=1e-5)
    for name in ("mean", "var"):
        published = twin.state_dict()[f"1.running_{name}"]
        np.testing.assert_allclose(new["batch_stats"]["norm_0"][name], published, atol=1e-6)
    expected = twin.eval()(torch.from_numpy(x.reshape(4, 6))).detach().numpy()
    found = jax.jit(lambda v, x: module.apply(v, x, train=False))(variables | new, x)
    np.testing.assert_allclose(found.pooled, expected, atol=1e-5)
    assert found.tokens.shape == (4, 1, 3)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(in_channels=7), "in_channels=7 x .*found 6 x 1"),
        (dict(window_samples=2), "window_samples=2, found 6 x 1"),
        (dict(hidden=()), "no layer is left"),
    ],
)
def test_what_cannot_be_encoded_says_why(options, message):
    module = FlatMlp(**options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((2, 6, 1)), train=False))
