"""Masked pretraining: what learns and what follows, padding, parts of a batch, switches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from masked_tiny import CHANNELS, drawn_variables, tiny_masked, tiny_windows
from ml_collections import ConfigDict

from elm_jax import build, masking
from elm_jax.accumulate import value_and_grad
from elm_jax.channels import UnknownChannels
from elm_jax.data.spec import SignalSpec
from elm_jax.losses.collapse import spread
from elm_jax.masking import MaskError
from elm_jax.objectives.base import Objective
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState
from elm_jax.step import make_step

NAMES = ("masked_dual", "dual_aligned")
QUICK = {"xla_backend_optimization_level": "0"}
KEY = jax.random.key(7)


def close(found, wanted, **tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, **(dict(rtol=2e-4, atol=2e-6) | tolerance))


@functools.cache
def setting(name):
    """Objective, parameters, state, and a batch of eight rows of which two are padding."""
    objective, batch = tiny_masked(name), tiny_windows(8)
    params, model_state = drawn_variables(objective, batch)
    batch["signal_valid"] = jnp.arange(8) % 4 != 3
    batch["signal"] = jnp.where(batch["signal_valid"][:, None, None], batch["signal"], jnp.nan)
    return objective, params, model_state, batch


@functools.cache
def grads_in(name, parts):
    """The compiled loss and gradients of a batch in parts."""
    objective, params, *_ = setting(name)
    learns = jax.tree.map(lambda _: True, params)
    return jax.jit(
        value_and_grad(objective, lambda b: b, learns, parts), compiler_options=QUICK
    )  # fmt: skip


@functools.cache
def found(name, parts=1):
    """Loss, terms, gradients of the batch."""
    _, params, model_state, batch = setting(name)
    return grads_in(name, parts)(params, model_state, batch, KEY)


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_contract(name):
    assert isinstance(setting(name)[0], Objective)


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    objective, params, model_state, batch = setting(name)
    valid = np.asarray(batch["signal_valid"])
    other = batch | {"signal": jnp.where(valid[:, None, None], batch["signal"], 1e6)}
    whole = found(name)
    assert np.isfinite(whole.loss)
    close(grads_in(name, 1)(params, model_state, other, KEY), whole, rtol=0, atol=0)
    real = {k: v[valid] for k, v in batch.items()}
    alone = jax.jit(functools.partial(objective.loss, train=True), compiler_options=QUICK)
    loss, out = alone(params, model_state, real, KEY)
    close((loss, out.terms, out.report), (whole.loss, whole.terms, whole.report))


def test_compared_rows_in_parts_have_one_mask_and_give_the_same():
    whole, parts = found("dual_aligned"), found("dual_aligned", parts=2)
    close((whole.loss, whole.terms, whole.report), (parts.loss, parts.terms, parts.report))
    close(whole.grads, parts.grads)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_but_electrodes_that_are_not_there(name):
    there = set(np.asarray(tiny_windows(1, ids=True)["channel_id"][0]).tolist())
    for path, grad in jax.tree_util.tree_leaves_with_path(found(name).grads):
        here = np.abs(grad).max(axis=tuple(range(1, grad.ndim)))
        names = [str(part.key) for part in path]
        if "channel_embed" in names:
            assert set(np.flatnonzero(here)) <= there and here.any(), names
        elif names[-2:] != ["key", "bias"]:  # shifts all of a query's logits alike
            assert here.max() > 1e-7, names


@functools.cache
def three_steps():
    """States before and after each of three steps in two parts; EEGPT's, momentum from 0.5."""
    objective = tiny_masked(momentum=(0.5, 1.0))
    _, params, model_state, batch = setting("masked_dual")
    schedule = dict(kind="constant", warmup_steps=0, total_steps=10, per="step")
    settings = dict(name="sgd", rate=0.5, momentum=0.0, schedule=schedule)
    optimizer = make_optimizer(settings, params, RunLength(10, 10, 8))
    state = TrainState(jnp.zeros((), int), params, model_state, optimizer.tx.init(params))
    state = jax.tree.map(jnp.copy, state)  # the step writes over it
    step = make_step(objective, optimizer, lambda b: b, seed=0, microbatches=2)
    states = [jax.device_get(state)]
    for _ in range(3):
        state, measures = step(state, batch)
        assert measures["finite"]
        states.append(jax.device_get(state))
    return states


def test_independent_rows_in_parts_have_one_mask_and_give_the_same():
    before, after, *_ = three_steps()
    _, params, model_state, batch = setting("masked_dual")
    key = jax.random.fold_in(jax.random.key(0), 0)  # the first step's
    at_once = grads_in("masked_dual", 1)(params, model_state, batch, key)
    stepped = jax.tree.map(lambda p, g: p - 0.5 * g, before.params, at_once.grads)
    close(after.params, stepped)


def test_the_momentum_encoder_follows_by_the_published_momentum():
    states = three_steps()
    for i, (before, after) in enumerate(zip(states, states[1:], strict=False)):
        m = 0.5 + 0.5 * i / 10
        old, new = (s.model_state["target"]["encoder"] for s in (before, after))
        learnt = after.params["encoder"]
        wanted = jax.tree.map(lambda t, p, m=m: m * t + (1 - m) * p, old, learnt)
        close(new, wanted, rtol=1e-5, atol=1e-6)
        for a, b, c in zip(*map(jax.tree.leaves, (old, new, learnt)), strict=True):
            assert np.abs(a - b).max() > 1e-4  # it moves,
            assert np.abs(b - c).max() > 1e-4  # and is not the encoder


def test_the_momentum_of_every_step_is_the_published_one():
    """The i-th of n steps (from 0) has 0.996 + i * 0.004 / n; 1 would come after the last."""
    n, objective = 7, tiny_masked(total_steps=7)
    ones = {"encoder": {"x": jnp.ones(())}}
    zeros = {"target": {"encoder": {"x": jnp.zeros(())}}}
    for i in range(n):
        moved = objective.after_update(ones, zeros, jnp.asarray(i))["target"]["encoder"]["x"]
        assert float(moved) == pytest.approx(1 - (0.996 + i * (1.0 - 0.996) / n), rel=1e-4)


def test_momentum_ends_at_its_last_value_and_needs_the_runs_length():
    objective, params, model_state, _ = setting("masked_dual")
    for step in (10, 25):
        state = objective.after_update(params, model_state, jnp.asarray(step))
        close(state["target"], model_state["target"], rtol=0, atol=0)
    open_ended = tiny_masked(total_steps=None)
    with pytest.raises(ValueError, match="config.objective.total_steps is empty"):
        open_ended.after_update(params, model_state, jnp.asarray(0))


@pytest.mark.parametrize("name", NAMES)
def test_what_it_predicts_is_the_momentum_encoders(name):
    objective, params, model_state, batch = setting(name)
    predict = jax.jit(objective.predict, compiler_options=QUICK)
    batch = {"signal": jnp.nan_to_num(batch["signal"])}
    out = predict(params, model_state, batch)
    assert {k: v.shape for k, v in out.items()} == {"features": (8, 16), "tokens": (8, 4, 16)}
    close(predict(jax.tree.map(jnp.zeros_like, params), model_state, batch), out, rtol=0, atol=0)
    np.testing.assert_allclose(out["features"], out["tokens"].mean(1), atol=1e-6)
    # Rows are known by their electrodes' names: their order means nothing.
    order = np.random.default_rng(0).permutation(len(CHANNELS))
    numbers = tiny_windows(8, ids=True)["channel_id"]
    shuffled = {"signal": batch["signal"][:, order], "channel_id": numbers[:, order]}
    close(predict(params, model_state, shuffled), out, rtol=1e-4, atol=1e-5)


def test_switches_take_terms_away_and_go_on_reporting_them():
    objective, _, _, batch = setting("dual_aligned")
    out = {
        name: jnp.arange(1.0, 9.0)
        for name in ("alignment", "reconstruction", "activation")
    }  # fmt: skip
    out |= {name: jnp.eye(8) for name in ("features", "first_view", "second_view")}
    on = {"alignment", "reconstruction", "mask_alignment", "activation_penalty"}
    off = {
        "alignment": {"alignment"},
        "mask_alignment": {"mask_alignment", "activation_penalty"},
    }
    assert set(objective.terms(out, batch)[0]) == on
    for switch, gone in off.items():
        terms, report = tiny_masked("dual_aligned", **{switch: False}).terms(out, batch)
        assert set(terms) == on - gone
        assert {"alignment", "view_contrast", "activation"} <= set(report | terms)


def noting(keys, draw):
    """``draw``, and its key is added to ``keys``."""

    def run(key, *args, **options):
        keys.append(key)
        return draw(key, *args, **options)

    return run


@pytest.mark.parametrize("parts", [1, 3])
def test_no_key_is_used_twice(monkeypatch, parts):
    """Whatever draws gets a key that no other draw of the batch has, nor a key made from one."""
    objective, _, _, batch = setting("dual_aligned")
    drawing = []
    for name in ("draw_masks", "draw_second_view"):
        monkeypatch.setattr(masking, name, noting(drawing, getattr(masking, name)))
    shared = batch | {"batch_key": KEY}
    for key in [KEY] if parts == 1 else jax.random.split(KEY, parts):
        drawn = objective.masked.draw(key, shared)
        objective.second_view(shared, drawn, key)
        drawing += drawn.keys.values()
    bits = {tuple(jax.random.key_data(key).tolist()) for key in drawing}
    assert len(bits) == 2 + 4 * parts  # the two masks are all rows', the rest is each part's
    different = [jax.random.wrap_key_data(jnp.asarray(x, jnp.uint32)) for x in bits]
    made = jax.random.key_data(jnp.stack([jax.random.split(key, 4) for key in different]))
    made = {tuple(x) for x in made.reshape(-1, 2).tolist()}
    assert len(made) == 4 * len(bits) and not made & bits


def test_switches_of_the_first_view_are_set_beside_those_of_the_second():
    cases = {"alignment": 1, "normalised_patches": 2, "skip": 3}  # DARE-EEG's
    for switch in cases:
        changed = tiny_masked("dual_aligned", **{switch: False})
        assert {name for name in cases if not getattr(changed.masked, name)} == {switch}
        assert changed.mask_alignment


@pytest.mark.parametrize("skip", [True, False])
def test_without_the_skip_the_reconstructor_reads_predictions_alone(skip):
    """Visible patches reach it through the predictor then: which gives nothing here."""
    objective, params, model_state, batch = setting("masked_dual")
    params = dict(params) | {"predictor": jax.tree.map(jnp.zeros_like, params["predictor"])}
    signal = jnp.nan_to_num(batch["signal"])
    keep, asked = (
        jnp.zeros(len(CHANNELS) * 4, bool).at[tokens.reshape(-1)].set(True).reshape(4, -1).T
        for tokens in objective.draw(KEY, batch).masks
    )
    assert not np.any(keep & asked)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def reconstruction(signal):
        masked = tiny_masked(skip=skip)
        out, _ = masked.embed(params, model_state, batch | {"signal": signal}, KEY, train=False)
        return out["reconstruction"]

    noise = jax.random.normal(KEY, signal.shape)
    moved = {
        name: reconstruction(jnp.where(where.repeat(4, axis=1), noise, signal))
        for name, where in (("nothing", keep & asked), ("seen", keep), ("asked", asked))
    }
    assert np.allclose(moved["seen"], moved["nothing"], atol=1e-6) == (not skip)
    assert not np.allclose(moved["asked"], moved["nothing"], atol=1e-3)  # the targets


def test_one_model_learns_from_several_montages_and_lengths():
    objective, params, model_state, _ = setting("masked_dual")
    for channels, patches in ((CHANNELS[:5], 4), (CHANNELS, 6)):
        batch = tiny_windows(2, channels=channels, patches=patches, ids=True)
        out = jax.eval_shape(
            lambda b: objective.loss(params, model_state, b, KEY, train=True)[0], batch
        )
        assert out.shape == ()


# -- collapse -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "d"), [(600, 5), (6, 700)])
def test_effective_rank_counts_directions(b, d):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(b, d)).astype(np.float32)
    values = np.linalg.eigvalsh(np.cov(x.T, bias=True)) if d < 100 else None
    values = np.linalg.svd(x - x.mean(0))[1] ** 2 if values is None else values
    found = spread(jnp.asarray(x))
    assert float(found["effective_rank"]) == pytest.approx(
        values.sum() ** 2 / (values**2).sum(), rel=1e-3
    )
    assert float(found["feature_std"]) == pytest.approx(x.std(0).mean(), rel=1e-4)


def test_collapse_is_seen():
    rows, direction = jnp.linspace(-1, 1, 16)[:, None], jnp.ones((1, 8))
    one = spread(rows * direction)
    assert float(one["effective_rank"]) == pytest.approx(1, rel=1e-4)
    none = spread(direction.repeat(16, 0) * 3)
    assert float(none["effective_rank"]) == float(none["feature_std"]) == 0
    valid = jnp.arange(20) < 16
    padded = jnp.concatenate([rows * direction, jnp.full((4, 8), jnp.nan)])
    close(spread(padded, valid=valid), one, rtol=1e-5)
    grad = jax.grad(lambda x: sum(spread(x).values()))(rows * direction)
    assert not np.any(grad)


# -- from the config ----------------------------------------------------------------------------


def config_of(objective, encoder=None):
    encoder = encoder or dict(
        name="eeg_transformer", width=8, depth=1, heads=2, summary_tokens=2, patch_size=4
    )
    config = dict(dtype="bfloat16", remat="full", encoder=encoder, objective=objective, text=None)
    return ConfigDict(config)


SPEC = SignalSpec(
    modality="eeg", channels=CHANNELS, montage="average", sfreq_hz=8.0, window_s=2.0,
    highpass_hz=0.5, lowpass_hz=3.0, resample="polyphase", unit="uV", clip=800.0, scale=1e-3,
    mean=0.0, std=1.0,
)  # fmt: skip


def test_heads_take_over_the_encoders_sizes():
    settings = dict(name="masked_dual", predictor=dict(depth=1, heads=1), reconstructor={})
    objective = build.build_objective(config_of(settings), SPEC, None)
    predictor, reconstructor = objective.predictor, objective.reconstructor
    assert (predictor.depth, predictor.heads, reconstructor.heads) == (1, 1, 2)
    assert reconstructor.patch_size == 4
    for head in (predictor, reconstructor):
        assert (head.width, head.summary_tokens, head.remat) == (8, 2, "full")
        assert head.dtype == jnp.bfloat16
    shapes = jax.eval_shape(objective.init, KEY, tiny_windows(2))
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    out, _ = jax.eval_shape(
        lambda p, s, b: objective.embed(p, s, b, KEY, train=True), *shapes, tiny_windows(2)
    )
    assert {x.dtype for x in out.values()} == {jnp.dtype("float32")}


def test_the_runs_length_is_written_where_it_was_left_open():
    config = config_of(dict(name="masked_dual", total_steps=None)).lock()
    build.settle_length(config, RunLength(123, 10, 8))
    assert config.objective.total_steps == 123
    build.settle_length(config, RunLength(456, 10, 8))
    assert config.objective.total_steps == 123
    without = config_of(dict(name="classify")).lock()
    build.settle_length(without, RunLength(5, 5, 5))
    assert "total_steps" not in without.objective


def test_what_cannot_be_masked_is_refused():
    with pytest.raises(ValueError, match="ConvEeg cannot be shown a part"):
        build.build_objective(
            config_of(dict(name="masked_dual"), dict(name="conv_eeg")), SPEC, None
        )
    with pytest.raises(ValueError, match=r"config.objective.predictor: unknown \['widht'\]"):
        tiny_masked(predictor=dict(widht=3))
    with pytest.raises(ValueError, match=r"config.objective: unknown \['temperature'\]"):
        tiny_masked(temperature=0.1)
    with pytest.raises(ValueError, match="config.objective.momentum is"):
        tiny_masked(momentum=(0.9, 1.1))
    with pytest.raises(ValueError, match="similarity is 'rings'"):
        tiny_masked("dual_aligned", similarity="rings")
    few = tiny_windows(2, channels=CHANNELS[:5])
    objective = tiny_masked("dual_aligned", channels=CHANNELS[:5])
    with pytest.raises(MaskError, match="the signal has 5"):
        jax.eval_shape(objective.init, KEY, few)
    unknown = tiny_masked(channels=("Fp1", "Fp2", "F3", "ECG"))
    with pytest.raises(UnknownChannels, match="ECG"):
        jax.eval_shape(unknown.init, KEY, tiny_windows(2, channels=CHANNELS[:4]))
