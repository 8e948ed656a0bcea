"""Where masked runs start and what starts from them: momentum encoders, the length of a run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from masked_tiny import drawn_variables, tiny_masked, tiny_windows
from ml_collections import ConfigDict

from elm_jax import run_dir, start
from elm_jax.convert.parts import ModelParts
from elm_jax.data.spec import SignalSpec
from elm_jax.state import TrainState

SPEC = SignalSpec(
    modality="eeg", channels=("Fp1", "Fp2"), montage="average", sfreq_hz=8.0, window_s=2.0,
    highpass_hz=0.5, lowpass_hz=3.0, resample="polyphase", unit="uV", clip=800.0, scale=1e-3,
    mean=0.0, std=1.0,
)  # fmt: skip
ENCODER_ALONE = (("encoder/.*", "load"), (".*", "fresh"))


def variables(seed, name="masked_dual"):
    return drawn_variables(tiny_masked(name), tiny_windows(2), seed)


def state_of(params, model_state):
    zero = jnp.zeros((), int)
    return TrainState(zero, *jax.tree.map(jnp.asarray, (params, model_state)), ())


def parts_of(params, model_state):
    params, model_state = jax.tree.map(np.asarray, (params, model_state))
    return ModelParts(spec=SPEC, recipe={}, params=params, model_state=model_state, source="there")


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_without_a_momentum_encoder_takes_over_that_of_its_source():
    params, model_state = variables(1)
    fresh, _ = variables(2)
    state = state_of({"encoder": fresh["encoder"], "classifier": jnp.ones(3)}, {"batch_stats": {}})
    found, _ = start.overlay(state, parts_of(params, model_state), ENCODER_ALONE)
    same(found.params["encoder"], model_state["target"]["encoder"])
    assert not np.array_equal(
        found.params["encoder"]["norm"]["bias"], params["encoder"]["norm"]["bias"]
    )
    same(found.params["classifier"], jnp.ones(3))
    assert set(found.model_state) == {"batch_stats"}


def test_a_run_with_a_momentum_encoder_begins_with_two_copies_of_a_source_without():
    params, _ = variables(1)
    state = state_of(*variables(2))
    parts = parts_of({"encoder": params["encoder"]}, {"batch_stats": {}})
    found, told = start.overlay(state, parts, ENCODER_ALONE)
    for encoder in (found.params["encoder"], found.model_state["target"]["encoder"]):
        same(encoder, params["encoder"])
    same(found.params["predictor"], state.params["predictor"])
    assert "loaded encoder" in told and "fresh predictor" in told
    # Buffers of their own: a step writes over both.
    ours, theirs = (
        jax.tree.leaves(x) for x in (found.params["encoder"], found.model_state["target"])
    )
    jax.block_until_ready((ours, theirs))
    places = {x.unsafe_buffer_pointer() for x in (*ours, *theirs)}
    assert len(places) == len(ours) + len(theirs)


def test_pretraining_goes_on_with_both_encoders_of_another_pretraining():
    params, model_state = variables(1)
    # DARE-EEG's from EEGPT's: the projection begins anew.
    state = state_of(*variables(2, "dual_aligned"))
    rules = (("view_projector/.*", "fresh"), (".*", "load"))
    found, _ = start.overlay(state, parts_of(params, model_state), rules)
    same({k: v for k, v in found.params.items() if k != "view_projector"}, params)
    same(found.model_state["target"], model_state["target"])


def test_what_a_source_lacks_is_told():
    params, _ = variables(1)
    parts = parts_of({"encoder": params["encoder"]}, {"batch_stats": {}})
    with pytest.raises(ValueError, match="missing there: predictor"):
        start.overlay(state_of(*variables(2)), parts, start.LOAD_ALL)


def config_of(total_steps, epochs=3.0):
    sections = dict.fromkeys((*run_dir.SAME_ON_RESUME, "optimizer"), None)
    return ConfigDict(
        sections
        | dict(
            encoder=dict(name="eeg_transformer"),
            objective=dict(name="masked_dual", total_steps=total_steps, skip=True),
            optimizer=dict(name="adamw", schedule=dict(total_epochs=epochs)),
        )
    )


def test_a_run_may_be_made_longer_though_its_momentum_follows_its_length():
    saved = config_of(100).to_dict()
    run_dir.require_same_run(config_of(200, 6.0), saved, "there")
    changed = config_of(100)
    changed.objective.skip = False
    with pytest.raises(ValueError, match="config.objective.skip"):
        run_dir.require_same_run(changed, saved, "there")


def test_a_finished_run_is_evaluated_by_the_recipe_that_it_was_trained_with():
    recipe = config_of(100).to_dict()
    config = config_of(None).lock()
    run_dir.adopt(config, recipe)
    assert config.objective.total_steps == 100
    run_dir.require_same_model(run_dir.plain_config(config), recipe, "there")
