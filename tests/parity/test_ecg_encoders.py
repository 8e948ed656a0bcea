"""ECG encoders against the published implementations' values: their weights, through our doors."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax import losses
from elm_jax.convert import folder, network
from elm_jax.masking import RowMasks
from elm_jax.models.base import Encoded
from elm_jax.sources import read_parts

LAYOUTS = ("st_mem", "mtae", "mlae")


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def read_golden(shared, name):
    """Arrays of a file, and its state dict."""
    path = shared / "golden/ecg_encoders" / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"needs {path}")
    with np.load(path) as file:
        arrays = dict(file)
    return arrays, {k.removeprefix("sd."): v for k, v in arrays.items() if k.startswith("sd.")}


@pytest.fixture(scope="module", params=LAYOUTS)
def autoencoder(request, shared, tmp_path_factory):
    """(golden arrays, our objective, its parameters), read from a file of published names."""
    arrays, state = read_golden(shared, request.param)
    path = tmp_path_factory.mktemp(request.param) / "model.safetensors"
    folder.write_safetensors(state, path)
    path.with_suffix(".yaml").write_text(f"layout: {request.param}\n")
    parts = read_parts(path)
    told = json.loads(str(arrays["config"]).replace("'", '"'))
    encoder, decoder = parts.recipe["encoder"], parts.recipe["objective"]["decoder"]
    assert (encoder["width"], encoder["depth"], encoder["heads"], encoder["mlp_ratio"]) == tuple(
        told[k] for k in ("embed_dim", "depth", "num_heads", "mlp_ratio")
    )
    assert (decoder["width"], decoder["depth"], decoder["heads"]) == tuple(
        told[f"decoder_{k}"] for k in ("embed_dim", "depth", "num_heads")
    )
    assert len(parts.report.matched) + len(parts.report.excused) == len(state)
    return arrays, network.build_network(parts.recipe, parts.spec), parts.params


def given_masks(arrays, patches):
    """The golden file's masks in our form."""
    place = arrays["ids_restore"].reshape(patches[:3])
    visible = int((arrays["mask"] == 0).sum(-1).flat[0])
    masks = RowMasks(jnp.asarray(np.argsort(place, -1)[..., :visible]), jnp.asarray(place))
    np.testing.assert_array_equal(masks.hidden, arrays["mask"].reshape(patches[:3]) == 1)
    return masks


def test_a_masked_autoencoder_gives_the_published_values_all_the_way(autoencoder):
    arrays, objective, params = autoencoder
    batch = {"signal": jnp.asarray(arrays["x"])}
    patches = jax.eval_shape(objective.encoder.cut, batch["signal"]).shape
    masks = given_masks(arrays, patches)

    @jax.jit
    def run(params):
        latents, made, cut = objective.reconstruct(params, batch, masks)
        error, weight = losses.reconstruction(made, cut, masks.hidden, normalised=False)
        whole = objective.encoder.apply(
            {"params": params["encoder"]}, batch["signal"], train=False, method="latents"
        )
        _, kept = objective.decoder.apply(
            {"params": params["decoder"]}, latents, place=masks.place, train=False,
            visible=masks.keep.shape[-1], values=cut.shape[-1],
            capture_intermediates=lambda module, _: module.name == "layer_1",
        )  # fmt: skip
        before_norm = kept["intermediates"]["layer_1"]["__call__"][0]
        loss = jnp.sum(error * weight, (1, 2)).mean()
        return latents, whole, made, loss, before_norm, objective.predict(params, {}, batch)

    latents, whole, made, loss, before_norm, out = run(params)
    close(latents.reshape(arrays["latent"].shape), arrays["latent"])
    close(whole.reshape(arrays["latent_unmasked"].shape), arrays["latent_unmasked"])
    close(before_norm.reshape(arrays["decoder_latent"].shape), arrays["decoder_latent"])
    close(made.reshape(arrays["pred"].shape), arrays["pred"])
    close(loss, arrays["loss"])
    # What embeds is the mean of all patches, without special tokens.
    b, groups = patches[:2]
    shown = arrays["latent_unmasked"].reshape(b, groups, -1, latents.shape[-1])
    shown = shown[:, :, 1:-1] if groups > 1 else shown[:, :, 1:]
    close(out["tokens"], shown.reshape(out["tokens"].shape))
    close(out["features"], shown.mean((1, 2)))


@pytest.fixture(scope="module")
def merl(shared, tmp_path_factory):
    """(golden arrays, parts), of a file with the names of ECGCLIP."""
    arrays, state = read_golden(shared, "merl")
    state = {name.replace("resnet.", "ecg_encoder."): value for name, value in state.items()}
    state |= {f"linear{i}.weight": np.eye(32, dtype=np.float32) * i for i in (1, 2)}
    path = tmp_path_factory.mktemp("merl") / "model.safetensors"
    folder.write_safetensors(state, path)
    path.with_suffix(".yaml").write_text("sfreq: 100\nn_times: 1000\n")
    parts = read_parts(path)
    assert len(parts.report.matched) + len(parts.report.excused) == len(state)
    return arrays, parts


def test_merls_network_and_attention_pooling_give_the_published_values(merl):
    arrays, parts = merl
    objective = network.build_network(parts.recipe, parts.spec)
    variables = {
        name: {"params": own, "batch_stats": parts.model_state["batch_stats"].get(name, {})}
        for name, own in parts.params.items()
    }

    @jax.jit
    def run(variables, x):
        encoded = objective.encoder.apply(variables["encoder"], x, train=False)
        out, kept = objective.signal_projector.apply(
            variables["signal_projector"], encoded, train=False, capture_intermediates=True,
            mutable=["intermediates"],
        )  # fmt: skip
        return encoded, out, kept["intermediates"]

    encoded, out, kept = run(variables, jnp.asarray(arrays["x"]))
    assert isinstance(encoded, Encoded)
    close(encoded.tokens.swapaxes(1, 2), arrays["trunk"])
    (down,) = kept["down"]["__call__"]
    close(down.swapaxes(1, 2), arrays["down"])
    close(out.projection, arrays["pooled"][:, 0])
    close(out.first, arrays["down"].mean(-1))
    close(out.second, 2 * arrays["down"].mean(-1))
    query, key = (kept["pool"]["attention"][k]["__call__"][0] for k in ("query", "key"))
    heads = lambda x: x.reshape(*x.shape[:2], 4, -1)  # noqa: E731
    scores = jnp.einsum("bnhk,bmhk->bhnm", heads(query), heads(key)) / np.sqrt(8)
    close(jax.nn.softmax(scores).mean(1)[:, :, 1:], arrays["attention"])


def test_merls_loss_is_both_directions_of_the_pairs_contrast_summed(merl):
    arrays, _ = merl
    rows = losses.paired_contrast(
        jnp.asarray(arrays["loss_a"]), jnp.asarray(arrays["loss_b"]), temperature=0.07
    )
    close(2 * losses.reduce_rows(rows), arrays["loss"])
