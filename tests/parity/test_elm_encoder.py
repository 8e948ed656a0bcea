"""The released ELM encoders, converted, against values computed with the published code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.convert import elm
from elm_jax.convert.reader import read_state_dict
from elm_jax.convert.standalone.elm_torch import Elm
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.heads import SignalProjector, TextProjector

MODELS = ("5s", "60s")


@pytest.fixture(scope="module", params=MODELS)
def released(request, shared):
    path = shared / "weights/elm" / request.param / "model_0_checkpoint.pt"
    with np.load(shared / f"golden/elm/encoder_{request.param}.npz") as file:
        return path, elm.load_elm_checkpoint(path), dict(file)


def apply(checkpoint, encoder, projector, x, *, train, method="cpu"):
    """(emb, proj) and the new batch statistics."""
    mutable = ["batch_stats"] if train else []
    encoded, new_encoder = ConvEeg(**checkpoint.encoder_kwargs, method=method).apply(
        encoder, x, train=train, mutable=mutable
    )
    proj, new_projector = SignalProjector(**checkpoint.projector_kwargs).apply(
        projector, encoded.pooled, train=train, mutable=mutable
    )
    return encoded.pooled, proj, new_encoder, new_projector


def training_call(checkpoint, encoder, projector, x, method="cpu"):
    """Everything that the golden file holds of one training-mode call, by its names."""

    def loss_fn(params):
        emb, proj, new_encoder, new_projector = apply(
            checkpoint,
            {**encoder, "params": params[0]},
            {**projector, "params": params[1]},
            x,
            train=True,
            method=method,
        )
        return jnp.mean(jnp.square(proj)), (emb, proj, new_encoder, new_projector)

    params = encoder["params"], projector["params"]
    value_and_grad = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    (loss, (emb, proj, new_encoder, new_projector)), grads = value_and_grad(params)
    stem = new_encoder["batch_stats"]["stem"]["norm"]
    outputs = dict(emb=emb, proj=proj, loss=loss)
    statistics = dict(
        bn1_running_mean=stem["mean"],
        bn1_running_var=stem["var"],
        proj_bn_running_var=new_projector["batch_stats"]["norm"]["var"],
    )
    gradients = dict(
        grad_conv1_0_weight=grads[0]["stem"]["branch_0"]["kernel"].transpose(2, 1, 0),
        grad_proj_0_weight=grads[1]["hidden"]["kernel"].T,
        grad_res3_bn2_scale=grads[0]["block_3"]["conv2"]["norm"]["scale"],
    )
    return outputs, statistics, gradients


def assert_near(found, golden, atol):
    for name, value in found.items():
        expected = golden[f"train_f64_{name}"]
        np.testing.assert_allclose(value, expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("method", ["cpu", "direct"])
def test_released_weights_give_the_published_outputs_in_evaluation(released, method):
    _, checkpoint, golden = released
    variables = checkpoint.encoder, checkpoint.projector
    run = jax.jit(lambda x: apply(checkpoint, *variables, x, train=False, method=method))
    emb, proj, _, _ = run(golden["x"])
    np.testing.assert_allclose(emb, golden["emb_f64"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(proj, golden["proj_f64"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["cpu", "direct"])
def test_released_weights_give_the_published_training_call(released, method):
    _, checkpoint, golden = released
    x = jnp.asarray(golden["x"])
    outputs, statistics, gradients = training_call(
        checkpoint, checkpoint.encoder, checkpoint.projector, x, method
    )
    assert_near(outputs, golden, 1e-5)
    assert_near(statistics, golden, 1e-5)
    assert_near(gradients, golden, 2e-4)


def test_in_float64_the_training_call_agrees_to_rounding(released):
    path, checkpoint, golden = released
    if path.parent.name != "5s":
        pytest.skip("one model in float64 is enough: both share the code")
    with jax.enable_x64(True):
        widen = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)  # noqa: E731
        found = training_call(
            checkpoint,
            widen(checkpoint.encoder),
            widen(checkpoint.projector),
            jnp.asarray(golden["x"], jnp.float64),
        )
        for part in found:
            assert_near(part, golden, 1e-10)


def test_a_state_dict_survives_the_way_to_us_and_back_bit_for_bit(released):
    path, checkpoint, _ = released
    state = read_state_dict(path)
    back = elm.to_released(checkpoint.encoder, checkpoint.projector, kept=checkpoint.report.kept)
    assert set(back) == set(state)
    for name, tensor in state.items():
        assert back[name].dtype == tensor.dtype and back[name].shape == tensor.shape, name
        assert back[name].tobytes() == tensor.tobytes(), name


def test_an_exported_model_gives_our_outputs_in_pytorch():
    import torch

    encoder_kwargs = dict(
        in_channels=3,
        kernels=((3, 4, 1), (6, 5, 1)),
        n_blocks=2,
        pool_sizes=(2, 3),
    )
    encoder, projector = ConvEeg(**encoder_kwargs), SignalProjector(sizes=(7, 6))
    x = jax.random.normal(jax.random.key(0), (5, 3, 61))

    @jax.jit
    def run(x):
        encoded, variables = encoder.init_with_output(jax.random.key(1), x, train=False)
        proj, more = projector.init_with_output(jax.random.key(2), encoded.pooled, train=False)
        return encoded.pooled, proj, variables, more

    emb, proj, encoder_variables, projector_variables = run(x)

    state = elm.to_released(encoder_variables, projector_variables)
    twin = Elm(3, encoder_kwargs["kernels"], (2, 3), (7, 6))
    twin.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()}, strict=True)
    with torch.inference_mode():
        twin_emb, twin_proj = twin.eval()(torch.from_numpy(np.array(x)))
    np.testing.assert_allclose(emb, twin_emb, atol=1e-5)
    np.testing.assert_allclose(proj, twin_proj, atol=1e-5)


def test_text_projector_equals_the_published_one_in_training_and_evaluation(shared):
    with np.load(shared / "golden/elm/text_projector.npz") as file:
        golden = dict(file)
    state = {k.removeprefix("sd."): v for k, v in golden.items() if k.startswith("sd.")}
    variables, report = elm.text_projector_from_released(state)
    assert len(report.matched) == 10 and not report.missing and not report.unexpected
    module = TextProjector(sizes=(48, 16))
    x = jnp.asarray(golden["x"])
    evaluated = jax.jit(lambda v: module.apply(v, x, train=False))(variables)
    np.testing.assert_allclose(evaluated, golden["y_eval_after_one_train_step"], atol=1e-5)

    # The stored statistics are those after the training call, from fresh ones.
    fresh = {"params": variables["params"], "batch_stats": {}}
    for name, stats in variables["batch_stats"].items():
        fresh["batch_stats"][name] = {
            "mean": jnp.zeros_like(stats["mean"]),
            "var": jnp.ones_like(stats["var"]),
        }
    apply = jax.jit(lambda v: module.apply(v, x, train=True, mutable=["batch_stats"]))
    trained, new = apply(fresh)
    np.testing.assert_allclose(trained, golden["y_train"], atol=1e-5)
    for name, stats in variables["batch_stats"].items():
        for key, expected in stats.items():
            np.testing.assert_allclose(new["batch_stats"][name][key], expected, atol=1e-5)
