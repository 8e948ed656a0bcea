"""Code written for braindecode's sleep stager gets from ours what it got there, by argument."""

import functools
import inspect
import json
import re

import jax
import numpy as np
import pytest
from braindecode_reference import import_braindecode
from sleep_variables import variables_of

from elm_jax.braindecode import EEGPT, SleepStagerChambon2018
from elm_jax.convert.engine import ConvertError

torch = pytest.importorskip("torch")

USUAL = dict(n_chans=2, sfreq=32.0, n_times=128, n_conv_chs=3, n_outputs=4)
CASES = {
    "as it comes": dict(n_chans=2, sfreq=32.0, n_times=128),
    "one channel": USUAL | dict(n_chans=1),
    "an embedder as in relative positioning": USUAL
    | dict(apply_batch_norm=True, drop_prob=0.0, n_outputs=10),
    "features": USUAL | dict(return_feats=True, n_outputs=None, activation=torch.nn.ELU),
    "sizes that do not divide": USUAL
    | dict(n_chans=3, sfreq=33.3, time_conv_size_s=0.31, max_pool_size_s=0.1, pad_size_s=0.2),
    "no padding, a window in seconds": dict(
        n_chans=2, n_times=None, input_window_seconds=6.0, sfreq=32.0, pad_size_s=0.0
    ),
}


@functools.cache
def published():
    return import_braindecode("models").SleepStagerChambon2018


def twin_of(arguments):
    """braindecode's model with parameters and statistics drawn anew."""
    torch.manual_seed(0)
    twin = published()(**arguments).eval()
    for x in [*twin.parameters(), *(b for b in twin.buffers() if b.is_floating_point())]:
        x.data = torch.rand_like(x) + 0.5 if (x == 1).all() else torch.randn_like(x) * 0.3
    return twin


def variables(twin):
    params, stats = variables_of({k: v.detach() for k, v in twin.state_dict().items()})
    return {"params": params} | ({"batch_stats": stats} if stats else {})


def signal(model, rows=3):
    shape = (rows, *model.input_shape[1:])
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_braindecode(case):
    arguments = CASES[case]
    twin, model = twin_of(arguments), SleepStagerChambon2018(**arguments)
    x, own = signal(model), variables(twin)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model(own, x), expected, atol=1e-5)
    np.testing.assert_array_equal(model(own, x[:, None]), model(own, x))  # [b, 1, c, t]
    fresh = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.tree.map(np.shape, own) == jax.tree.map(lambda p: p.shape, dict(fresh))
    assert model.get_output_shape() == twin.get_output_shape()
    for name in ("len_last_layer", "input_shape", "n_chans", "n_times", "sfreq", "return_feats"):
        assert getattr(model, name) == getattr(twin, name), name


def test_training_moves_the_running_statistics_as_there():
    arguments = CASES["an embedder as in relative positioning"]
    twin, model = twin_of(arguments), SleepStagerChambon2018(**arguments)
    own, x = variables(twin), signal(model)
    twin.train()
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    found, moved = model.in_training(own, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    after = variables(twin)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), moved, after)
    before, after = (v["batch_stats"]["norm_1"]["var"] for v in (own, moved))
    assert not np.allclose(before, after)


def test_dropout_acts_while_training_and_needs_a_key():
    arguments = USUAL | dict(drop_prob=0.5)
    model, own = SleepStagerChambon2018(**arguments), variables(twin_of(arguments))
    x = signal(model)
    run = functools.partial(model.in_training, own, x)
    (first, same), (other, _) = (run(key=jax.random.key(seed)) for seed in range(2))
    assert not np.allclose(first, other, atol=1e-3) and same.keys() == own.keys()
    with pytest.raises(ValueError, match="key="):
        model.in_training(own, x)


def test_the_signature_is_braindecodes():
    ours, theirs = (inspect.signature(c).parameters for c in (SleepStagerChambon2018, published()))
    assert list(ours) == list(theirs)
    changed = {k for k in ours if ours[k].default != theirs[k].default}
    assert changed == {"activation"}
    assert (
        SleepStagerChambon2018(2, 32.0, n_times=128).get_config()
        == published()(2, 32.0, n_times=128).get_config()
    )


CHANNELS = [{"ch_name": name, "kind": 2, "loc": np.arange(12.0)} for name in ("Fpz-Cz", "Pz-Oz")]


@pytest.mark.parametrize(
    "given",
    [
        dict(chs_info=CHANNELS, input_window_seconds=4, sfreq=32),
        dict(n_chans=2, n_times=128, input_window_seconds=4),
    ],
    ids=["from chs_info and seconds", "from samples and seconds"],
)
def test_what_is_not_said_is_inferred_as_there_and_configs_go_both_ways(given):
    twin, model = published()(**given), SleepStagerChambon2018(**given)
    for name in ("n_chans", "n_times", "input_window_seconds", "sfreq", "n_outputs"):
        assert getattr(model, name) == getattr(twin, name), name
    config = json.loads(json.dumps(model.get_config()))
    assert config == json.loads(json.dumps(twin.get_config()))
    assert SleepStagerChambon2018.from_config(config).get_config() == config
    assert published().from_config(config).get_output_shape() == model.get_output_shape()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(n_chans=None), "n_chans or chs_info"),
        (dict(n_times=None), "n_times, or input_window_seconds"),
        (dict(sfreq=None), "sfreq, or n_times"),
        (dict(n_outputs=None), "n_outputs"),
        (dict(input_window_seconds=2), "n_times=128 is not"),
        (dict(chs_info=CHANNELS, n_chans=3), "chs_info has 2"),
        (dict(activation="torch.nn.modules.activation.PReLU"), "torch.nn.ELU"),
        (dict(activation="os.system"), "os.system"),
        (dict(activation=max), "expected a name such as 'relu'"),
    ],
)
def test_what_cannot_be_is_refused_and_says_what_to_give(given, said):
    with pytest.raises((ValueError, TypeError)):
        published()(**USUAL | given)
    with pytest.raises(ValueError, match=re.escape(said)):
        SleepStagerChambon2018(**USUAL | given)


def test_what_braindecode_lets_pass_is_refused():
    with pytest.raises(ValueError, match="leaves none"):
        SleepStagerChambon2018(**USUAL | dict(n_times=10))
    with pytest.raises(ValueError, match="'n_conv_chs': 0"):
        SleepStagerChambon2018(**USUAL | dict(n_conv_chs=0))
    model = SleepStagerChambon2018(**USUAL | dict(return_feats=True))
    with pytest.raises(ValueError, match=r"\[b, 2, 128\]"):
        model({"params": {}}, np.zeros((1, 2, 120), np.float32))
    with pytest.raises(ValueError, match="unknown arguments"):
        SleepStagerChambon2018.from_config(USUAL | dict(n_output=3))


def test_a_saved_model_comes_with_its_weights_or_with_a_new_last_layer(tmp_path):
    twin = twin_of(CASES["an embedder as in relative positioning"])
    twin.save_pretrained(tmp_path)
    model, own = SleepStagerChambon2018.from_pretrained(tmp_path)
    x = signal(model)
    with torch.no_grad():
        expected = twin(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(model(own, x), expected, atol=1e-5)
    other, renewed = SleepStagerChambon2018.from_pretrained(tmp_path, n_outputs=3)
    assert other.n_outputs == 3 and model.n_outputs == 10
    assert renewed["params"]["out"]["kernel"].shape == (other.len_last_layer, 3)
    np.testing.assert_array_equal(
        renewed["params"]["conv_1"]["kernel"], own["params"]["conv_1"]["kernel"]
    )
    with pytest.raises(ConvertError, match="EEGPT is no 'sleep_conv'"):
        EEGPT.from_pretrained(tmp_path)
