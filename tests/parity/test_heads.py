"""Heads and adapters give what the published PyTorch modules give, in evaluation and training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from braindecode_reference import import_eegpt

from elm_jax.models import adapters, heads

torch = pytest.importorskip("torch")

ROWS, CHANNELS, TIMES, TOKENS, WIDTH, SUMMARY = 3, 5, 40, 6, 8, 2
NAMES = tuple("Fp1 Fp2 C3 Cz C4 O1 O2".split())


@functools.cache
def published():
    """braindecode's constrained layers, of which all the published modules are built."""
    module = import_eegpt()
    from braindecode.modules import Conv1dWithConstraint, LinearWithConstraint

    return module, Conv1dWithConstraint, LinearWithConstraint


def randomised(twin, *, scale=1.0):
    """Every parameter and running statistic drawn anew: norms far above and below the limits."""
    torch.manual_seed(0)
    for name, x in [*twin.named_parameters(), *twin.named_buffers()]:
        if x.dtype.is_floating_point:
            drawn = torch.randn_like(x) * scale
            x.data = drawn.abs() + 0.1 if "running_var" in name else drawn
    return twin


def from_torch(twin, names):
    """Our trees with the twin's values; ``names``: its layers -> (ours, kind)."""
    params, stats = {}, {}
    for layer, (ours, kind) in names.items():
        module = twin.get_submodule(layer)
        raw = {k: v.detach().numpy().copy() for k, v in module.state_dict().items()}
        weight = raw.get("parametrizations.weight.original", raw.get("weight"))
        own = {} if raw.get("bias") is None else {"bias": raw["bias"]}
        if kind == "norm":
            own["scale"] = weight
        elif kind == "filter":
            own["kernel"] = weight[:, 0].T
        else:
            own["kernel"] = weight.reshape(len(weight), -1).T
        if "running_mean" in raw:
            put(stats, ours, {"mean": raw["running_mean"], "var": raw["running_var"]})
        put(params, ours, own)
    return {"params": params, **({"batch_stats": stats} if stats else {})}


def put(tree, path, value):
    *above, last = path.split("/")
    for name in above:
        tree = tree.setdefault(name, {})
    tree[last] = value


def assert_same(ours, variables, twin, x, *, train=False):
    """Output, and gradients of its mean square by the input and all parameters."""
    twin.train(train)
    x_torch = torch.tensor(x, requires_grad=True)
    out = twin(x_torch)
    (out**2).mean().backward()

    def loss(params, x):
        rest = {k: v for k, v in variables.items() if k != "params"}
        y, changed = ours.apply({"params": params} | rest, x, train=train, mutable=["batch_stats"])
        return jnp.mean(y**2), (y, changed)

    params = jax.tree.map(jnp.asarray, variables["params"])
    (_, (found, changed)), grads = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        params, jnp.asarray(x)
    )
    np.testing.assert_allclose(found, out.detach().numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grads[1], x_torch.grad.numpy(), rtol=1e-4, atol=1e-5)
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), jnp.asarray(x), train=False))
    made = jax.tree.map(lambda a: a.shape, shapes["params"])
    assert made == jax.tree.map(lambda a: a.shape, variables["params"])
    return grads[0], changed


def tokens(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, TOKENS, WIDTH)).astype(np.float32)


def signal(seed=0):
    return np.random.default_rng(seed).normal(size=(ROWS, CHANNELS, TIMES)).astype(np.float32)


@pytest.mark.parametrize("scale", [0.01, 2.0])  # below the limits: nothing is scaled; above
def test_the_two_stage_head_is_braindecode_s_probe(scale):
    module, *_ = published()
    twin = module._LinearConstraintProbe(TOKENS, SUMMARY, WIDTH // SUMMARY, 4, probe_hidden_dim=5)
    names = {"probe1": ("probe1", "dense"), "probe2": ("probe2", "dense")}
    variables = from_torch(randomised(twin, scale=scale), names)
    wrapped = torch.nn.Sequential(torch.nn.Unflatten(2, (SUMMARY, WIDTH // SUMMARY)), twin)
    grads, _ = assert_same(heads.TwoStageHead(4, hidden=5), variables, wrapped, tokens())
    for layer in ("probe1", "probe2"):
        constrained = twin.get_submodule(layer).parametrizations.weight.original.grad
        np.testing.assert_allclose(grads[layer]["kernel"], constrained.T, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("kind", "max_norm"), [("conv1d_constraint", 0.7), ("linear", None)])
def test_the_channel_projection_is_braindecode_s(kind, max_norm):
    module, *_ = published()
    twin = randomised(
        module._ChannelProjection(CHANNELS, len(NAMES), proj_type=kind, max_norm=max_norm or 1)
    )
    variables = from_torch(twin, {"proj": ("proj", "dense")})
    assert_same(adapters.ChannelProjection(NAMES, max_norm=max_norm), variables, twin, signal())


@pytest.mark.parametrize("layers", [1, 3])
def test_the_conv_stack_is_dare_s_of_bcic_2b(layers):
    _, conv, _ = published()
    widths = [CHANNELS, *[min(CHANNELS * 2**i, 256) for i in range(1, layers)], len(NAMES)]
    twin = torch.nn.Sequential(
        *[conv(a, b, 1, max_norm=1) for a, b in zip(widths, widths[1:], strict=False)]
    )
    variables = from_torch(randomised(twin), {str(i): (f"mix_{i}", "dense") for i in range(layers)})
    ours = adapters.ConvStack(NAMES, layers=layers, dropout=0.0)
    assert_same(ours, variables, twin, signal(), train=True)


def stack_with_filter(conv, *, layers, bias, filter_layer, gelu):
    widths = [CHANNELS, *[CHANNELS * 2**i for i in range(1, layers)], len(NAMES)]
    made = {}
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        made |= {f"mix{i}": conv(a, b, 1, bias=bias), f"norm{i}": torch.nn.BatchNorm1d(b)}
        made |= {f"gelu{i}": torch.nn.GELU()}
    made |= {"filter": filter_layer, "filter_norm": torch.nn.BatchNorm1d(len(NAMES))}
    made |= {"last": torch.nn.GELU()} if gelu else {}
    names = {f"mix{i}": (f"mix_{i}", "dense") for i in range(layers)}
    names |= {f"norm{i}": (f"norm_{i}", "norm") for i in range(layers)}
    names |= {"filter": ("filter", "filter"), "filter_norm": ("filter_norm", "norm")}
    stack = torch.nn.Sequential()
    for name, layer in made.items():
        stack.add_module(name, layer)
    return randomised(stack), names


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("which", ["dare", "eegpt_tuab", "eegpt_tuev"])
def test_the_conv_stack_is_that_of_the_published_runs_on_tuab_and_tuev(which, train):
    _, conv, _ = published()
    n = len(NAMES)
    if which == "dare":
        own = conv(n, n, 15, groups=n, bias=False)
        settings = dict(layers=2, norm=True, bias=False, temporal_kernel=15)
        twin, names = stack_with_filter(conv, layers=2, bias=False, filter_layer=own, gelu=True)
    else:
        same = which == "eegpt_tuev"
        size, padding = (14, "same") if same else (15, 0)  # an even one: the halves differ
        own = torch.nn.Conv1d(n, n, size, groups=n, padding=padding)
        settings = dict(norm=True, temporal_bias=True, temporal_max_norm=None)
        settings |= dict(temporal_kernel=size, temporal_padding="same" if same else "valid")
        settings |= dict(temporal_activation=not same)
        twin, names = stack_with_filter(conv, layers=1, bias=True, filter_layer=own, gelu=not same)
    ours = adapters.ConvStack(NAMES, dropout=0.0, **settings)
    variables = from_torch(twin, names)
    _, changed = assert_same(ours, variables, twin, signal(), train=train)
    for layer, (mine, kind) in names.items():
        if kind == "norm":
            after = twin.get_submodule(layer)
            np.testing.assert_allclose(
                changed["batch_stats"][mine]["var"], after.running_var, rtol=1e-4
            )


def dare_mlp(linear, into, hidden, classes):
    layers, names = [], {}
    for i, (a, b) in enumerate(zip([into, *hidden], hidden, strict=False)):
        layers += [linear(a, b, max_norm=1), torch.nn.LayerNorm(b), torch.nn.GELU()]
        names |= {str(3 * i): (f"hidden_{i}", "dense"), str(3 * i + 1): (f"norm_{i}", "norm")}
    return layers, names, linear(into if not hidden else hidden[-1], classes, max_norm=0.25)


class Attended(torch.nn.Module):
    """Scores, softmax over all summary tokens, weighted sum."""

    def __init__(self, width):
        super().__init__()
        self.attention = torch.nn.Linear(width, 1)
        self.width = width

    def forward(self, x):
        x = x.reshape(len(x), -1, self.width)
        return (x * torch.softmax(self.attention(x), dim=1)).sum(1)


@pytest.mark.parametrize("pooling", ["flatten", "max", "attention"])
def test_the_mlp_head_is_dare_s_classifier(pooling):
    *_, linear = published()
    one = WIDTH // SUMMARY
    into = {"flatten": TOKENS * WIDTH, "max": WIDTH, "attention": one}[pooling]
    layers, names, last = dare_mlp(linear, into, [7, 5], 3)
    pool = Attended(one) if pooling == "attention" else torch.nn.Flatten(1)
    twin = torch.nn.Sequential(*layers, last)
    names |= {str(len(layers)): ("out", "dense")}
    whole = randomised(torch.nn.Sequential(pool, twin))
    variables = from_torch(twin, names)
    if pooling == "attention":
        found = from_torch(pool, {"attention": ("pool/attention", "dense")})
        variables["params"] |= found["params"]
    if pooling == "max":
        whole = torch.nn.Sequential(MaxOverTime(), twin)
    ours = heads.MlpHead(3, hidden=(7, 5), dropout=0.0, pooling=pooling, summary_tokens=SUMMARY)
    assert_same(ours, variables, whole, tokens())


class MaxOverTime(torch.nn.Module):
    def forward(self, x):
        return x.max(dim=1)[0]


def test_per_token_the_mlp_head_is_dare_s_second_classifier():
    *_, linear = published()
    layers, names, _ = dare_mlp(linear, WIDTH, [7, 5], 3)
    last = linear(TOKENS * 5, 3, max_norm=0.25)
    twin = torch.nn.Sequential(*layers, torch.nn.Flatten(1), last)
    names |= {str(len(layers) + 1): ("out", "dense")}
    variables = from_torch(randomised(twin), names)
    ours = heads.MlpHead(3, hidden=(7, 5), dropout=(0.5, 0.3), per_token=True)
    assert_same(ours, variables, twin, tokens())


def test_the_linear_head_is_that_of_eegpt_s_tuab_run():
    *_, linear = published()
    twin = torch.nn.Sequential(torch.nn.Flatten(1), linear(TOKENS * WIDTH, 2, max_norm=1))
    variables = from_torch(randomised(twin), {"1": ("out", "dense")})
    assert_same(heads.LinearHead(2), variables, twin, tokens())


@pytest.mark.parametrize("interpolation", adapters.INTERPOLATIONS)
@pytest.mark.parametrize("samples", [1, 13, 39, 40, 41, 100, 512])
def test_stretching_is_torch_s_interpolation(interpolation, samples):
    x = signal()
    wanted = torch.nn.functional.interpolate(torch.tensor(x), samples, mode=interpolation)
    found = adapters.stretch(jnp.asarray(x), samples, interpolation)
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
