"""Weights of braindecode's sleep stager, and of the siamese network around it, go both ways."""

import importlib
import json
import runpy
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from braindecode_reference import import_braindecode

import elm_jax
from elm_jax.convert import folder
from elm_jax.convert.__main__ import main
from elm_jax.convert.sleep_conv import by_filter, by_time
from elm_jax.sources import read_parts

torch = pytest.importorskip("torch")

EMBEDDER = dict(
    n_chans=2, sfreq=32.0, n_times=128, n_conv_chs=3, n_outputs=6, apply_batch_norm=True,
    drop_prob=0.0,
)  # fmt: skip
SIGNAL = np.random.default_rng(1).normal(size=(3, 2, 128)).astype(np.float32)


def stager(**arguments):
    """braindecode's model, its parameters drawn anew, its statistics and counters moved."""
    torch.manual_seed(0)
    model = import_braindecode("models").SleepStagerChambon2018(**EMBEDDER | arguments)
    model.train()
    for _ in range(2):
        model(torch.randn(4, *model.input_shape[1:]))
    return model.eval()


def siamese_twin():
    from siamese_twin import Siamese

    return Siamese(stager(), EMBEDDER["n_outputs"], dropout=0.5)


def outputs(model, *signals):
    with torch.no_grad():
        return model.eval()(*map(torch.from_numpy, signals)).numpy()


def assert_same_state(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.fixture(scope="module")
def siamese(tmp_path_factory):
    """(network, its file of weights, the same as saved folder of ours)."""
    place = tmp_path_factory.mktemp("siamese")
    network = siamese_twin().eval()
    torch.save(network.state_dict(), place / "params.pt")
    (place / "params.yaml").write_text("sfreq: 32\nn_times: 128\n")
    assert main([str(place / "params.pt"), str(place / "ours")]) == 0
    return network, place / "params.pt", place / "ours"


CASES = {
    "an embedder": {},
    "features": dict(return_feats=True, n_outputs=None),
    "one channel, named, another activation": dict(
        n_chans=None, chs_info=[{"ch_name": "EEG Fpz-Cz"}], activation=torch.nn.ELU,
        apply_batch_norm=False, n_outputs=5,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_saved_folder_is_read_and_written_bit_for_bit(case, tmp_path):
    theirs = stager(**CASES[case])
    theirs.save_pretrained(tmp_path / "theirs")
    model = elm_jax.load_pretrained(tmp_path / "theirs")
    x = SIGNAL[:, : theirs.n_chans]
    np.testing.assert_allclose(model.encode(x).features, outputs(theirs, x), atol=1e-5)
    assert model.spec.moments == "recording" and model.spec.lowpass_hz == 16.0
    assert {"notch_hz", "moments", "unit"} <= set(model.assumed)
    assert ("channels" in model.assumed) == (theirs.n_chans == 2)
    assert model.spec.channels == ("Fpz-Cz", "Pz-Oz")[: theirs.n_chans]
    assert main([str(tmp_path / "theirs"), str(tmp_path / "x"), "--to", "braindecode"]) == 0
    back = type(theirs).from_pretrained(tmp_path / "x", strict=True)
    assert_same_state(back.state_dict(), theirs.state_dict())
    told, config = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in ("x", "theirs")
    )
    free = ("n_chans", "chs_info", "n_outputs") if theirs.return_feats else ("n_chans", "chs_info")
    for name in free:
        told.pop(name), config.pop(name)
    assert told == config


def test_the_older_name_of_the_last_layer_is_read_and_never_written(tmp_path):
    theirs = stager()
    theirs.save_pretrained(tmp_path / "theirs")
    state = {k: v.numpy() for k, v in theirs.state_dict().items()}
    old = {k.replace("final_layer", "fc"): v for k, v in state.items()}
    folder.write_safetensors(old, tmp_path / "theirs/model.safetensors")
    parts = read_parts(tmp_path / "theirs")
    assert main([str(tmp_path / "theirs"), str(tmp_path / "x"), "--to", "braindecode"]) == 0
    back = type(theirs).from_pretrained(tmp_path / "x", strict=True).state_dict()
    assert_same_state(back, theirs.state_dict())
    np.testing.assert_array_equal(
        parts.params["encoder"]["out"]["kernel"].T, state["final_layer.1.weight"]
    )


def test_a_classifier_is_the_last_layer_where_classes_are_asked_for(tmp_path, verify):
    theirs = stager(n_outputs=5, drop_prob=0.3)
    theirs.save_pretrained(tmp_path / "theirs")
    features = stager(n_outputs=None, return_feats=True)
    features.load_state_dict(theirs.state_dict(), strict=False)
    model = elm_jax.load_pretrained(tmp_path / "theirs", n_outputs=5)
    found = model.encode(SIGNAL)
    np.testing.assert_allclose(found.logits, outputs(theirs, SIGNAL), atol=1e-5)
    np.testing.assert_allclose(found.features, outputs(features, SIGNAL), atol=1e-5)
    assert model.recipe["objective"]["head"]["dropout"] == 0.3
    model.save_pretrained(tmp_path / "ours")
    verify(tmp_path / "ours")
    assert main([str(tmp_path / "ours"), str(tmp_path / "x"), "--to", "braindecode"]) == 0
    back = type(theirs).from_pretrained(tmp_path / "x", strict=True)
    assert_same_state(back.state_dict(), theirs.state_dict())
    assert back.get_config()["drop_prob"] == 0.3


def test_another_number_of_classes_gives_a_new_head_and_says_so(tmp_path):
    theirs = stager()
    theirs.save_pretrained(tmp_path / "theirs")
    parts = read_parts(tmp_path / "theirs", n_outputs=3)
    assert parts.params["classifier"]["out"]["kernel"].shape == (48, 3)
    assert parts.extra["fresh_head"] == 3 and "nothing learnt yet" in str(parts.report)


def test_the_siamese_network_gives_the_same_vectors_and_the_same_answers(siamese):
    network, _, ours = siamese
    model = elm_jax.load_pretrained(ours)
    a, b = SIGNAL, SIGNAL[::-1].copy()
    np.testing.assert_allclose(model.encode(a).features, outputs(network.emb, a), atol=1e-5)
    pairs = dict(signal_a=jnp.asarray(a), signal_b=jnp.asarray(b))
    found = jax.jit(model.objective.predict)(model.params, model.model_state, pairs)
    np.testing.assert_allclose(found["logits"][:, 0], outputs(network, a, b), atol=1e-5)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_the_siamese_network_goes_back_bit_for_bit(siamese, tmp_path, suffix):
    network, _, ours = siamese
    target = tmp_path / f"back{suffix}"
    assert main([str(ours), str(target)]) == 0
    if suffix == ".pt":
        state = torch.load(target, weights_only=True)
    else:
        import safetensors.torch

        state = safetensors.torch.load_file(target)
    again = siamese_twin()
    again.load_state_dict(state, strict=True)
    assert_same_state(again.state_dict(), network.state_dict())
    found = read_parts(target)
    assert found.recipe["objective"]["name"] == "relative_position" and found.probe is not None
    assert found.weights_sha256 == read_parts(ours).weights_sha256


def test_the_embedder_alone_goes_to_braindecode_if_the_classifier_may_go(siamese, tmp_path, capsys):
    network, _, ours = siamese
    words = [str(ours), str(tmp_path / "x"), "--to", "braindecode"]
    assert main(words) == 2
    assert "--leave_out classifier" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert main([*words, "--leave_out", "classifier"]) == 0
    assert "left out as asked" in capsys.readouterr().out
    back = type(network.emb).from_pretrained(tmp_path / "x", strict=True)
    assert_same_state(back.state_dict(), network.emb.state_dict())


@pytest.fixture
def verify(monkeypatch, capsys):
    """Runs a saved folder's own check; gives what it says."""

    def run(place):
        monkeypatch.setattr(sys, "argv", ["verify.py", str(place)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        code = runpy.run_path(str(place / "verify.py"))["main"]()
        out = capsys.readouterr().out
        assert code == 0 and "DIFFERS" not in out, out
        return out

    return run


def test_the_folder_stands_alone(siamese, monkeypatch, verify):
    network, _, ours = siamese
    assert "features: equal" in verify(ours)
    monkeypatch.syspath_prepend(ours)
    sleep_torch = importlib.import_module("sleep_torch")
    a, b = torch.from_numpy(SIGNAL), torch.from_numpy(SIGNAL).flip(0)
    with torch.no_grad():
        found, projection = sleep_torch.load(ours)(a)
        torch.testing.assert_close(found, network.emb(a))
        torch.testing.assert_close(sleep_torch.load_pairs(ours)(a, b), network(a, b))
    assert projection is None
    card = (ours / "README.md").read_text()
    assert "sleep_torch.load" in card and "near each other in time" in card


@pytest.mark.parametrize(("filters", "channels", "times"), [(3, 2, 4), (1, 1, 5), (4, 3, 1)])
def test_columns_go_from_filters_to_times_and_back(filters, channels, times):
    grid = np.arange(filters * channels * times).reshape(filters * channels, times)
    weight = np.stack([grid.ravel(), -grid.ravel()])
    np.testing.assert_array_equal(by_time(weight, times)[0], grid.T.ravel())
    np.testing.assert_array_equal(by_filter(by_time(weight, times), times), weight)
