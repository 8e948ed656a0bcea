"""Names of the image towers' tensors at Hugging Face, and where they are here.

Names are those of files on the hub, without the prefix that a class puts before all of them: the
tower's own class none, one with a head ``vit.``, CLIP and SigLIP ``vision_model.``.
"""

from elm_jax.convert.engine import ConvertRule, Excuse

_DENSE = (("weight", "kernel", "dense"), ("bias", "bias", "same"))
_NORM = (("weight", "scale", "same"), ("bias", "bias", "same"))


def _named(torch: str, ours: str, parts: tuple[tuple[str, str, str], ...]) -> list[ConvertRule]:
    return [ConvertRule(rf"{torch}\.{a}", f"params/{ours}/{b}", how) for a, b, how in parts]


def _dense(torch: str, ours: str) -> list[ConvertRule]:
    return _named(torch, ours, _DENSE)


def _norm(torch: str, ours: str) -> list[ConvertRule]:
    return _named(torch, ours, _NORM)


def _patches(torch: str) -> list[ConvertRule]:
    return [
        ConvertRule(rf"{torch}\.weight", "params/patch_embed/kernel", "image"),
        ConvertRule(rf"{torch}\.bias", "params/patch_embed/bias"),
    ]


_LAYER = r"encoder\.layer\.(\d+)\."
_VIT = [
    ConvertRule(r"embeddings\.cls_token", "params/class_token", "rows"),
    ConvertRule(r"embeddings\.position_embeddings", "params/position_embed", "row"),
    *_patches(r"embeddings\.patch_embeddings\.projection"),
    *_norm(_LAYER + "layernorm_before", "layer_{0}/attention_norm"),
    *_dense(_LAYER + r"attention\.attention\.query", "layer_{0}/attention/query"),
    *_dense(_LAYER + r"attention\.attention\.key", "layer_{0}/attention/key"),
    *_dense(_LAYER + r"attention\.attention\.value", "layer_{0}/attention/value"),
    *_dense(_LAYER + r"attention\.output\.dense", "layer_{0}/attention/out"),
    *_norm(_LAYER + "layernorm_after", "layer_{0}/mlp_norm"),
    *_dense(_LAYER + r"intermediate\.dense", "layer_{0}/mlp/up"),
    *_dense(_LAYER + r"output\.dense", "layer_{0}/mlp/down"),
    *_norm("layernorm", "norm"),
    *_dense(r"pooler\.dense", "pooler"),
]

_LAYERS = r"encoder\.layers\.(\d+)\."
# CLIP's and SigLIP's.
_SHARED = [
    ConvertRule(r"embeddings\.position_embedding\.weight", "params/position_embed"),
    *_patches(r"embeddings\.patch_embedding"),
    *_norm(_LAYERS + "layer_norm1", "layer_{0}/attention_norm"),
    *_dense(_LAYERS + r"self_attn\.q_proj", "layer_{0}/attention/query"),
    *_dense(_LAYERS + r"self_attn\.k_proj", "layer_{0}/attention/key"),
    *_dense(_LAYERS + r"self_attn\.v_proj", "layer_{0}/attention/value"),
    *_dense(_LAYERS + r"self_attn\.out_proj", "layer_{0}/attention/out"),
    *_norm(_LAYERS + "layer_norm2", "layer_{0}/mlp_norm"),
    *_dense(_LAYERS + r"mlp\.fc1", "layer_{0}/mlp/up"),
    *_dense(_LAYERS + r"mlp\.fc2", "layer_{0}/mlp/down"),
    *_norm("post_layernorm", "norm"),
]
_CLIP = [
    ConvertRule(r"embeddings\.class_embedding", "params/class_token"),
    *_norm("pre_layrnorm", "pre_norm"),  # so spelt there
    *_SHARED,
    ConvertRule(r"visual_projection\.weight", "params/projection/kernel", "dense"),
]


def _stacked(part: str, leaf: str, how: str) -> ConvertRule:
    """Query, key and value, one below the other."""
    paths = tuple(f"params/pool/attention/{name}/{leaf}" for name in ("query", "key", "value"))
    return ConvertRule(rf"head\.attention\.{part}", paths, how)


_SIGLIP = [
    *_SHARED,
    ConvertRule(r"head\.probe", "params/pool/probe", "rows"),
    _stacked("in_proj_weight", "kernel", "dense"),
    _stacked("in_proj_bias", "bias", "same"),
    *_dense(r"head\.attention\.out_proj", "pool/attention/out"),
    *_norm(r"head\.layernorm", "pool/norm"),
    *_dense(r"head\.mlp\.fc1", "pool/mlp/up"),
    *_dense(r"head\.mlp\.fc2", "pool/mlp/down"),
]

RULES = {"vit": _VIT, "clip": _CLIP, "siglip": _SIGLIP}
_COUNTS = Excuse(r"embeddings\.position_ids", "a buffer that only counts")
_TEXTS = [
    Excuse(r"text_model\..*|text_projection\.weight", "the text tower: texts have their own here"),
    Excuse(r"logit_scale|logit_bias", "temperature and bias of its loss: the objective's own here"),
    _COUNTS,
]
EXCUSES = {
    "vit": [
        Excuse(r"classifier\.(weight|bias)", "the head of another task"),
        Excuse(r"decoder\.0\.(weight|bias)", "draws masked patches: the head of another task"),
        Excuse(r"embeddings\.mask_token", "stands for a masked patch; none is masked here"),
    ],
    "clip": _TEXTS,
    "siglip": _TEXTS,
}
# Poolings with tensors of their own, and how those are called.
POOLED_BY = ("dense", "attention")
POOLS = r"(pooler|head)\b"
# Prefixes that classes put before the tower's names; what has none of them belongs to the class.
PREFIX = {"vit": "vit.", "clip": "vision_model.", "siglip": "vision_model."}
