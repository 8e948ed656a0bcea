"""SleepConv gives what braindecode's SleepStagerChambon2018 gives, in evaluation and training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from braindecode_reference import import_braindecode
from parity.sleep_variables import variables_of

from elm_jax.models.activations import ACTIVATIONS, RISING
from elm_jax.models.sleep_conv import SleepConv

torch = pytest.importorskip("torch")

ROWS = 6
# braindecode's name of an option -> ours, and what it is.
NAMES = dict(
    n_chans="in_channels", sfreq="sfreq_hz", n_conv_chs="filters", time_conv_size_s="kernel_s",
    max_pool_size_s="pool_s", pad_size_s="pad_s", n_outputs="outputs", drop_prob="dropout",
    apply_batch_norm="batch_norm", n_times="window_samples",
)  # fmt: skip
EXAMPLE = dict(n_chans=2, sfreq=100, n_times=300, n_conv_chs=8, n_outputs=10, apply_batch_norm=True)
# Further options are those of test_sleep_stager, whose model is this module too.
OPTIONS = {
    "example": EXAMPLE,
    "features_of_seven_channels": dict(n_chans=7, sfreq=128, n_times=400, return_feats=True),
    "odd_rate": EXAMPLE | dict(sfreq=97.3, n_times=301, n_conv_chs=3),
    "even_and_unpadded": EXAMPLE
    | dict(time_conv_size_s=0.11, max_pool_size_s=0.03, pad_size_s=0.0, n_times=133),
    "pooling_longer_than_kernel": EXAMPLE
    | dict(time_conv_size_s=0.05, max_pool_size_s=0.2, pad_size_s=0.1, n_times=250),
    "no_pooling": EXAMPLE
    | dict(max_pool_size_s=0.001, time_conv_size_s=0.05, n_times=60, n_conv_chs=2),
}  # fmt: skip


@functools.cache
def published():
    return import_braindecode("models.sleep_stager_chambon_2018").SleepStagerChambon2018


def pair(options, *, method="auto", activation="relu"):
    """The published module with everything random, and ours with its variables."""
    torch.manual_seed(0)
    own = {} if activation == "relu" else dict(activation=TORCH[activation])
    twin = published()(**dict(drop_prob=0.0) | options | own)
    with torch.no_grad():
        for name, value in twin.state_dict().items():
            if "running_var" in name:
                value.uniform_(0.5, 2.0)
            elif "running_mean" in name or ".1." in name or ".5." in name:
                value.copy_(torch.randn_like(value, dtype=torch.float32))  # scales below zero too
    kwargs = {NAMES[k]: v for k, v in options.items() if k in NAMES}
    kwargs = dict(outputs=5, dropout=0.0) | kwargs | dict(sfreq_hz=float(options["sfreq"]))
    if options.get("return_feats"):
        kwargs["outputs"] = None
    params, stats = variables_of(twin.state_dict())
    module = SleepConv(**kwargs, method=method, activation=activation)
    return twin, module, {"params": params, "batch_stats": stats}


TORCH = dict(
    elu=torch.nn.ELU, gelu=torch.nn.GELU, identity=torch.nn.Identity, relu6=torch.nn.ReLU6,
    leaky_relu=torch.nn.LeakyReLU, relu=torch.nn.ReLU, selu=torch.nn.SELU, silu=torch.nn.SiLU,
    sigmoid=torch.nn.Sigmoid, softplus=torch.nn.Softplus, tanh=torch.nn.Tanh,
)  # fmt: skip


def windows(options):
    shape = (ROWS, options["n_chans"], options["n_times"])
    return jnp.asarray(np.random.default_rng(0).normal(0, 1.5, shape), jnp.float32)


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


BOTH_METHODS = [("example", "direct"), ("example", "cpu")]


@pytest.mark.parametrize(
    "name, method",
    [("odd_rate", "direct"), *BOTH_METHODS, *((n, "cpu") for n in OPTIONS if n != "example")],
)
def test_evaluation_of_every_set_of_options(name, method):
    twin, module, variables = pair(OPTIONS[name], method=method)
    x = windows(OPTIONS[name])
    with torch.no_grad():
        expected = twin.eval()(torch.from_numpy(np.array(x))).numpy()
    apply = jax.jit(lambda v, x: module.apply(v, x, train=False))
    encoded = apply(variables, x)
    close(encoded.pooled, expected)
    b, n, width = encoded.tokens.shape
    assert (b, n * width) == (ROWS, twin.len_last_layer)
    if module.outputs is None:
        close(encoded.tokens.swapaxes(1, 2).reshape(b, -1), expected)


@pytest.mark.parametrize("name, method", BOTH_METHODS + [("pooling_longer_than_kernel", "cpu")])
def test_training_with_its_running_statistics_and_gradients(name, method):
    twin, module, variables = pair(OPTIONS[name], method=method)
    x = windows(OPTIONS[name])
    weight = np.random.default_rng(1).normal(size=(ROWS, module.outputs)).astype(np.float32)
    out = twin.train()(torch.from_numpy(np.array(x)))
    (out * torch.from_numpy(weight)).sum().backward()

    @jax.jit
    def run(params, x):
        def loss(params):
            own = variables | {"params": params}
            encoded, new = module.apply(own, x, train=True, mutable=["batch_stats"])
            return jnp.sum(encoded.pooled * weight), (encoded.pooled, new["batch_stats"])

        return jax.grad(loss, has_aux=True)(params)

    grads, (pooled, stats) = run(variables["params"], x)
    close(pooled, out.detach().numpy())
    jax.tree.map(close, stats, variables_of(twin.state_dict())[1])
    slopes = {k: v.grad for k, v in twin.named_parameters()}
    expected, _ = variables_of(dict(twin.state_dict()) | slopes)
    for layer, own in expected.items():
        for part, value in own.items():
            if (part, layer[:4]) == ("bias", "conv") and module.batch_norm:
                # BatchNorm takes any constant off again: PyTorch's slope is rounding, ours zero.
                value = np.zeros_like(value)
            atol = 1e-5 * max(1.0, np.abs(value).max())
            np.testing.assert_allclose(grads[layer][part], value, rtol=1e-4, atol=atol)


def test_an_activation_that_falls_somewhere_comes_before_the_pooling():
    options = EXAMPLE | dict(n_times=200, n_conv_chs=2, time_conv_size_s=0.05)
    twin, module, variables = pair(options, activation="gelu", method="cpu")
    x = windows(options)
    with torch.no_grad():
        expected = twin.eval()(torch.from_numpy(np.array(x))).numpy()
    close(jax.jit(lambda v, x: module.apply(v, x, train=False).pooled)(variables, x), expected)


def test_activations_are_pytorchs_and_those_that_rise_do():
    x = np.linspace(-8, 8, 200).astype(np.float32)
    assert TORCH.keys() == ACTIVATIONS.keys()
    for name, function in ACTIVATIONS.items():
        found = np.asarray(function(jnp.asarray(x)))
        np.testing.assert_allclose(found, TORCH[name]()(torch.from_numpy(x)), atol=1e-6)
        assert (np.diff(found) > -1e-6).all() == (name in RISING)


def test_initial_weights_spread_as_pytorchs():
    torch.manual_seed(0)
    twin = published()(**EXAMPLE | dict(n_chans=7))
    module = SleepConv(sfreq_hz=100.0, outputs=10, batch_norm=True, in_channels=7)
    made = jax.jit(lambda key: module.init(key, jnp.zeros((2, 7, 300)), train=False))
    made = made(jax.random.key(0, impl="rbg"))  # whose program compiles faster
    expected, _ = variables_of(twin.state_dict())
    assert jax.tree.map(np.shape, made["params"]) == jax.tree.map(np.shape, expected)
    for layer, own in expected.items():
        for part, value in own.items():
            found = np.asarray(made["params"][layer][part])
            if layer.startswith("norm"):
                np.testing.assert_array_equal(found, value)
            elif value.size > 100:
                np.testing.assert_allclose(np.abs(found).max(), np.abs(value).max(), rtol=0.05)
                np.testing.assert_allclose(found.std(), value.std(), rtol=0.1)
    # Seven and seven times seven values are too few for that: they keep within their bound.
    for part in ("kernel", "bias"):
        assert np.abs(made["params"]["spatial"][part]).max() <= 7**-0.5
