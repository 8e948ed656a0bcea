"""DARE-EEG's pretraining: EEGPT's, with two views of every window that must agree.

    python -m elm_jax.main --config configs/dare_pretrain.py:base --config.data.dir=SHARDS \
        --config.data.more='("MORE", "EVEN_MORE")' --workdir runs/NAME

SHARDS as for ``configs/eegpt_pretrain.py``, whose recipe this is but for the loss. Sizes: ``nano``,
``light``, ``small``, ``base``, ``deep`` (without one: base); ``:nano,demo`` and the like. Heads are
those of the released configs (base 4, deep 8); the loader in its README has them exchanged, and no
tensor's shape tells: weights of the other kind need other ``heads`` in ``config.encoder``.

As in the released code: a second mask of the same time patches, whose channels overlap the first's
(intersection over union of 0.2 to 0.8 wanted, 0.143 to 0.846 come out of 12 channels); contrast of
both views at temperature 0.1, weight 0.1; mean square of their tokens, weight 1e-4; 3 GPUs of 72
windows each (216 here: contrast is over all rows of a batch, there over a GPU's).

Ablations: ``--config.objective.alignment=False`` (case 1), ``normalised_patches=False`` (2),
``skip=False`` (3), ``mask_alignment=False`` (4); table in ``elm_jax/objectives/dual_aligned.py``.

Departures, beside those of EEGPT's recipe: the projection of the views is trained, and new channels
of the second view are those of its own time patch.

Hardware and time: not measured at the published sizes. ``:demo`` is minutes on two CPU cores, on
simulated EEG of two montages; ``:smoke`` is two tiny steps.
"""

from ml_collections import ConfigDict

from configs import common, eegpt_pretrain
from elm_jax.models.eeg_sizes import EegSize


def views() -> dict:
    """The objective's settings beside EEGPT's."""
    return dict(
        name="dual_aligned",
        view_overlap=(0.2, 0.8),
        overlap_jitter=0.05,
        temperature=0.1,
        mask_alignment=True,
        mask_alignment_weight=0.1,
        activation_weight=1e-4,
        projection=(512, 256),
        similarity="ring",  # or "dense": the same values, all similarities written down
    )


def recipe(size: EegSize) -> ConfigDict:
    """The recipe of a size, not locked, for others to start from."""
    config = eegpt_pretrain.recipe(size)
    config.objective = config.objective.to_dict() | views()
    config.sampler.windows_per_batch = 216
    return config


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", a size, "demo", "smoke", or a size and one of these."""
    size, demo_size, arg = eegpt_pretrain.parsed(arg, "base", "nano")
    config = recipe(size)
    config.demo = eegpt_pretrain.small(demo_size)
    return common.finish(config, arg, eegpt_pretrain.smallest())
