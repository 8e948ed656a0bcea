"""The ring of tiles gives what the dense losses give, and never holds what they hold."""

import functools
import json
import pathlib
import subprocess
import sys

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from many_devices import env_of
from ring_on_devices import CASES
from tiny_model import tiny_objective

from elm_jax import losses
from elm_jax.losses import ring
from elm_jax.losses.streamed import LogSum
from elm_jax.objectives.multi_instance import MultiInstance, SoftTargetContrast

TESTS = pathlib.Path(__file__).resolve().parent
# Compiles in half the time; the arithmetic is the same.
QUICK = "--xla_backend_optimization_level=0"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What ``ring_on_devices.py`` writes, on eight devices."""
    path = tmp_path_factory.mktemp("ring") / "found.npz"
    env = env_of(8, QUICK)
    command = [sys.executable, str(TESTS / "ring_on_devices.py"), str(path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(path) as file:
        return dict(file)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(ring, "TILE", 3)


@pytest.mark.parametrize("case", CASES)
def test_values_rows_and_gradients_equal_the_dense_ones(found, case):
    dtype = CASES[case][5]
    tolerance = 1e-13 if dtype == "float64" else 1e-6
    parts = [key.split("/")[1] for key in found if key.startswith(f"{case}/")]
    assert {"loss", "signal", "text", "grad_signal", "grad_text", "grad_temperature"} <= {*parts}
    for part in set(parts):
        ringed, dense = (found[f"{case}/{part}/{form}"] for form in ("ring", "dense"))
        np.testing.assert_allclose(ringed, dense, tolerance, tolerance, err_msg=part)
    # It is a case: rows of both sides are scored, rows of both are not, some gradient is there.
    for side in ("signal", "text"):
        assert 0 < (found[f"{case}/{side}_weight/dense"] > 0).mean() < 1 or CASES[case][6]
        assert np.abs(found[f"{case}/grad_{side}/dense"]).max() > 1e-3


def test_a_validation_on_devices_measures_the_same_with_either(found):
    ringed, dense = (found[f"validation/loss/{form}"] for form in losses.SIMILARITIES)
    np.testing.assert_allclose(ringed, dense, rtol=1e-6)
    assert dense > 0


@pytest.mark.parametrize("kind", ["multi_instance", "soft_target_contrast"])
def test_no_device_holds_a_block_of_similarities_and_memory_grows_with_the_rows(found, kind):
    small, large = (json.loads(str(found[f"{kind}/{times}"])) for times in (1, 4))
    for program in (small, large):
        # Not even its own rows against the visiting columns, let alone against all of them.
        assert program["buffer"] < program["block"] / 4
        # Embeddings are sent on, never gathered; sums over the rows are single numbers.
        assert program["kinds"] == ["all-reduce", "collective-permute"]
        assert program["reduction"] <= 1
    assert large["scratch_bytes"] < 4.2 * small["scratch_bytes"]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n_bags=st.integers(1, 6),
    valid_share=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    fill=st.sampled_from([0.0, np.nan, np.inf]),
    temperature=st.sampled_from([0.005, 0.3]),
)
def test_ragged_bags_are_scored_as_by_the_dense_loss(both, seed, n_bags, valid_share, fill,
                                                     temperature):  # fmt: skip
    rng = np.random.default_rng(seed)
    b, m = 8, 5
    signal, text = rng.normal(size=(b, 4)), rng.normal(size=(m, 4))
    signal_valid, text_valid = rng.random(b) < valid_share, rng.random(m) < valid_share
    signal[~signal_valid], text[~text_valid] = fill, fill
    bags = rng.integers(0, n_bags, b), rng.integers(0, n_bags, m)
    arrays = signal, text, *bags, signal_valid, text_valid, temperature
    ringed, dense = both(*arrays)
    for have, want in zip(jax.tree.leaves(ringed), jax.tree.leaves(dense), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-9)


@pytest.fixture(scope="module")
def both():
    """Loss and gradients of the ring's and of the dense form, in float64."""

    def loss_fn(signal, text, temperature, similarity, masks):
        rows = losses.multi_instance(
            signal,
            text,
            **dict(
                zip(("signal_bag", "text_bag", "signal_valid", "text_valid"), masks, strict=True)
            ),
            temperature=temperature,
            similarity=similarity,
        )
        return losses.reduce_rows(rows), rows

    @jax.jit
    def run(signal, text, temperature, *masks):
        grad = jax.value_and_grad(loss_fn, argnums=(0, 1, 2), has_aux=True)
        return [grad(signal, text, temperature, form, masks) for form in losses.SIMILARITIES]

    def call(signal, text, signal_bag, text_bag, signal_valid, text_valid, temperature):
        masks = signal_bag, text_bag, signal_valid, text_valid
        with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
            patch.setattr(ring, "TILE", 3)
            return run(signal, text, temperature, *masks)

    return call


@pytest.mark.parametrize("similarity", losses.SIMILARITIES)
def test_paired_contrast_is_the_mean_cross_entropy_of_both_directions(small_tiles, similarity):
    rng = np.random.default_rng(0)
    signal, text = rng.normal(size=(2, 8, 5)).astype(np.float32)
    valid = np.arange(8) != 2
    signal[2] = np.nan
    contrast = functools.partial(losses.paired_contrast, temperature=0.2, similarity=similarity)
    rows = jax.jit(contrast)(signal, text, valid=valid)
    unit = [x[valid] / np.linalg.norm(x[valid], axis=1, keepdims=True) for x in (signal, text)]
    logits = unit[0] @ unit[1].T / 0.2
    by_side = [np.log(np.exp(x).sum(1)) - np.diag(x) for x in (logits, logits.T)]
    np.testing.assert_allclose(rows.signal[valid], by_side[0], rtol=1e-5)
    np.testing.assert_allclose(rows.text[valid], by_side[1], rtol=1e-5)
    np.testing.assert_allclose(losses.reduce_rows(rows), np.mean(by_side), rtol=1e-6)
    assert rows.signal[2] == rows.text[2] == rows.signal_weight[2] == 0


def test_a_row_that_is_no_number_makes_the_loss_none(small_tiles):
    x = jnp.ones((5, 4)).at[1, 2].set(jnp.nan)
    for loss in (losses.soft_target_contrast, losses.paired_contrast):
        rows = jax.jit(functools.partial(loss, similarity="ring"))(x, jnp.ones((5, 4)))
        assert jnp.isnan(losses.reduce_rows(rows))


def test_the_loss_is_float32_for_bfloat16_inputs_whose_gradients_are_bfloat16(small_tiles):
    x = jnp.ones((5, 4), jnp.bfloat16)
    for loss in (losses.soft_target_contrast, losses.paired_contrast):
        value, grad = jax.eval_shape(
            jax.value_and_grad(lambda x, f=loss: losses.reduce_rows(f(x, x, similarity="ring"))), x
        )
        assert (value.dtype, grad.dtype) == (jnp.float32, jnp.bfloat16)


def test_log_sums_are_exact_where_terms_differ_by_hundreds_or_are_missing():
    logits = np.array([[800.0, -800.0], [-np.inf, -900.0], [-np.inf, -np.inf]])
    sums = LogSum.empty(jnp.zeros((3, 1)))
    for column in range(2):
        sums = sums.add(jnp.asarray(logits[:, column : column + 1]), axis=1)
    np.testing.assert_allclose(sums.value(), [800.0, -900.0, 0.0])


@pytest.mark.parametrize("rows", [1, 3, 7])
def test_tiles_meet_every_pair_once(small_tiles, rows):
    x, y = np.arange(1.0, rows + 1), np.arange(1.0, 6) ** 2

    def tile_fn(factor, x, y, x_sum, y_sum):
        pairs = factor * x[:, None] * y
        return x_sum + pairs.sum(1), y_sum + pairs.sum(0)

    sums = ring.over_pairs(tile_fn, 2.0, x, y, jnp.zeros(rows), jnp.ones(5))
    np.testing.assert_allclose(sums[0], 2 * x * y.sum())
    np.testing.assert_allclose(sums[1], 1 + 2 * y * x.sum())


def test_what_travels_is_one_matrix_a_type_and_comes_back_as_it_was():
    tree = {
        "unit": jnp.ones((4, 3)),
        "bag": jnp.array([2**30 + 1, -5, 0, 7]),
        "valid": jnp.array([True, False, True, False]),
        "nothing": (),
    }
    packed, unpack = ring._pack(tree)
    assert {k: v.shape for k, v in packed.items()} == {"float32": (4, 4), "int32": (4, 1)}
    back = unpack(packed)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    for have, want in zip(jax.tree.leaves(back), jax.tree.leaves(tree), strict=True):
        assert have.dtype == want.dtype and (have == want).all()


def test_an_unknown_similarity_or_style_is_refused_when_the_objective_is_made():
    for kind in (MultiInstance, SoftTargetContrast):
        with pytest.raises(ValueError, match=r"config.objective.similarity.*'dens'.*ring.*dense"):
            tiny_objective(kind, similarity="dens")
    with pytest.raises(ValueError, match=r"config.objective.style.*xy"):
        tiny_objective(style="xy")
    with pytest.raises(ValueError, match="similarity is 'dens'"):
        losses.paired_contrast(jnp.ones((2, 2)), jnp.ones((2, 2)), similarity="dens")
