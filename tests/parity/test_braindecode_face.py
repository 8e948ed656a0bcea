"""Code written for braindecode's EEGPT gets from ours what it got there, argument by argument."""

import functools
import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from braindecode_reference import import_eegpt
from masked_models import part

from elm_jax.braindecode import EEGPT
from elm_jax.channels import UnknownChannels

torch = pytest.importorskip("torch")

SMALL = dict(embed_dim=16, embed_num=2, depth=1, num_heads=4)
USUAL = SMALL | dict(n_chans=5, n_times=256, n_outputs=3)
NAMES = ("C3", "T7", "Fp1", "O2")


def channels(names=NAMES):
    return [{"ch_name": name, "kind": 2, "loc": np.arange(12.0)} for name in names]


BY_NAME = SMALL | dict(
    chs_info=channels(), chan_proj_type="none", n_times=200, n_outputs=3, patch_stride=None
)


@functools.cache
def published():
    return import_eegpt()


def twin_of(arguments):
    """braindecode's model with parameters drawn anew (norms on both sides of their limits)."""
    torch.manual_seed(0)
    twin = published().EEGPT(**arguments).eval()
    for name, x in twin.named_parameters():
        x.data = torch.randn_like(x) * (0.5 if "probe" in name or "chan_proj" in name else 0.1)
    return twin


def ours_of(twin):
    """Our parameters with the twin's values."""
    state = {k: v.detach().numpy() for k, v in twin.state_dict().items()}
    state = {k.replace("parametrizations.weight.original", "weight"): v for k, v in state.items()}
    params = {"encoder": part(state, "target_encoder")}
    for name, value in state.items():
        found = re.fullmatch(r"(chan_proj\.proj|final_layer\.probe\d)\.(weight|bias)", name)
        if not found:
            continue
        layer = found[1].split(".")[-1]
        own = params.setdefault("adapter" if layer == "proj" else "classifier", {})
        kernel = value.reshape(len(value), -1).T if found[2] == "weight" else value
        own.setdefault(layer, {})["kernel" if found[2] == "weight" else "bias"] = kernel
    return params


def signal(arguments):
    rows = arguments.get("n_chans") or len(arguments["chs_info"])
    return np.random.default_rng(1).normal(size=(2, rows, arguments["n_times"])).astype(np.float32)


CASES = {
    "as it comes": USUAL,
    "patches side by side": USUAL | dict(patch_stride=None),
    "an incomplete last patch": USUAL | dict(n_times=250, patch_size=50, patch_stride=30),
    "one summary token, a wide MLP": USUAL | dict(embed_num=1, mlp_ratio=6.0),
    "linear projection": USUAL | dict(chan_proj_type="linear"),
    "another limit of the projection": USUAL | dict(chan_conv_max_norm=0.3),
    "no bias of queries, keys and values": USUAL | dict(qkv_bias=False),
    "another epsilon": USUAL | dict(layer_norm_eps=0.1),
    "tokens": USUAL | dict(return_encoder_output=True, n_outputs=None),
    "channels by name": BY_NAME,
    "rates do nothing in evaluation": USUAL
    | dict(drop_prob=0.5, attn_drop_rate=0.5, drop_path_rate=0.5, depth=2),
}


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_features_are_those_of_braindecode(case):
    arguments = CASES[case]
    twin, model, x = twin_of(arguments), EEGPT(**arguments), signal(arguments)
    params = ours_of(twin)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
        features = twin(torch.from_numpy(x), return_features=True)
    np.testing.assert_allclose(model(params, x), expected, atol=1e-5)
    found = model(params, x, return_features=True)
    assert found.keys() == features.keys() and found["cls_token"] is features["cls_token"] is None
    np.testing.assert_allclose(found["features"], features["features"].numpy(), atol=1e-5)
    assert model.get_output_shape() == twin.get_output_shape()
    assert model.get_probe_params() == twin.get_probe_params()
    fresh = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda p: p.shape, dict(fresh))
    for name in ("n_patches", "flattened_encoder_output_dim", "input_shape", "n_chans", "n_times"):
        assert getattr(model, name) == getattr(twin, name), name


def test_normed_patches_are_braindecodes_and_are_known_in_a_saved_model(tmp_path):
    class Normed(published()._PatchEmbed):
        def __init__(self, **sizes):
            super().__init__(**sizes, apply_norm=True)

    twin = twin_of(USUAL | dict(patch_module=Normed))
    x, model = signal(USUAL), EEGPT(**USUAL, patch_module="normed")
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model(ours_of(twin), x), expected, atol=1e-5)
    twin.save_pretrained(tmp_path)
    saved, params = EEGPT.from_pretrained(tmp_path)
    assert saved.get_config()["patch_module"] == "normed"
    np.testing.assert_allclose(saved(params, x), expected, atol=1e-5)


def test_a_norm_of_ones_own_stands_in_every_place_of_the_encoders():
    class Shift(torch.nn.Module):
        def __init__(self, width):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(width))
            self.bias = torch.nn.Parameter(torch.zeros(width))

        def forward(self, x):
            return x * self.weight + self.bias

    class OurShift(nn.Module):
        @nn.compact
        def __call__(self, x):
            scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
            return x * scale + self.param("bias", nn.initializers.zeros, (x.shape[-1],))

    twin, x = twin_of(USUAL | dict(norm_layer=Shift)), signal(USUAL)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    model = EEGPT(**USUAL, norm_layer=OurShift)
    np.testing.assert_allclose(model(ours_of(twin), x), expected, atol=1e-5)


def test_a_final_layer_of_ones_own_reads_flat_tokens():
    make = functools.partial(nn.Dense, 7)
    model, x = EEGPT(**USUAL | dict(n_outputs=None), final_layer=make), signal(USUAL)
    params = model.init(jax.random.key(0))
    assert params["classifier"]["kernel"].shape == (model.flattened_encoder_output_dim, 7)
    twin = published().EEGPT(
        **USUAL | dict(n_outputs=None), final_layer=functools.partial(torch.nn.LazyLinear, 7)
    )
    assert model(params, x).shape == tuple(twin(torch.from_numpy(x)).shape) == (2, 7)


def test_initial_values_have_braindecodes_deviations():
    arguments = USUAL | dict(embed_dim=64, init_std=0.05)
    twin = ours_of(published().EEGPT(**arguments))["encoder"]
    ours = EEGPT(**arguments).init(jax.random.key(0))["encoder"]
    ratio = jax.tree.map(lambda a, b: float(np.std(a) / (np.std(b) or 1)), dict(ours), twin)
    small = ("bias", "scale")
    for path, value in jax.tree_util.tree_leaves_with_path(ratio):
        expected = 0.0 if path[-1].key in small else 1.0
        assert value == pytest.approx(expected, abs=0.25), path


def test_rates_act_while_training_and_only_then():
    x = signal(USUAL)
    for rate in ("drop_prob", "attn_drop_rate", "drop_path_rate"):
        model = EEGPT(
            **USUAL | dict(n_outputs=None, return_encoder_output=True, depth=2, **{rate: 0.5})
        )
        params = model.init(jax.random.key(0))
        # Fresh summary tokens hardly see the rest: larger values let the rates be seen.
        params = jax.tree.map(lambda p: p * 10 if p.ndim > 1 else p, dict(params))
        run = functools.partial(model, params, x, train=True)
        first, other = run(key=jax.random.key(1)), run(key=jax.random.key(2))
        assert not np.allclose(first, other, atol=1e-3), rate
        np.testing.assert_array_equal(model(params, x), model(params, x))


FACTS = {
    "from chs_info and seconds": dict(chs_info=channels(), input_window_seconds=1, sfreq=256),
    "from samples and rate": dict(n_chans=4, n_times=256, sfreq=128),
    "from samples and seconds": dict(n_chans=4, n_times=256, input_window_seconds=2),
}


@pytest.mark.parametrize("case", FACTS)
def test_what_is_not_said_is_inferred_as_there(case):
    given = SMALL | FACTS[case] | dict(n_outputs=2)
    twin, model = published().EEGPT(**given), EEGPT(**given)
    for name in ("n_chans", "n_times", "input_window_seconds", "sfreq", "n_outputs"):
        assert getattr(model, name) == getattr(twin, name), name


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(n_chans=3), "n_times"),
        (dict(n_times=512), "n_chans or chs_info"),
        (dict(n_chans=3, n_times=512), "n_outputs"),
        (dict(n_chans=3, n_times=512, sfreq=100, input_window_seconds=2), "sfreq=100"),
        (dict(n_chans=3, n_times=32, n_outputs=2), "patch_size 64"),
        (dict(n_chans=2, chs_info=channels(), n_times=512), "chs_info has 4"),
        (dict(n_chans=3, n_times=512, n_outputs=2, chan_proj_type="foo"), "'linear'"),
        (
            dict(n_chans=3, n_times=512, return_encoder_output=True, final_layer=torch.nn.Identity),
            "final_layer",
        ),
    ],
)
def test_what_braindecode_refuses_is_refused_and_says_what_to_give(given, said):
    with pytest.raises(ValueError):
        published().EEGPT(**SMALL | given)
    with pytest.raises(ValueError, match=re.escape(said)):
        EEGPT(**SMALL | given)


def test_what_braindecode_guesses_is_refused():
    with pytest.raises(UnknownChannels, match="AFz"):
        EEGPT(**BY_NAME | dict(chs_info=channels(("C3", "AFz"))))
    with pytest.raises(ValueError, match="chs_info"):
        EEGPT(**BY_NAME | dict(chs_info=None, n_chans=4))
    with pytest.raises(ValueError, match="n_chans_target is 20"):
        EEGPT(**USUAL, n_chans_target=20)
    with pytest.raises(ValueError, match="patch_module"):
        EEGPT(**USUAL, patch_module="mine")


@pytest.mark.parametrize("name", ["n_outputs", "n_chans", "patch_stride", "embed_num", "num_heads"])
def test_counts_of_nothing_are_refused_by_name(name):
    with pytest.raises(ValueError, match=f"'{name}': 0"):
        EEGPT(**USUAL | {name: 0})
    if name == "n_outputs":
        model = EEGPT(**USUAL)
        with pytest.raises(ValueError, match="n_outputs"):
            model.reset_head(model.init(jax.random.key(0)), 0, jax.random.key(1))


def test_training_without_a_key_for_dropout_says_what_to_give():
    model = EEGPT(**USUAL)
    with pytest.raises(ValueError, match="key="):
        model(model.init(jax.random.key(0)), signal(USUAL), train=True)


def test_a_partial_of_ones_own_is_told_in_the_config_and_not_run_from_it():
    model = EEGPT(**USUAL, final_layer=functools.partial(nn.Dense, 7))
    config = json.loads(json.dumps(model.get_config()))
    assert "Dense" in config["final_layer"]
    with pytest.raises(ValueError, match="final_layer"):
        EEGPT.from_config(config)


def test_a_signal_of_another_shape_is_refused():
    model = EEGPT(**USUAL)
    with pytest.raises(ValueError, match=r"\[b, 5, 256\]"):
        model(model.init(jax.random.key(0)), jnp.zeros((1, 4, 256)))


@pytest.mark.parametrize("arguments", [USUAL, BY_NAME], ids=["projected", "by name"])
def test_configs_go_both_ways_and_through_json(arguments):
    model, twin = EEGPT(**arguments), published().EEGPT(**arguments)
    config = json.loads(json.dumps(model.get_config()))
    assert config == json.loads(json.dumps(twin.get_config()))
    assert EEGPT.from_config(config).get_config() == config
    again = published().EEGPT.from_config(model.get_config())
    assert again.get_output_shape() == model.get_output_shape()
    assert EEGPT.from_config(twin.get_config()).get_config() == config


def test_a_config_that_names_code_or_unknown_words_is_refused():
    with pytest.raises(ValueError, match="os.system"):
        EEGPT.from_config(USUAL | dict(norm_layer="os.system"))  # named, not run
    with pytest.raises(ValueError, match="n_output"):
        EEGPT.from_config(USUAL | dict(n_output=3))


def test_a_new_head_leaves_the_encoder_as_it_is():
    model = EEGPT(**USUAL)
    params = model.init(jax.random.key(0))
    other, renewed = model.reset_head(params, 7, jax.random.key(1))
    twin = published().EEGPT(**USUAL)
    twin.reset_head(7)
    assert other.n_outputs == twin.n_outputs == 7 and model.n_outputs == 3
    assert renewed["encoder"] is params["encoder"] and renewed["adapter"] is params["adapter"]
    x = signal(USUAL)
    assert other(renewed, x).shape == tuple(twin(torch.from_numpy(x)).shape) == (2, 7)


def test_a_saved_model_comes_with_its_weights_or_with_a_new_head(tmp_path):
    twin, x = twin_of(USUAL), signal(USUAL)
    twin.save_pretrained(tmp_path)
    model, params = EEGPT.from_pretrained(tmp_path)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
        tokens = twin(torch.from_numpy(x), return_features=True)["features"].numpy()
    np.testing.assert_allclose(model(params, x), expected, atol=1e-5)
    other, params = EEGPT.from_pretrained(tmp_path, n_outputs=4)
    assert other(params, x).shape == (2, 4)
    np.testing.assert_allclose(
        other(params, x, return_features=True)["features"], tokens, atol=1e-5
    )
