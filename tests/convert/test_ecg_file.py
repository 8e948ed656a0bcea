"""Weights of MERL, ST-MEM, MTAE and MLAE: every form gives the same; what does not fit is named."""

import dataclasses
import runpy
import sys

import jax
import numpy as np
import pytest
from tiny_parts import HUB, assert_same_weights, tiny_parts

import elm_jax
from elm_jax.convert import ecg_file, folder, network
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.reader import read_state_dict
from elm_jax.convert.single_file import write_single_file
from elm_jax.signals.profiles import ECG_SPEC
from elm_jax.sources import read_parts

SPEC = ECG_SPEC.replace(window_s=0.64, sfreq_hz=100.0, lowpass_hz=50.0)
RESNET = dict(name="resnet1d", depth=18, blocks=[1, 2], width=4)
MERL = dict(
    name="paired_contrast", loss="merl", temperature=0.07, signal_projection=[8],
    text_projection=None, signal_head=dict(heads=2, pooling="attention"),
)  # fmt: skip
NO_HEAD = dict(name="two_tower", signal_projection=None, text_projection=None)
RECON = dict(name="masked_recon", decoder=dict(width=6, depth=2, heads=1))


def vit(layout, **changes):
    sizes = dict(width=8, depth=2, heads=1, mlp_ratio=2.0)
    patch = None if layout == "mlae" else 16
    return dict(name="vit1d", layout=layout, patch_size=patch) | sizes | changes


MODELS = {
    "merl": (RESNET, MERL),
    "merl of 50 layers": (
        RESNET | dict(depth=50), MERL | dict(signal_head=dict(pooling="mlp", hidden=6)),
    ),
    "network alone": (RESNET, NO_HEAD),
    "st_mem": (vit("st_mem"), RECON),
    "mtae": (vit("mtae"), RECON),
    "mlae": (vit("mlae"), RECON),
    "encoder alone": (vit("mtae"), NO_HEAD),
    "narrow heads": (vit("st_mem", head_width=4), RECON),
}  # fmt: skip


def tiny(name):
    encoder, objective = MODELS[name]
    return tiny_parts(name, encoder=encoder, objective=objective, spec=SPEC)


def fake_predict(batch):
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_and_both_kinds_of_file_bring_every_weight_back(name, tmp_path):
    parts = tiny(name)
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)
    assert_same_weights(read_parts(tmp_path / "saved"), parts)
    for suffix in (".pt", ".safetensors"):
        if suffix == ".pt":
            pytest.importorskip("torch")
        path = (tmp_path / "one").with_suffix(suffix)
        write_single_file(parts, path, predict=fake_predict, overwrite=True)
        found = read_parts(path)
        assert_same_weights(found, parts)
        assert (found.spec, found.assumed) == (SPEC, ())
        assert found.recipe["objective"] == parts.recipe["objective"]
        named = set(found.report.matched) | set(found.report.excused)
        assert named == set(read_state_dict(path))


@pytest.mark.parametrize("name", ["merl", "merl of 50 layers", "st_mem", "mtae", "mlae"])
def test_a_folder_stands_alone_in_pytorch(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    folder.write_folder(tiny(name), tmp_path / "saved")
    monkeypatch.setattr(sys, "argv", ["verify.py", str(tmp_path / "saved")])
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = runpy.run_path(str(tmp_path / "saved/verify.py"))["main"]()
    out = capsys.readouterr().out
    assert code == 0 and "features: equal" in out, out
    assert ("projection: equal" in out) == name.startswith("merl")


def published(name, path, *, without=(), **more):
    """A file as others write it: the state dict of one of ours, and no YAML."""
    write_single_file(tiny(name), path, predict=fake_predict)
    state = {k: v for k, v in read_state_dict(path).items() if not k.startswith(without or "?")}
    folder.write_safetensors(state | more, path)
    path.with_suffix(".yaml").unlink()
    return path


def settings(tmp_path, text):
    (tmp_path / "settings.yaml").write_text(text)
    return tmp_path / "settings.yaml"


def test_a_published_file_tells_its_sizes_and_says_what_is_assumed(tmp_path):
    weights = published("st_mem", tmp_path / "theirs.safetensors")
    found = read_parts(weights)
    assert found.recipe["encoder"] == vit("st_mem") and found.recipe["objective"]["decoder"] == (
        dict(width=6, depth=2, heads=1, mlp_ratio=2.0)
    )
    assert found.spec.sfreq_hz == 250.0 and found.spec.window_samples == 64
    assert found.spec.channels == ecg_file.STORED_ORDER
    assert {"sfreq_hz", "window_s", "channels", "mean", "std"} <= set(found.assumed)
    leads = [f"L{i}" for i in range(12)]
    told = settings(tmp_path, f"sfreq: 100\nchannels: {leads}\n")
    told = read_parts(weights, config=told)
    assert told.spec.channels == tuple(leads) and told.spec.window_s == 0.64
    assert not {"sfreq_hz", "window_s", "channels"} & set(told.assumed)


def test_merls_own_file_loads_as_a_model_that_embeds(tmp_path):
    tower = {"lm_model.embeddings.word_embeddings.weight": np.zeros((3, 2), np.float32)}
    weights = published("merl", tmp_path / "theirs.safetensors", **tower)
    told = settings(tmp_path, "sfreq: 100\nn_times: 64\nheads: 2\n")
    model = elm_jax.load_pretrained(weights, config=told)
    found = model.encode(np.zeros((3, 12, 64), np.float32))
    assert found.features.shape == (3, 8) and found.projection.shape == (3, 8)
    excused = model.parts.report.excused
    assert "pooler" in excused["lm_model.embeddings.word_embeddings.weight"]
    assert "never called" in excused["ecg_encoder.linear.weight"]
    # Depths are told by their blocks.
    assert model.recipe["encoder"] == dict(name="resnet1d", depth=18, width=4, blocks=[1, 2])


def test_the_projector_of_texts_comes_along_without_its_tower(tmp_path):
    objective = MERL | dict(text_projection=[5, 8])
    recipe = dict(dtype="float32", encoder=RESNET, objective=objective, text=None)
    built = network.build_network(recipe, SPEC)
    text = network.text_inputs(recipe, text_width=7, bert=None)
    rng = np.random.default_rng(0)
    draw = lambda leaf: rng.uniform(0.5, 1, leaf.shape).astype(np.float32)  # noqa: E731
    params, state = jax.tree.map(draw, network.shapes(built, SPEC, text))
    recipe["text"] = dict(mode="sentence", tower=HUB)
    parts = dataclasses.replace(tiny("merl"), recipe=recipe, params=params, model_state=state)
    write_single_file(parts, tmp_path / "m.safetensors", predict=fake_predict)
    state = read_state_dict(tmp_path / "m.safetensors")
    assert {"proj_t.0.weight", "proj_t.0.bias", "proj_t.2.weight", "proj_t.2.bias"} <= set(state)
    found = read_parts(tmp_path / "m.safetensors")
    assert_same_weights(found, parts)
    assert found.recipe["text"] is None  # it lies elsewhere, and no such file says where


def test_settings_beside_our_own_section_may_not_say_otherwise(tmp_path):
    write_single_file(tiny("mtae"), tmp_path / "x.safetensors", predict=fake_predict)
    path = tmp_path / "x.yaml"
    path.write_text(path.read_text().replace("layout: mtae", "layout: mlae", 1))
    with pytest.raises(ConvertError, match=r"says otherwise.*'layout': \('mlae', 'mtae'\)"):
        read_parts(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mtae", "", "say which it is, layout: mtae or layout: mlae"),
        ("mtae", "layout: st_mem\n", "found layout 'st_mem'"),
        ("mlae", "layout: mtae\n", "holds no whole number of samples of 12 leads"),
        ("st_mem", "layout: mtae\n", "say otherwise than the tensors"),
        ("st_mem", "num_leads: 8\n", "say otherwise than the tensors"),
        ("st_mem", "n_times: 1000\n", "its tensors take 64 samples"),
        ("st_mem", "channels: [I, II]\n", "say otherwise than the tensors"),
        ("st_mem", "heads: 3\n", r"settings \['heads'\] mean nothing of a masked autoencoder"),
        ("st_mem", "sfreq: fast\n", "settings of the wrong kind: {'sfreq': 'fast'}"),
        ("st_mem", "rate: 3\n", r"settings \['rate'\] are not known"),
        ("st_mem", "- 3\n", "expected settings among"),
        ("merl", "channels: [I, II]\n", "its tensors take 12 leads, channels names 2"),
        ("merl", "n_times: 640\n", "of 16 tokens.*give 160: say n_times, from 61 to 64"),
        ("merl", "heads: 3\nn_times: 64\n", "no network can be built.*n_heads=3"),
    ],
)
def test_settings_that_are_not_the_tensors_are_refused(tmp_path, name, text, message):
    weights = published(name, tmp_path / "theirs.safetensors")
    config = settings(tmp_path, text) if text else None
    with pytest.raises(ConvertError, match=message):
        read_parts(weights, config=config)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("st_mem", dict(without="encoder.lead_embeddings.11"), "takes? 11 leads|take 11 leads"),
        ("st_mem", dict(without="encoder.block1.ff.norm"), "layer_1/mlp_norm/scale: missing"),
        ("st_mem", dict(stray=np.ones(1, np.float32)), "stray: unexpected"),
        ("merl", dict(without="ecg_encoder.layer2.0"), "blocks of the network are missing"),
        ("merl", dict(without="linear2"), "second/kernel: missing"),
        ("merl", dict(without="ecg_encoder.bn1.running_var"), "stem/norm/var: missing"),
    ],
)
def test_tensors_that_are_not_whole_are_refused_by_name(tmp_path, name, changes, message):
    weights = published(name, tmp_path / "theirs.safetensors", **changes)
    config = settings(tmp_path, "n_times: 64\nheads: 2\n") if name == "merl" else None
    with pytest.raises(ConvertError, match=message):
        read_parts(weights, config=config)


def test_two_names_of_one_embedding_must_hold_the_same(tmp_path):
    weights = published("st_mem", tmp_path / "theirs.safetensors")
    state = read_state_dict(weights)
    state["to_patch_embedding.2.weight"] = state["to_patch_embedding.2.weight"] + 1
    folder.write_safetensors(state, weights)
    with pytest.raises(ConvertError, match=r"to_patch_embedding.2.weight should be the encoder's"):
        read_parts(weights)


def test_what_a_file_has_no_place_for_must_be_named(tmp_path):
    clip = dict(name="paired_contrast", loss="clip", signal_projection=[6], text_projection=None)
    parts = tiny_parts("clip", encoder=RESNET, objective=clip, spec=SPEC)
    with pytest.raises(ConvertError, match="--leave_out"):
        write_single_file(parts, tmp_path / "x.safetensors", predict=fake_predict)
    gone = ("signal_projector", "logit")
    write_single_file(parts, tmp_path / "x.safetensors", leave_out=gone)
    found = read_parts(tmp_path / "x.safetensors")
    assert set(found.params) == {"encoder"} and found.recipe["objective"] == NO_HEAD
    assert "conv1.weight" in read_state_dict(tmp_path / "x.safetensors")  # MERL's network alone
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)  # which holds all
    assert_same_weights(read_parts(tmp_path / "saved"), parts)
    card = (tmp_path / "saved/README.md").read_text()
    assert "features of 8 numbers" in card and "MERL, Liu et al." in card
