"""ELM's multiple-instance contrast on ECGs: crops of a recording against sentences of its report.

    python -m data_prep.prepare ptbxl --input PTBXL --window_s 5 --out SHARDS
    python -m elm_jax.main --config configs/ecg_elm.py --config.data.dir=SHARDS --workdir runs/NAME

The objective, the sampler and the optimiser are those of ``configs/elm_5s.py`` (Gijsen & Ritter,
ICML 2025, arXiv 2409.07480, for EEG): the same objects, given other signals and texts. Which
settings suit ECGs is published nowhere: crops of 5 s or 2.5 s, all sentences of a report, and
ResNet-1D-18 as the encoder are choices of ours. Any encoder stands in
(``--config.encoder='{"name": "conv_eeg", ...}'``).

``:demo`` (also where no data are named) trains a small model on simulated ECGs, ``:smoke`` two
steps.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.base(demo_window_s=5.0)
    config.text = common_ecg.text(mode="sentence", freeze_layers=-1)
    config.sampler = dict(
        name="bags", style="x,y", bags_per_batch=128, crops_per_bag=2, segments_per_bag=4
    )

    # -- model and loss
    config.encoder = dict(name="resnet1d", depth=18)
    config.objective = dict(
        name="multi_instance",
        temperature=0.3,
        signal_projection=(512, 256),
        text_projection=(1024, 256),
    )

    # -- optimiser: the rate is multiplied by crops per batch / 256
    config.optimizer = dict(
        name="lars",
        rate=0.02,
        reference_rows=256,
        weight_decay=1e-4,
        momentum=0.9,
        eta=0.001,
        schedule=common.schedule(warmup_epochs=2.0, total_epochs=25.0, per="epoch"),
        rules=((".*", "train"),),
    )
    config.evals = common_ecg.evals()

    small = common.demo_overrides(pool_sizes=(3, 2, 2, 2), crops_per_bag=2)
    config.demo = {key: small[key] for key in ("text", "sampler", "objective", "optimizer")}
    config.demo.encoder = dict(name="resnet1d", depth=18, width=16)
    config.demo.evals = common_ecg.demo_evals()
    smoke = common_ecg.smoke()
    smoke |= dict(
        sampler=dict(
            name="bags", style="x,y", bags_per_batch=4, crops_per_bag=2, segments_per_bag=2
        ),
        encoder=dict(name="resnet1d", blocks=(1, 1), width=4),
    )
    return common.finish(config, arg, smoke)
