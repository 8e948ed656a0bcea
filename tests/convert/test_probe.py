"""A model that was not really loaded does not pass its probe; rounding does."""

import copy
import dataclasses
import pickle

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tiny_parts import SPEC, tiny_parts

from elm_jax.convert import network, probe
from elm_jax.convert.probe import BadProbe, ProbeMismatch


@pytest.fixture(scope="module")
def saved():
    parts = tiny_parts("projector")
    return parts, network.make_probe(parts)


def check(made, parts):
    made.check(network.predict_of(parts), "here")


def changed(parts, **modules):
    return dataclasses.replace(parts, params=parts.params | modules)


def test_the_same_model_passes_also_with_float32_rounded_otherwise(saved):
    parts, made = saved
    check(made, parts)
    predict = network.predict_of(parts)

    def elsewhere(batch):
        return {k: v * np.float32(1 + 3e-6) for k, v in predict(batch).items()}

    made.check(elsewhere, "another CPU")
    assert made.tolerance == probe.CPU_TOLERANCE["float32"]


def test_outputs_of_an_accelerator_are_compared_with_its_rounding(saved):
    parts, made = saved
    on_gpu = dataclasses.replace(made, made_on="gpu")
    predict = network.predict_of(parts)

    def rounded(batch):
        return {k: v * np.float32(1 + 2e-3) for k, v in predict(batch).items()}

    on_gpu.check(rounded, "a GPU's rounding")
    with pytest.raises(ProbeMismatch):
        made.check(rounded, "too much for a CPU")


def swapped_blocks(params):
    encoder = dict(params["encoder"])
    encoder["block_0"], encoder["block_1"] = encoder["block_1"], encoder["block_0"]
    return encoder


def permuted_kernel(params):
    encoder = copy.deepcopy(params["encoder"])
    kernel = encoder["block_1"]["conv2"]["branch_0"]["kernel"]
    kernel[...] = kernel[..., ::-1].copy()
    return encoder


def fresh(params):
    rng = np.random.default_rng(9)
    return jax.tree.map(lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32), params["encoder"])


@pytest.mark.parametrize("wrong", [swapped_blocks, permuted_kernel, fresh])
def test_weights_that_fit_but_are_not_those_fail(saved, wrong):
    parts, made = saved
    with pytest.raises(ProbeMismatch, match=r"here: .*differs by .* \(tolerance 0.0001"):
        check(made, changed(parts, encoder=wrong(parts.params)))


def test_statistics_that_were_not_loaded_fail(saved):
    parts, made = saved
    stats = jax.tree.map(np.ones_like, parts.model_state)
    with pytest.raises(ProbeMismatch):
        check(made, dataclasses.replace(parts, model_state=stats))


def test_other_pooling_fails_though_no_shape_shows_it(saved):
    parts, made = saved
    recipe = copy.deepcopy(parts.recipe) | {}
    recipe["encoder"] = recipe["encoder"] | {"pool_sizes": [0, 3]}
    with pytest.raises(ProbeMismatch):
        check(made, dataclasses.replace(parts, recipe=recipe))


def test_another_window_fails(saved):
    _, made = saved
    made.require_window(SPEC, "here")
    for other in (SPEC.replace(window_s=1.0), SPEC.replace(channels=SPEC.channels[:19])):
        with pytest.raises(ProbeMismatch, match=r"here: .*\(2, 20, 80\)"):
            made.require_window(other, "here")


@pytest.mark.parametrize(
    "predict",
    [
        lambda batch: {},
        lambda batch: {"features": np.zeros((2, 9)), "projection": np.zeros((2, 7))},
        lambda batch: {"features": np.full((2, 9), np.nan), "projection": np.zeros((2, 6))},
    ],
)
def test_missing_misshapen_and_non_finite_outputs_fail(saved, predict):
    with pytest.raises(ProbeMismatch, match="inf"):
        saved[1].check(predict, "here")


def test_another_number_of_attention_heads_fails(tmp_path):
    parts = tiny_parts("tower", tmp_path)
    made = network.make_probe(parts)
    assert "text_projection" in made.outputs
    recipe = copy.deepcopy(parts.recipe)
    recipe["text"]["tower"]["heads"] = 4
    with pytest.raises(ProbeMismatch, match="text_projection"):
        check(made, dataclasses.replace(parts, recipe=recipe))


def test_a_model_that_gives_nothing_cannot_be_saved(saved):
    for outputs in ({}, {"features": np.full((2, 3), np.nan)}, {"features": np.zeros((2, 3))}):
        with pytest.raises(BadProbe):
            probe.make(lambda batch, outputs=outputs: outputs, SPEC)


def test_a_probe_comes_back_from_its_file_and_the_file_is_the_same_each_time(saved, tmp_path):
    parts, made = saved
    path = tmp_path / "probe.npz"
    path.write_bytes(made.to_bytes())
    assert made.to_bytes() == network.make_probe(parts).to_bytes()
    found = probe.read(path)
    assert found.made_on == made.made_on == "cpu" and found.tolerance == made.tolerance
    for name in ("inputs", "outputs"):
        for key, value in getattr(made, name).items():
            np.testing.assert_array_equal(getattr(found, name)[key], value)


class Exploit:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return pathlib_touch, (str(self.witness),)


def pathlib_touch(path):
    open(path, "w").close()


def test_broken_and_unsafe_files_are_refused_and_run_nothing(saved, tmp_path):
    path, witness, made = tmp_path / "probe.npz", tmp_path / "witness", saved[1]
    with pytest.raises(FileNotFoundError, match="probe.npz"):
        probe.read(path)
    good = made.to_bytes()
    contents = [b"", good[: len(good) // 2], b"<html>", pickle.dumps(Exploit(witness))]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(BadProbe, match="probe.npz"):
            probe.read(path)
    signal = np.array([Exploit(witness)], object)
    np.savez(path, in_signal=signal, out_features=np.ones((2, 3), np.float32))
    with pytest.raises(BadProbe, match="probe.npz"):
        probe.read(path)
    assert not witness.exists()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_bytes_change_a_file_is_read_or_refused(saved, tmp_path, changes):
    content = bytearray(saved[1].to_bytes())
    for place, value in changes:
        # Headers lie at the beginning and the end.
        at = round(place * 2000) if place < 0.5 else len(content) - round((1 - place) * 1000) - 1
        content[at] = value
    (tmp_path / "probe.npz").write_bytes(content)
    try:
        found = probe.read(tmp_path / "probe.npz")
    except BadProbe as error:
        assert "probe.npz" in str(error)
    else:
        assert found.input.dtype == np.float32


def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path):
    np.savez_compressed(
        tmp_path / "probe.npz",
        in_signal=np.zeros((2, 20, 1_000_000), np.float32),
        out_features=np.ones((2, 3), np.float32),
    )
    with pytest.raises(BadProbe, match="at most"):
        probe.read(tmp_path / "probe.npz")


@pytest.mark.parametrize(
    "arrays",
    [
        {"out_features": np.ones((2, 3), np.float32)},
        {"in_signal": np.ones((2, 3, 4), np.float32)},
        {"in_signal": np.ones((2, 3, 4)), "out_features": np.ones((2, 3), np.float32)},
        {
            "in_signal": np.ones((2, 3, 4), np.float32),
            "out_features": np.full((2, 3), np.nan, np.float32),
        },
        {"in_signal": np.ones((2, 3, 4), np.float32), "out_other": np.ones((2, 3), np.float32)},
    ],
)
def test_an_incomplete_probe_checks_nothing_and_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "probe.npz", **arrays)
    with pytest.raises(BadProbe):
        probe.read(tmp_path / "probe.npz")
