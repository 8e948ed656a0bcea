"""Every objective at once: tiny models side by side, so that one compiled step covers all."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from masked_tiny import CHANNELS as ELECTRODES
from masked_tiny import tiny_masked, tiny_windows
from objectives.test_classify import tiny_classifier
from tiny_model import CHANNELS, tiny_batch, tiny_objective

from elm_jax.data.targets import Target
from elm_jax.losses import STYLES
from elm_jax.masked_objectives import masked_recon
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.flat_mlp import FlatMlp
from elm_jax.models.heads import Classifier, PairHead
from elm_jax.models.vit1d import ViT1d
from elm_jax.objectives.classify import Classify
from elm_jax.objectives.multi_instance import (
    MultiInstance,
    OrthogonalAlignment,
    SoftTargetContrast,
)
from elm_jax.objectives.paired_contrast import Merl, PairedContrast, Siglip
from elm_jax.objectives.relative_position import SIDES, RelativePosition

COLUMNS = {  # of the classifiers' shared logits
    "binary": slice(0, 1),
    "multiclass": slice(0, 3),
    "multilabel": slice(1, 3),
    "regression": slice(2, 3),
}


# Mild ones: rounding in float32 is compared beside that of all other losses, which are added.
LOGIT = {"log_scale": 1.0, "bias": -3.0}
PAIRED = {"clip": PairedContrast, "siglip": Siglip, "merl": Merl}
MASKED = ("masked_dual", "dual_aligned")  # of which the second embeds for both
STEPS = 5


class Trunk(Classify):
    """Two towers and a classifier in one: what embeds for all objectives."""

    def __post_init__(self):
        pass  # a classifier alone has no text


def trunk():
    """The smallest of each: what is compared is how it is computed, not what it learns."""
    towers = tiny_objective(tower=True)
    return Trunk(
        encoder=ConvEeg(CHANNELS, kernels=((3, 4, 1),), n_blocks=1, pool_sizes=(2,)),
        signal_projector=towers.signal_projector,
        text_projector=towers.text_projector,
        text_tower=towers.text_tower,
        pooling=towers.pooling,
        classifier=Classifier((5, 3)),
        target=Target("x", "multiclass", ("a", "b", "c")),
    )


def masked(name="dual_aligned"):
    """Three summary tokens, so that no parameter is as long as the batch."""
    settings = dict(momentum=(0.5, 1.0), total_steps=STEPS)
    if name == "dual_aligned":
        settings["projection"] = (32, 4)  # cut by its outputs, as most kernels are
    return tiny_masked(name, channels=ELECTRODES[:8], encoder=dict(summary_tokens=3), **settings)


def siamese():
    """Without dropout, as the others."""
    encoder = FlatMlp(hidden=(6,), outputs=3, batch_norm=True)
    return RelativePosition(encoder=encoder, classifier=PairHead(0.0))


def autoencoder():
    """ST-MEM, the one with several groups of patches; sizes that are no number of rows."""
    sizes = dict(width=6, depth=1, heads=3, head_width=2, mlp_ratio=2.0)
    encoder = ViT1d("st_mem", patch_size=4, **sizes)
    decoder = dict(width=10, depth=1, heads=1)
    return masked_recon(dict(name="masked_recon", decoder=decoder, hidden_share=0.5), encoder)


def scorers():
    """By the name in ``config.objective.name``, a slash and what is varied: whose terms count."""
    return {
        **{f"multi_instance/{s}": tiny_objective(MultiInstance, style=s) for s in STYLES},
        "soft_target_contrast/": tiny_objective(SoftTargetContrast),
        "orthogonal_alignment/": tiny_objective(OrthogonalAlignment),
        **{f"paired_contrast/{k}": tiny_objective(v, temperature=0.3) for k, v in PAIRED.items()},
        **{f"classify/{kind}": tiny_classifier(kind) for kind in COLUMNS},
        **{f"{name}/": masked(name) for name in MASKED},
        "masked_recon/": autoencoder(),
        "relative_position/": siamese(),
    }


@dataclasses.dataclass(frozen=True)
class Together:
    """An objective of all terms, which read the same vectors."""

    dtype: Any = np.float32
    frozen: tuple[str, ...] = ()
    rows_independent: bool = False

    def init(self, key, batch):
        """Constants, which compile in a moment; random numbers of JAX's take seconds."""
        shapes = jax.eval_shape(trunk().init, key, batch)
        own = jax.eval_shape(masked().init, key, _of_masked(batch))
        pairs, pairs_state = jax.eval_shape(siamese().init, key, _of_pairs(batch))
        hiding = jax.eval_shape(autoencoder().init, key, _of_masked(batch))[0]
        rng = np.random.default_rng(0)

        def leaf(path, x):
            if any(name in str(path[-1]) for name in ("scale", "var")):
                return jnp.ones(x.shape, self.dtype)
            std = 1 / np.sqrt(max(1, np.prod(x.shape[:-1]))) if x.ndim > 1 else 0.1
            return jnp.asarray(rng.normal(0, std, x.shape), self.dtype)

        params, state = jax.tree_util.tree_map_with_path(leaf, shapes)
        more, target = jax.tree_util.tree_map_with_path(leaf, own)
        pairs, own = jax.tree_util.tree_map_with_path(leaf, (pairs, pairs_state))
        params = params | {"hiding": jax.tree_util.tree_map_with_path(leaf, hiding)}
        stats = dict(state["batch_stats"]) | {"pairs": own["batch_stats"]}
        target = {"masked": target["target"]}
        logit = {f"logit/{k}": jnp.asarray(x, self.dtype) for k, x in LOGIT.items()}
        params = params | {"logit": logit}
        return params | {"masked": more, "pairs": pairs}, {"batch_stats": stats, "target": target}

    def embed(self, params, model_state, batch, key, *, train):
        out, trunk_state = trunk().embed(params, model_state, batch, key, train=train)
        state = {"batch_stats": {}, "target": model_state["target"]["masked"]}
        more, _ = masked().embed(params["masked"], state, _of_masked(batch), key, train=train)
        out = out | {f"masked/{k}": v for k, v in more.items()}
        stats = trunk_state["batch_stats"]
        near, own = siamese().embed(
            params["pairs"], {"batch_stats": stats["pairs"]}, _of_pairs(batch), key, train=train
        )
        stats = stats | {"pairs": own["batch_stats"]}
        made, _ = autoencoder().embed(params["hiding"], {}, _of_masked(batch), key, train=train)
        out |= {f"hiding/{k}": v for k, v in made.items()}
        out |= {"first": out["projection"], "second": out["projection"][:, ::-1]}
        out |= {k: jnp.broadcast_to(x, len(out["projection"])) for k, x in params["logit"].items()}
        return out | {"near": near["logits"]}, trunk_state | {"batch_stats": stats}

    def terms(self, out, batch):
        found, report = {}, {}
        for name, scorer in scorers().items():
            kind = name.partition("/")[2]
            if name.removesuffix("/") in MASKED:
                own = {k.removeprefix("masked/"): v for k, v in out.items() if "masked/" in k}
                terms, told = scorer.terms(own, batch)
                report |= {f"{name}:{what}": value for what, value in told.items()}
            elif name == "masked_recon/":
                own = {k.removeprefix("hiding/"): v for k, v in out.items() if "hiding/" in k}
                terms, told = scorer.terms(own, batch)
                report |= {f"{name}:{what}": value for what, value in told.items()}
            elif name == "relative_position/":
                terms, _ = scorer.terms({"logits": out["near"]}, batch)
            elif kind in COLUMNS:
                own = {"logits": out["logits"][:, COLUMNS[kind]]}
                terms, _ = scorer.terms(own, batch | {"label": batch[f"label/{kind}"]})
            else:
                terms, _ = scorer.terms(out, batch)
            found |= {f"{name}:{term}": value for term, value in terms.items()}
        return found, report

    def after_update(self, params, model_state, step):
        state = {"batch_stats": {}, "target": model_state["target"]["masked"]}
        state = masked().after_update(params["masked"], state, step)
        return model_state | {"target": {"masked": state["target"]}}


def _of_masked(batch):
    """The batch as the masked objectives read it."""
    own = {k.removeprefix("masked/"): v for k, v in batch.items() if "masked/" in k}
    shared = {k: batch[k] for k in ("signal_valid", "batch_key") if k in batch}
    return own | shared


def _of_pairs(batch):
    """The batch as relative positioning reads it."""
    return {k: batch[k] for k in (*SIDES, "signal_valid", "near") if k in batch}


def batch_of(seed, dtype):
    """16 crops and 16 texts of 4 ragged bags; the last quarter of the rows is padding.

    Of eight devices two then have nothing but padding, and one bag has crops without texts.
    """
    rng = np.random.default_rng(seed)
    batch = tiny_batch(bags=4, crops=4, segments=4, tower=True, seed=seed)
    batch = {k: np.array(v) for k, v in batch.items()}
    bag = np.sort(rng.integers(0, 4, 16)).astype(np.int32)
    windows = tiny_windows(16, channels=ELECTRODES[:8], seed=seed, ids=True)
    batch |= {f"masked/{k}": np.array(windows[k]) for k in ("signal", "channel_id")}
    batch |= {"signal_bag": bag, "text_bag": np.repeat(np.arange(4, dtype=np.int32), 4)}
    batch["signal_valid"][[3, *range(12, 16)]] = False
    batch["text_valid"][[5, *range(12, 16)]] = False
    batch |= {side: rng.normal(size=(16, 3, 5)) for side in SIDES}
    batch["near"] = rng.integers(0, 2, 16).astype(bool) & batch["signal_valid"]
    for kind, columns in COLUMNS.items():
        width = columns.stop - columns.start if kind == "multilabel" else 1
        label = rng.integers(0, 3 if kind == "multiclass" else 2, (16, width)).astype(dtype)
        label[1, 0] = np.nan  # not known
        batch[f"label/{kind}"] = label
    return {k: v.astype(dtype) if v.dtype.kind == "f" else v for k, v in batch.items()}
