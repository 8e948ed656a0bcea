"""Image towers against transformers' ViT, CLIP and SigLIP on random weights, both ways."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from braindecode_reference import mend_torchaudio

from elm_jax.convert.engine import ConvertError, flatten
from elm_jax.convert.vit import load_vit, save_vit
from elm_jax.convert.vit_config import PUBLISHED_PIXELS, Pixels, read_pixels
from elm_jax.models.vit import Vit
from elm_jax.models.vit_config import VitConfig, VitConfigError, published

mend_torchaudio()  # which transformers imports where it is installed
transformers = pytest.importorskip("transformers")

VISION = dict(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=40,
    image_size=24,
    patch_size=8,
)
TEXT = dict(
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=20,
    vocab_size=50,
    bos_token_id=1,
    eos_token_id=2,
)


def randomised(model):
    torch.manual_seed(0)
    with torch.no_grad():  # as made, biases are zero and norms one: nothing would be told apart
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.eval()


def make(kind, **changes):
    """A model of transformers with random weights; ``kind`` as its class is called."""
    family = {"V": "ViT", "C": "CLIP", "S": "Siglip"}[kind[0]]
    if kind in ("CLIPModel", "SiglipModel"):
        vision = VISION | {k: v for k, v in changes.items() if k != "projection_dim"}
        own = {k: v for k, v in changes.items() if k == "projection_dim"}
        config = getattr(transformers, f"{family}Config")(
            text_config=TEXT, vision_config=vision, **own
        )
    else:
        name = "ViTConfig" if family == "ViT" else f"{family}VisionConfig"
        config = getattr(transformers, name)(**(VISION | changes))
    return randomised(getattr(transformers, kind)(config))


def images(rows=24, columns=24, n=3):
    return np.random.default_rng(0).normal(size=(n, rows, columns, 3)).astype(np.float32)


def theirs(model, image, **options):
    with torch.inference_mode():
        return model(pixel_values=torch.from_numpy(image).permute(0, 3, 1, 2), **options)


def ours(loaded, image, dtype=None, interpolate=False):
    module = Vit(loaded.config, interpolate, dtype)
    return jax.jit(lambda v, x: module.apply(v, x, train=False))(loaded.variables, image)


def near(found, expected):
    expected = expected.numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(
    ("kind", "changes", "tokens_from"),
    [
        ("ViTModel", {}, 1),
        ("ViTModel", {"hidden_act": "gelu_pytorch_tanh", "patch_size": 4, "qkv_bias": False}, 1),
        ("ViTModel", {"image_size": 16, "pooler_output_size": 10, "pooler_act": "relu"}, 1),
        ("CLIPVisionModel", {}, 1),
        ("CLIPVisionModel", {"hidden_act": "gelu", "image_size": 16, "patch_size": 4}, 1),
        ("SiglipVisionModel", {}, 0),
        ("SiglipVisionModel", {"hidden_act": "quick_gelu", "image_size": 32}, 0),
    ],
)
def test_tokens_and_pooled_vector_equal_transformers(tmp_path, kind, changes, tokens_from):
    model = make(kind, **changes)
    model.save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    image = images(*loaded.config.image_size)
    found, expected = ours(loaded, image), theirs(model, image)
    near(found.tokens, expected.last_hidden_state[:, tokens_from:])
    near(found.pooled, expected.pooler_output)
    assert found.pooled.shape[1] == loaded.config.out_width and not loaded.report.excused


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("CLIPModel", {"projection_dim": 12}),
        ("CLIPVisionModelWithProjection", {"projection_dim": 12}),
        ("SiglipModel", {}),
    ],
)
def test_the_vision_half_of_a_pair_gives_the_pair_s_image_vectors(tmp_path, kind, changes):
    model = make(kind, **changes)
    model.save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    pixels = torch.from_numpy(images()).permute(0, 3, 1, 2)
    with torch.inference_mode():
        if kind == "CLIPVisionModelWithProjection":
            expected = model(pixel_values=pixels).image_embeds
        else:
            expected = model.get_image_features(pixel_values=pixels).pooler_output
    near(ours(loaded, images()).pooled, expected)
    left_out = set(loaded.report.excused)
    texts = {n for n in model.state_dict() if n.startswith(("text_", "logit_"))}
    assert left_out == texts


@pytest.mark.parametrize("kind", ["ViTForImageClassification", "ViTForMaskedImageModeling"])
def test_a_vit_with_another_head_gives_its_normed_class_token(tmp_path, kind):
    own = {} if "Class" in kind else {"encoder_stride": 8}
    model = make(kind, **own)
    model.save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    assert loaded.config.pooling == "class"
    expected = theirs(model.vit, images()).last_hidden_state
    found = ours(loaded, images())
    near(found.tokens, expected[:, 1:])
    near(found.pooled, expected[:, 0])
    assert any(name.startswith(("classifier", "decoder")) for name in loaded.report.excused)


def test_masked_patches_are_hidden_as_transformers_hides_them(tmp_path):
    model = make("ViTForMaskedImageModeling", encoder_stride=8)
    model.save_pretrained(tmp_path)
    loaded, image = load_vit(tmp_path, pooling="mean"), images()
    hidden = np.random.default_rng(1).random((3, 9)) < 0.6
    token = model.vit.embeddings.mask_token.detach().numpy()[0, 0]
    out = theirs(model, image, bool_masked_pos=torch.from_numpy(hidden))
    module = Vit(loaded.config)
    found = jax.jit(
        lambda v, x, h, t: module.apply(v, x, hidden=h, mask_token=t, train=False)
    )(loaded.variables, image, hidden, token)  # fmt: skip
    weight, bias = (loaded.report.kept[f"decoder.0.{name}"] for name in ("weight", "bias"))
    drawn = found.tokens @ weight[:, :, 0, 0].T + bias  # colours, rows, columns of each patch
    drawn = np.asarray(drawn).reshape(3, 3, 3, 3, 8, 8).transpose(0, 1, 4, 2, 5, 3)
    near(drawn.reshape(3, 24, 24, 3), out.reconstruction.permute(0, 2, 3, 1))
    error = np.abs(drawn.reshape(3, 24, 24, 3) - image).reshape(3, 3, 8, 3, 8, 3).mean((2, 4, 5))
    np.testing.assert_allclose(error.reshape(3, 9)[hidden].mean(), out.loss.item(), rtol=1e-4)


def test_siglip_without_its_head_gives_the_mean_token(tmp_path):
    model = make("SiglipVisionModel", vision_use_head=False)
    model.save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    near(ours(loaded, images()).pooled, theirs(model, images()).last_hidden_state.mean(1))


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("ViTModel", (40, 40)),
        ("ViTModel", (16, 16)),
        ("CLIPVisionModel", (32, 16)),
        ("SiglipVisionModel", (16, 32)),
    ],
)
def test_positions_are_interpolated_as_transformers_does(tmp_path, kind, size):
    model = make(kind)
    model.save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    with pytest.raises(ValueError, match=r"interpolate=True"):
        ours(loaded, images(*size))
    expected = theirs(model, images(*size), interpolate_pos_encoding=True)
    found = ours(loaded, images(*size), interpolate=True)
    near(found.pooled, expected.pooler_output)
    near(found.tokens, expected.last_hidden_state[:, int(kind[0] != "S") :])
    with pytest.raises(ValueError, match="whole number of patches"):
        ours(loaded, images(20, 24), interpolate=True)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("ViTModel", published("vit")),
        ("ViTModel", published("vit", pooling="class", activation="relu", qkv_bias=False)),
        ("CLIPVisionModel", published("clip")),
        ("CLIPVisionModelWithProjection", published("clip", projection=6)),
        ("SiglipVisionModel", published("siglip")),
        ("SiglipVisionModel", published("siglip", pooling="mean")),
    ],
)
def test_a_saved_tower_opens_in_transformers_strictly(tmp_path, kind, config):
    sizes = dict(width=24, depth=2, heads=4, mlp_width=40, image_size=(24, 24), patch_size=8)
    config = VitConfig(**{**config.__dict__, **sizes})
    image = images()
    variables = jax.jit(lambda x: Vit(config).init(jax.random.key(0), x, train=False))(image)
    rng = np.random.default_rng(0)  # as made, biases are zero and norms one
    variables = jax.tree.map(lambda x: np.float32(x + 0.3 * rng.normal(size=x.shape)), variables)
    pixels = Pixels((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")
    save_vit(tmp_path, config, variables, pixels)
    loaded = load_vit(tmp_path)
    assert loaded.config == config and loaded.pixels == pixels
    jax.tree.map(np.testing.assert_array_equal, loaded.variables, variables)
    pooler = {"add_pooling_layer": False} if config.pooling == "class" and kind[0] == "V" else {}
    model, told = getattr(transformers, kind).from_pretrained(
        tmp_path, output_loading_info=True, **pooler
    )
    assert not any(told[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")), told
    expected = theirs(model.eval(), image)
    found = ours(loaded, image)
    near(found.tokens, expected.last_hidden_state[:, int(kind[0] != "S") :])
    if "Projection" in kind:
        near(found.pooled, expected.image_embeds)
    elif config.pooling != "mean" and not pooler:
        near(found.pooled, expected.pooler_output)


def test_a_sparse_config_means_the_published_sizes():
    from elm_jax.convert.vit_config import from_hf

    # As google/siglip-base-patch16-224 has it: whatever is the class's default is left out.
    values = {"model_type": "siglip", "text_config": {}, "vision_config": {}}
    assert from_hf(values, set(), source="test") == published("siglip")
    for kind in ("vit", "clip", "siglip"):
        own = {"vit": "ViTConfig", "clip": "CLIPVisionConfig", "siglip": "SiglipVisionConfig"}[kind]
        full = getattr(transformers, own)().to_dict()
        names = {"pooler.dense.weight"}
        assert from_hf(full, names, source="test") == published(kind)


def test_narrow_weights_are_widened_and_bfloat16_compute_is_near(tmp_path):
    make("CLIPVisionModel").to(torch.float16).save_pretrained(tmp_path)
    loaded = load_vit(tmp_path)
    assert loaded.report.widened and all(
        v.dtype == np.float32 for v in flatten(loaded.variables).values()
    )
    wide, narrow = ours(loaded, images()), ours(loaded, images(), jnp.bfloat16)
    assert narrow.pooled.dtype == jnp.bfloat16
    scale = np.abs(wide.pooled).max()
    assert np.abs(np.float32(narrow.pooled) - wide.pooled).max() < 0.1 * scale


def changed(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_is_not_built_or_does_not_fit_is_refused_by_name(tmp_path):
    make("ViTModel").save_pretrained(tmp_path)
    changed(tmp_path, hidden_act="hardswish")
    with pytest.raises(VitConfigError, match="hardswish"):
        load_vit(tmp_path)
    changed(tmp_path, hidden_act="gelu", num_channels=1)
    with pytest.raises(VitConfigError, match="num_channels is 1"):
        load_vit(tmp_path)
    changed(tmp_path, num_channels=3, num_hidden_layers=3)
    with pytest.raises(ConvertError, match="layer_2/attention/query/kernel: missing"):
        load_vit(tmp_path)
    changed(tmp_path, num_hidden_layers=1)
    with pytest.raises(ConvertError, match=r"encoder\.layer\.1\.attention"):
        load_vit(tmp_path)
    changed(tmp_path, model_type="resnet")
    with pytest.raises(VitConfigError, match="model_type is 'resnet'"):
        load_vit(tmp_path)
    changed(tmp_path, model_type="vit", num_hidden_layers=2, patch_size=[8, 4])
    with pytest.raises(VitConfigError, match="only squares"):
        load_vit(tmp_path)
    with pytest.raises(FileNotFoundError, match="no Hugging Face model directory"):
        load_vit(tmp_path.parent / "nothing")


def test_pixels_are_normalised_as_the_folder_s_preprocessor_says(tmp_path):
    processor = transformers.CLIPImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 3])
    assert read_pixels(tmp_path, "clip")[0] == PUBLISHED_PIXELS["clip"]
    processor.save_pretrained(tmp_path)
    found, where = read_pixels(tmp_path, "clip")
    assert found == Pixels((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), "bicubic")
    assert where.endswith("preprocessor_config.json")
    path = tmp_path / "preprocessor_config.json"
    values = json.loads(path.read_text())
    for wrong, match in [
        ({"rescale_factor": 1.0}, "rescale_factor=1.0"),
        ({"image_std": [1, 1, 0]}, "three colours"),
        ({"resample": 1}, "resample is 1"),
    ]:
        path.write_text(json.dumps(values | wrong))
        with pytest.raises(VitConfigError, match=match):
            read_pixels(tmp_path, "clip")
    path.rename(tmp_path / "other.json")
    whole = {"image_processor": values | {"do_normalize": False}}
    (tmp_path / "processor_config.json").write_text(json.dumps(whole))
    assert read_pixels(tmp_path, "clip")[0].std == (1.0, 1.0, 1.0)


def test_impossible_towers_are_refused():
    for wrong, match in [
        (dict(patch_size=15), "whole number of patches"),
        (dict(heads=5), "no multiple of 5"),
        (dict(pooling="attention"), r"known: \('dense', 'class', 'mean'\)"),
        (dict(projection=3), "only 'clip'"),
        (dict(sise=3), r"unknown \['sise'\]"),
    ]:
        with pytest.raises(VitConfigError, match=match):
            published("vit", **wrong)
    with pytest.raises(VitConfigError, match="known"):
        published("resnet")
