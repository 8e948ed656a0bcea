"""Bert against transformers' BertModel on random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from braindecode_reference import mend_torchaudio

from elm_jax.convert.bert import load_bert, save_bert
from elm_jax.convert.engine import ConvertError
from elm_jax.models.bert import Bert, BertConfig, BertConfigError, pool_text

mend_torchaudio()  # which transformers imports where it is installed
SIZES = dict(
    vocab_size=50,
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=40,
    max_position_embeddings=16,
)


def make(kind=transformers.BertModel, **changes):
    torch.manual_seed(0)
    model = kind(transformers.BertConfig(**(SIZES | changes))).eval()
    with torch.no_grad():  # as made, biases are zero and norms one: nothing would be told apart
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def tokens():
    rng = np.random.default_rng(0)
    valid = np.arange(11) < rng.integers(1, 12, (5, 1))
    return rng.integers(0, 50, (5, 11)).astype(np.int32), valid


def theirs(model, token_id, token_valid):
    with torch.inference_mode():
        return model(
            input_ids=torch.from_numpy(token_id).long(),
            attention_mask=torch.from_numpy(token_valid).long(),
        ).last_hidden_state.numpy()


def ours(loaded, token_id, token_valid, dtype=None):
    module = Bert(loaded.config, dtype)
    apply = jax.jit(lambda v, t, m: module.apply(v, t, m, train=False))
    return apply(loaded.variables, token_id, token_valid)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
def test_hidden_vectors_equal_transformers(tmp_path, activation):
    model = make(hidden_act=activation)
    model.save_pretrained(tmp_path)
    token_id, valid = tokens()
    loaded = load_bert(tmp_path)
    assert set(loaded.report.excused) == {"pooler.dense.weight", "pooler.dense.bias"}
    found = ours(loaded, token_id, valid)
    np.testing.assert_allclose(found[valid], theirs(model, token_id, valid)[valid], atol=1e-4)


def test_a_model_with_a_head_gives_its_encoder(tmp_path):
    model = make(transformers.BertForMaskedLM)
    model.save_pretrained(tmp_path)
    token_id, valid = tokens()
    found = ours(load_bert(tmp_path), token_id, valid)
    np.testing.assert_allclose(found[valid], theirs(model.bert, token_id, valid)[valid], atol=1e-4)


def test_an_old_pickle_with_buffers_and_gamma_beta_is_read(tmp_path):
    model = make()
    model.config.save_pretrained(tmp_path)
    state = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in model.state_dict().items()
    }
    state["embeddings.position_ids"] = torch.arange(16)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    token_id, valid = tokens()
    found = ours(load_bert(tmp_path), token_id, valid)
    np.testing.assert_allclose(found[valid], theirs(model, token_id, valid)[valid], atol=1e-4)


def test_a_saved_tower_opens_in_transformers(tmp_path):
    config = BertConfig(50, 24, 2, 4, 40, 16)
    token_id, valid = tokens()
    init = jax.jit(lambda t, v: Bert(config).init(jax.random.key(0), t, v, train=False))
    variables = init(token_id, valid)
    save_bert(tmp_path, config, variables)
    loaded = load_bert(tmp_path)
    assert loaded.config == config
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    model = transformers.BertModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    found = ours(loaded, token_id, valid)
    np.testing.assert_allclose(found[valid], theirs(model, token_id, valid)[valid], atol=1e-4)


def test_padding_changes_no_text(tmp_path):
    make().save_pretrained(tmp_path)
    token_id, valid = tokens()
    loaded = load_bert(tmp_path)
    other = np.where(valid, token_id, 7)
    found, again = ours(loaded, token_id, valid), ours(loaded, other, valid)
    np.testing.assert_array_equal(found[valid], again[valid])
    short = ours(loaded, token_id[:1, : valid[0].sum()], valid[:1, : valid[0].sum()])
    np.testing.assert_allclose(found[0][valid[0]], short[0], atol=1e-5)


def test_bfloat16_compute_is_near_and_narrow(tmp_path):
    make().save_pretrained(tmp_path)
    token_id, valid = tokens()
    loaded = load_bert(tmp_path)
    narrow = ours(loaded, token_id, valid, jnp.bfloat16)
    assert narrow.dtype == jnp.bfloat16
    wide = ours(loaded, token_id, valid)
    np.testing.assert_allclose(narrow[valid].astype(jnp.float32), wide[valid], atol=0.15)


def test_dropout_acts_in_training_alone():
    config = BertConfig(50, 24, 1, 4, 40, 16)
    token_id, valid = map(jnp.asarray, tokens())
    module = Bert(config)

    @jax.jit
    def run(seed):
        variables = module.init(jax.random.key(0), token_id, valid, train=False)
        key = {"dropout": jax.random.key(seed)}
        trained = module.apply(variables, token_id, valid, train=True, rngs=key)
        return trained, module.apply(variables, token_id, valid, train=False)

    (a, plain_a), (b, plain_b) = run(1), run(2)
    assert not np.allclose(a, b)
    np.testing.assert_array_equal(plain_a, plain_b)


def test_pooling():
    hidden = jax.random.normal(jax.random.key(0), (3, 4, 5))
    valid = jnp.array([[True] * 4, [True, True, False, False], [False] * 4])
    np.testing.assert_array_equal(pool_text(hidden, valid), hidden[:, 0])
    mean = pool_text(hidden, valid, "mean")
    expected = hidden[1, :2].mean(0)
    np.testing.assert_allclose(mean[1], expected / jnp.linalg.norm(expected), rtol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(mean[:2], axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(mean[2], 0)
    with pytest.raises(ValueError, match="max"):
        pool_text(hidden, valid, "max")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "hardswish"}, "hardswish"),
        ({"model_type": "roberta"}, "roberta"),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"num_attention_heads": 5}, "n_heads=5"),
    ],
)
def test_another_network_than_bert_is_refused(changes, message):
    values = transformers.BertConfig(**SIZES).to_dict() | changes
    with pytest.raises(BertConfigError, match=message):
        BertConfig.from_dict(values)
    del values["vocab_size"]
    with pytest.raises(BertConfigError):
        BertConfig.from_dict(values)


def test_files_that_are_missing_or_do_not_fit_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json"):
        load_bert(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(BertConfigError, match="config.json"):
        load_bert(tmp_path)
    make().config.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="model.safetensors"):
        load_bert(tmp_path)
    make(num_hidden_layers=2).save_pretrained(tmp_path)
    transformers.BertConfig(**SIZES).save_pretrained(tmp_path)
    with pytest.raises(ConvertError, match="layer_2/mlp/up/kernel: missing"):
        load_bert(tmp_path)


def test_too_many_tokens_are_an_error_and_an_unknown_token_is_nan():
    module = Bert(BertConfig(50, 24, 1, 4, 40, 16))
    shape = jax.ShapeDtypeStruct((1, 17), jnp.int32), jax.ShapeDtypeStruct((1, 17), jnp.bool_)
    with pytest.raises(ValueError, match="17 tokens.*16 positions"):
        jax.eval_shape(lambda t, v: module.init(jax.random.key(0), t, v, train=False), *shape)
    token_id, valid = jnp.full((1, 2), 50), jnp.ones((1, 2), bool)
    init = jax.jit(lambda: module.init_with_output(jax.random.key(0), token_id, valid, train=False))
    assert np.isnan(init()[0]).all()
