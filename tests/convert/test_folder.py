"""A saved folder: complete, the same on coming back, readable by PyTorch alone, and not trusted."""

import dataclasses
import inspect
import json
import os
import pathlib
import pickle
import runpy
import subprocess
import sys

import braindecode_reference
import numpy as np
import pytest
import safetensors.numpy
import torch
from tiny_parts import OBJECTIVES, TEXTS, assert_same_weights, tiny_parts

import elm_jax
from elm_jax.convert import folder, network, tower
from elm_jax.convert.card import band_of
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.parts import ELM_AUTHORS
from elm_jax.convert.probe import BadProbe, ProbeMismatch
from elm_jax.convert.reader import UnreadableWeights, read_state_dict
from elm_jax.convert.standalone import elm_torch
from elm_jax.data.spec import SpecError
from elm_jax.signals.profiles import EEGPT_SPEC


@pytest.fixture(scope="module", params=sorted(OBJECTIVES))
def saved(request, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    parts = tiny_parts(request.param, place)
    report = folder.write_folder(parts, place / "saved")
    return parts, place / "saved", report


@pytest.fixture
def copy(tmp_path):
    """A saved model of kind "projector" to spoil."""
    folder.write_folder(tiny_parts("projector"), tmp_path / "saved", predict=fake_predict)
    return tmp_path / "saved"


def fake_predict(batch):
    """What a network would give; nothing that only reads files needs a real one."""
    return {"features": batch["signal"].mean(axis=(1, 2))[:, None]}


def test_every_kind_comes_back_with_its_signal_recipe_people_and_weights(saved):
    parts, path, report = saved
    found = folder.read_folder(path)
    assert_same_weights(found, parts)
    assert found.spec == parts.spec and found.trained_on == parts.trained_on
    assert {k: found.recipe[k] for k in ("dtype", "encoder", "objective")} == {
        k: parts.recipe[k] for k in ("dtype", "encoder", "objective")
    }
    assert not report.missing and not report.unexpected
    stored = json.loads((path / "load_report.json").read_text())["written"]
    assert stored["matched"] == report.matched and "kept" not in stored
    found.probe.check(network.predict_of(found), "read back")


def test_load_pretrained_opens_it_and_gives_the_same_vectors(saved):
    parts, path, _ = saved
    model = elm_jax.load_pretrained(path)
    made = folder.read_folder(path).probe
    encoding = model.encode(made.input)
    for name in {"features", "projection", "logits"} & set(made.outputs):
        assert_equal(getattr(encoding, name), made.outputs[name])
    if "text_tower" in parts.params:
        assert model.encode_text(TEXTS).shape == (3, 6)


def assert_equal(found, expected):
    assert np.abs(np.asarray(found) - expected).max() <= 1e-5 * max(1, np.abs(expected).max())


def test_pytorch_loads_it_strictly_and_gives_the_same(saved):
    _, path, _ = saved
    made = folder.read_folder(path).probe
    model = elm_torch.load(path)
    with torch.inference_mode():
        features, projection = model(torch.from_numpy(made.input))
        assert_equal(features, made.outputs["features"])
        if "projection" in made.outputs:
            assert_equal(projection, made.outputs["projection"])
        if "logits" in made.outputs:
            vector = features if projection is None else projection
            assert_equal(elm_torch.load_classifier(path)(vector), made.outputs["logits"])
        if "text_emb" in made.inputs:
            text = elm_torch.load_text_projector(path)(torch.from_numpy(made.inputs["text_emb"]))
            assert_equal(text, made.outputs["text_projection"])


def test_the_pt_file_has_the_same_tensors_with_counters_as_pytorch_has_them(saved):
    _, path, _ = saved
    for weights in path.glob("*.safetensors"):
        state, other = read_state_dict(weights), read_state_dict(weights.with_suffix(".pt"))
        assert set(state) == set(other)
        for name, value in state.items():
            assert value.dtype == other[name].dtype and value.shape == other[name].shape, name
            assert value.tobytes() == other[name].tobytes()
            if name.endswith("num_batches_tracked"):
                assert value.dtype == np.int64 and value.shape == ()


# transformers imports torchaudio, whose wheels may not load beside a PyTorch for CPUs.
BLOCKED = """
import importlib.machinery, runpy, sys, types
TORCHAUDIO
_without_torchaudio_kernels()
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("jax", "jaxlib", "flax", "elm_jax", "ml_dtypes"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
sys.argv = ["verify.py"]
runpy.run_path(SCRIPT, run_name="__main__")
"""


def verify(path):
    code = BLOCKED.replace("SCRIPT", repr(str(path / "verify.py")))
    stand_in = inspect.getsource(braindecode_reference._without_torchaudio_kernels)
    code = code.replace("TORCHAUDIO", stand_in)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True)


def verified(path, monkeypatch, capsys):
    """(exit code, output) of the export's own verify.py, run here."""
    monkeypatch.setattr(sys, "argv", ["verify.py", str(path)])
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = runpy.run_path(str(path / "verify.py"))["main"]()
    return code, capsys.readouterr().out


def test_verify_checks_every_output(saved, monkeypatch, capsys):
    parts, path, _ = saved
    if "text_tower" in parts.params:
        pytest.skip("in a process of its own, below")
    code, out = verified(path, monkeypatch, capsys)
    names = folder.read_folder(path).probe.outputs
    assert code == 0 and all(f"{name}: equal" in out for name in names), out


def test_verify_runs_without_jax_and_without_this_project(saved):
    parts, path, _ = saved
    if "text_tower" not in parts.params:
        pytest.skip("checked above: a process takes seconds")
    done = verify(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified" in done.stdout and "DIFFERS" not in done.stdout
    assert "text_projection: equal" in done.stdout


def test_verify_fails_for_other_weights_or_settings(copy, monkeypatch, capsys):
    good = read_state_dict(copy / "model.safetensors")
    name = "conv1_layers.0.1.weight"
    folder.write_safetensors(good | {name: good[name] * 1.5}, copy / "model.safetensors")
    code, out = verified(copy, monkeypatch, capsys)
    assert code == 1 and "features: DIFFERS" in out and "FAILED" in out
    folder.write_safetensors(good, copy / "model.safetensors")
    edit_config(copy, lambda c: c["recipe"]["encoder"].update(pool_sizes=[3]))
    code, out = verified(copy, monkeypatch, capsys)
    assert code == 1 and "do not fit config.json" in out


def test_the_card_tells_counts_and_no_hashes(saved):
    parts, path, _ = saved
    card = (path / "README.md").read_text()
    assert "2 people of tuh" in card and "Fp1-F7" in card and "0.1 to 49 Hz" in card
    hashes = [h for own in parts.trained_on["institutions"].values() for h in own]
    assert not any(h in card for h in hashes)


def test_the_card_names_the_mains_that_were_taken_out():
    spec = EEGPT_SPEC.replace(notch_hz=(50.0, 100.0))
    assert band_of(EEGPT_SPEC) == "0.1 to 75 Hz"
    assert band_of(spec) == "0.1 to 75 Hz without 50, 100 Hz"


# -- towers ---------------------------------------------------------------------------------------


def test_a_tower_trained_here_is_a_hugging_face_folder_and_its_origin_is_kept(tmp_path):
    transformers = pytest.importorskip("transformers")
    parts = tiny_parts("tower", tmp_path)
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)
    place = tmp_path / "saved" / "text_tower"
    assert len(transformers.AutoTokenizer.from_pretrained(place)) > 20
    recipe = json.loads((tmp_path / "saved/config.json").read_text())["recipe"]
    assert recipe["text"]["tower"] == dict(
        name="pretrained_bert", path="text_tower", pooling="mean", freeze_layers=0
    )
    found = folder.read_folder(tmp_path / "saved")
    assert found.extra[tower.AS_TRAINED] == parts.recipe["text"]["tower"]
    assert found.text_tower_dir == place
    # Moved, it still finds its own tower; saved again, it is the same.
    (tmp_path / "saved").rename(tmp_path / "moved")
    again = folder.read_folder(tmp_path / "moved")
    assert again.recipe["text"]["tower"]["path"] == str(tmp_path / "moved" / "text_tower")
    assert_same_weights(again, parts)


def test_another_number_of_heads_in_the_towers_config_fails_on_loading(tmp_path):
    folder.write_folder(tiny_parts("tower", tmp_path), tmp_path / "saved")
    path = tmp_path / "saved/text_tower/config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"num_attention_heads": 4}))
    with pytest.raises(ProbeMismatch, match="text_projection"):
        elm_jax.load_pretrained(tmp_path / "saved")


def test_a_frozen_tower_of_the_hub_is_named_and_a_local_one_is_taken_along(tmp_path):
    parts = tiny_parts("frozen_tower")
    folder.write_folder(parts, tmp_path / "hub", predict=fake_predict)
    assert not (tmp_path / "hub/text_tower").exists()
    source = tiny_parts("tower", tmp_path)
    folder.write_folder(source, tmp_path / "other", predict=fake_predict)
    local = parts.recipe | {"text": json.loads(json.dumps(parts.recipe["text"]))}
    local["text"]["tower"]["path"] = str(tmp_path / "other/text_tower")
    own = dataclasses.replace(parts, recipe=local)
    folder.write_folder(own, tmp_path / "local", predict=fake_predict)
    found = folder.read_folder(tmp_path / "local")
    assert found.recipe["text"]["tower"]["path"] == str(tmp_path / "local/text_tower")
    assert (tmp_path / "local/text_tower/vocab.txt").is_file()


# -- what is not written --------------------------------------------------------------------------


def test_nothing_is_written_over_other_things(tmp_path):
    parts = tiny_parts("projector")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="something else"):
            folder.write_folder(parts, other, predict=fake_predict, overwrite=overwrite)
    assert [p.name for p in other.iterdir()] == ["thesis.txt"]
    saved = tmp_path / "saved"
    folder.write_folder(parts, saved, predict=fake_predict)
    with pytest.raises(FileExistsError, match="overwrite"):
        folder.write_folder(parts, saved, predict=fake_predict)
    newer = tiny_parts("projector", seed=1)
    folder.write_folder(newer, saved, predict=fake_predict, overwrite=True)
    assert_same_weights(folder.read_folder(saved), newer)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "saved"]


def test_a_failure_leaves_what_was_there(tmp_path):
    parts = tiny_parts("projector")
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)

    def broken(batch):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        folder.write_folder(parts, tmp_path / "saved", predict=broken, overwrite=True)
    assert_same_weights(folder.read_folder(tmp_path / "saved"), parts)
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_a_model_that_fails_its_own_probe_is_not_saved(tmp_path):
    parts = tiny_parts("projector")
    made = network.make_probe(parts)
    wrong = dataclasses.replace(tiny_parts("projector", seed=1), probe=made)
    with pytest.raises(ProbeMismatch):
        folder.write_folder(wrong, tmp_path / "saved")
    assert not any(tmp_path.iterdir())


def test_parameters_without_a_place_are_an_error(tmp_path):
    parts = tiny_parts("projector")
    more = dataclasses.replace(parts, params=parts.params | {"stray": {"w": np.ones(2)}})
    with pytest.raises(ConvertError, match="stray"):
        folder.write_folder(more, tmp_path / "saved", predict=fake_predict)


def test_the_folder_may_be_read_by_others_as_the_umask_says(copy):
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in copy.iterdir()}
    assert len(set(modes.values())) == 1, modes


# -- what is not believed -------------------------------------------------------------------------


def edit_config(path, change):
    values = json.loads((path / "config.json").read_text())
    change(values)
    (path / "config.json").write_text(json.dumps(values))


def edit_state(path, change):
    state = read_state_dict(path / "model.safetensors")
    change(state)
    (path / "model.safetensors").write_bytes(safetensors.numpy.save(state))


NAME = "conv1_layers.0.1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(NAME), "stem/branch_0/kernel: missing"),
        (lambda s: s.update(stray=np.ones(1, np.float32)), "stray: unexpected"),
        (lambda s: s.update({NAME: s[NAME].astype(np.float64)}), "float64.*without loss"),
        (lambda s: s.update({NAME: s[NAME].astype(np.int32)}), "expected floating point"),
        (lambda s: s.update({NAME: s[NAME] * np.float32("nan")}), "NaN or infinity"),
        (lambda s: s.update({NAME: s[NAME][:, :3]}), "expected shape"),
        (lambda s: s.update({NAME: s[NAME] * 2}), "digest .* a file was exchanged or changed"),
    ],
)
def test_tensors_that_are_not_those_that_were_saved_are_refused(copy, change, message):
    edit_state(copy, change)
    with pytest.raises(ConvertError, match=message):
        folder.read_folder(copy)


@pytest.mark.parametrize("path", ["/etc", "../elsewhere", "a/../../b", "text_tower/..", "~/x", 7])
@pytest.mark.parametrize("freeze_layers", [-1, 0])
def test_a_config_cannot_lead_out_of_the_folder(tmp_path, path, freeze_layers):
    folder.write_folder(tiny_parts("frozen_tower"), tmp_path / "saved", predict=fake_predict)

    def lead_out(values):
        tower = values["recipe"]["text"]["tower"]
        tower["path"], tower["freeze_layers"] = path, freeze_layers

    edit_config(tmp_path / "saved", lead_out)
    with pytest.raises(ConvertError, match="path"):
        folder.read_folder(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(mode="words"), "mode is 'words'"),
        (lambda t: t["tower"].update(pooling="max"), "pooling is 'max'"),
        (lambda t: t["tower"].update(name="other"), "name is 'other'"),
        (lambda t: t["tower"].update(freeze_layers="all"), "freeze_layers"),
    ],
)
def test_a_text_side_that_is_not_known_is_refused(tmp_path, change, message):
    folder.write_folder(tiny_parts("frozen_tower"), tmp_path / "saved", predict=fake_predict)
    edit_config(tmp_path / "saved", lambda c: change(c["recipe"]["text"]))
    with pytest.raises(ConvertError, match=message):
        folder.read_folder(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format_version=2), "format_version is 2"),
        (lambda c: c.update(format="other"), "expected a saved model"),
        (lambda c: c.pop("recipe"), "lacks .*recipe"),
        (lambda c: c["recipe"].pop("encoder"), "missing .*encoder"),
        (lambda c: c["recipe"].update(dtype="float8"), "float8"),
        (lambda c: c["spec"].pop("scale"), "lacks .*scale"),
        (lambda c: c["recipe"]["encoder"].update(name="other"), "known: .*conv_eeg"),
        (lambda c: c["recipe"]["encoder"].update(pool_sizes=[3]), "pool_sizes"),
        (lambda c: c["recipe"]["encoder"].update(kernels=[[3, 5, 1], [6, 4, 1]]), "branch_0"),
        (lambda c: c["recipe"]["objective"].update(signal_projection=None), "proj"),
        (lambda c: c["recipe"]["objective"].update(text_projection=[5, 6]), "text_projector"),
        (lambda c: c["recipe"]["objective"].pop("name"), "recipe"),
        (lambda c: c["recipe"]["encoder"].update(kernels="none"), "recipe|kernels"),
        (lambda c: c["recipe"]["encoder"].update(pool_sizes=7), "recipe|pool_sizes"),
        (lambda c: c["recipe"].update(text={"mode": "sentence"}), "recipe.text.tower lacks a path"),
        (lambda c: c.update(assumed="mean"), "wrong kind"),
        (lambda c: c.update(origin="elsewhere"), "origin"),
    ],
)
def test_a_config_that_is_not_its_weights_is_refused(copy, change, message):
    edit_config(copy, change)
    with pytest.raises((ConvertError, SpecError, ValueError), match=message):
        folder.read_folder(copy)


def test_another_window_in_the_config_is_refused(copy):
    edit_config(copy, lambda c: c["spec"].update(window_s=1.0))
    with pytest.raises(ProbeMismatch, match="window_s"):
        folder.read_folder(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "probe.npz"])
def test_a_missing_or_truncated_file_is_named(copy, name):
    path = copy / name
    path.write_bytes(path.read_bytes()[:100])
    errors = (ConvertError, UnreadableWeights, BadProbe)
    with pytest.raises(errors, match=name):
        folder.read_folder(copy)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        folder.read_folder(copy)


class Exploit:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return pathlib.Path.touch, (self.witness,)


def test_a_pickle_under_any_name_runs_nothing(copy):
    witness = copy / "witness"
    for name in ("model.safetensors", "probe.npz", "config.json"):
        good = (copy / name).read_bytes()
        (copy / name).write_bytes(pickle.dumps(Exploit(witness)))
        with pytest.raises(ValueError, match=name):
            folder.read_folder(copy)
        (copy / name).write_bytes(good)
    assert not witness.exists()


def test_released_weights_carry_their_note(tmp_path):
    parts = dataclasses.replace(tiny_parts("projector"), origin=ELM_AUTHORS)
    folder.write_folder(parts, tmp_path / "saved", predict=fake_predict)
    assert "do not redistribute" in (tmp_path / "saved/README.md").read_text()
    assert folder.read_folder(tmp_path / "saved").origin == ELM_AUTHORS
