"""Heads and adapters by name: what is asked for is what there is, and mistakes are said."""

import jax
import jax.numpy as jnp
import pytest
from ml_collections import ConfigDict
from tiny_by_name import ELECTRODES, SPEC

from elm_jax import build, classifiers
from elm_jax.channels import UnknownChannels
from elm_jax.convert.network import as_config
from elm_jax.models import adapters, heads

ENCODER = dict(name="eeg_transformer", width=8, depth=1, heads=2, summary_tokens=2, patch_size=64)


def config_of(encoder=ENCODER, **objective):
    labels = dict(name="x", kind="multiclass", classes=("a", "b", "c"))
    objective = dict(name="classify", labels=labels) | objective
    return as_config(dict(dtype="float32", encoder=encoder, objective=objective, text=None))


def shapes_of(config, spec=SPEC):
    objective = build.build_objective(config, spec, None)
    signal = jax.ShapeDtypeStruct((2, len(spec.channels), spec.window_samples), jnp.float32)
    params, _ = jax.eval_shape(objective.init, jax.random.key(0), {"signal": signal})
    return objective, jax.tree.map(lambda x: x.shape, params)


@pytest.mark.parametrize(
    ("head", "kind", "out"),
    [
        (dict(name="linear"), heads.LinearHead, (4 * 16, 3)),
        (dict(name="linear", pooling="mean"), heads.LinearHead, (16, 3)),
        (dict(name="mlp", hidden=(6, 5)), heads.MlpHead, (5, 3)),
        (dict(name="mlp", hidden=(6, 5), per_token=True), heads.MlpHead, (4 * 5, 3)),
        (dict(name="attention", hidden=(5,)), heads.MlpHead, (5, 3)),
    ],
)
def test_a_head_has_the_sizes_of_the_encoder_s_tokens_and_the_classes(head, kind, out):
    objective, params = shapes_of(config_of(head=head))
    assert type(objective.classifier) is kind
    assert params["classifier"]["out"]["kernel"] == out
    if head["name"] == "attention":  # one vector a summary token: 8 of the 16 numbers of a token
        assert params["classifier"]["pool"]["attention"]["kernel"] == (8, 1)


def test_without_a_head_there_is_the_classifier_on_the_pooled_vector():
    objective, params = shapes_of(config_of(hidden=(7,), dropout=0.1))
    assert objective.classifier == heads.Classifier((7, 3), dropout=0.1, dtype=jnp.float32)
    assert params["classifier"]["hidden_0"]["kernel"] == (16, 7)


def test_an_adapter_gives_the_encoder_its_own_channels_by_name():
    names = ("F3", "F4", "T7")
    adapter = dict(name="conv", channels=names, samples=128)
    objective, params = shapes_of(config_of(head=dict(name="two_stage"), adapter=adapter))
    assert objective.encoder.channels == names
    assert params["adapter"]["proj"]["kernel"] == (len(ELECTRODES), 3)
    assert params["classifier"]["probe2"]["kernel"] == (2 * 16, 3)  # 128 samples: two patches
    stretched, params = shapes_of(config_of(adapter=dict(name="none", samples=128)))
    assert stretched.encoder.channels == ELECTRODES and "adapter" not in params
    assert shapes_of(config_of(adapter=dict(name="none")))[0].adapter is None
    free, _ = shapes_of(config_of(adapter=dict(name="linear", channels=names)))
    assert free.adapter == adapters.ChannelProjection(names, max_norm=None, dtype=jnp.float32)


def test_a_conv_encoder_takes_an_adapter_too():
    encoder = dict(name="conv_eeg", kernels=((2, 2, 1),), n_blocks=1, pool_sizes=(2,))
    adapter = dict(name="conv_stack", channels=("a", "b"), layers=2)
    _, params = shapes_of(config_of(encoder, adapter=adapter, head=dict(name="attention")))
    assert params["adapter"]["mix_1"]["kernel"] == (2 * len(ELECTRODES), 2)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (dict(head=dict(name="huge")), r"head.name is 'huge'; known: \['attention', 'linear'"),
        (dict(head=dict(name="linear", size=3)), r"head: unknown \['size'\]"),
        (dict(head=dict(name="linear"), hidden=(3,)), r"\['hidden'\] are of the classifier"),
        (dict(head=dict(name="linear"), signal_projection=(4, 2)), "signal_projection=None"),
        (dict(head=dict(name="mlp", hidden=(4, 3), dropout=(0.1,))), "1 rates for 2 hidden"),
        (dict(head=dict(name="mlp", pooling="sum")), "pooling is 'sum'; known"),
        (dict(adapter=dict(name="conv")), r"adapter: lacks \['channels'\]"),
        (dict(adapter=dict(name="conv", channels=("C3", "C3"))), "must be different names"),
        (dict(adapter=dict(name="conv", channels="C3")), "must be different names"),
        (dict(adapter=dict(name="none", samples=-1)), "samples is -1"),
        (dict(adapter=dict(name="none", samples=9, interpolation="cubic")), "'cubic'; known"),
    ],
)
def test_what_cannot_be_built_is_said_with_the_key_to_change(objective, message):
    with pytest.raises(ValueError, match=message):
        shapes_of(config_of(**objective))


def test_an_adapter_s_names_must_be_electrodes_that_the_encoder_knows():
    with pytest.raises(UnknownChannels, match="'Ear'"):
        shapes_of(config_of(adapter=dict(name="conv", channels=("C3", "Ear"))))


@pytest.mark.parametrize(
    ("head", "any_window"),
    [
        (None, True),
        (dict(name="two_stage"), False),
        (dict(name="linear"), False),
        (dict(name="linear", pooling="mean"), True),
        (dict(name="attention"), True),
        (dict(name="attention", per_token=True), False),
        (dict(name="mlp", pooling="max"), True),
    ],
)
def test_a_head_with_weights_for_every_token_fixes_the_window(head, any_window):
    assert classifiers.takes_any_window(head) == any_window
    fields = build.open_fields(config_of(head=head))
    assert "channels" in fields and ("window_s" in fields) == any_window
    assert build.open_fields(config_of(head=head, adapter=dict(name="none", samples=64))) == ()
    assert build.open_fields(config_of(head=head, adapter=dict(name="none"))) == fields


def test_a_recipe_stored_as_json_builds_the_same_network():
    adapter = dict(name="conv_stack", channels=("C3", "C4"), layers=2, norm=True)
    config = config_of(head=dict(name="mlp", hidden=(4, 3), dropout=(0.2, 0.1)), adapter=adapter)
    stored = ConfigDict(config.to_dict())
    as_json = as_config(stored.to_dict() | {"objective": _lists(stored.objective.to_dict())})
    assert build.build_objective(as_json, SPEC, None) == build.build_objective(config, SPEC, None)


def _lists(value):
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, tuple) else value
