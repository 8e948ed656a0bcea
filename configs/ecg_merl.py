"""MERL: ECGs against their reports, and against a second view of themselves (ICML 2024).

    python -m data_prep.prepare mimic_iv_ecg --input MIMIC_IV_ECG --out SHARDS
    python -m elm_jax.main --config configs/ecg_merl.py --config.data.dir=SHARDS --workdir runs/NAME

Liu et al., arXiv 2403.06659. ResNet-1D-18 with attention pooling; contrast with the report
(temperature 0.07, both directions) and of two dropouts of the ECG's own vector. Scores in the
paper, zero-shot by enriched prompts, macro AUROC over six sets: 75.2 (trained on MIMIC-IV-ECG). Not
trained at that size here; README.md has what came out of 353 records of PTB-XL, by
``benchmarks/ecg_ptbxl.py``.

Any prepared directory of ECGs with texts will do: ``prepare ptbxl --ecg_text statements``, a folder
of WFDB records with reports. A frozen text tower, which reads every distinct report once:
``--config.text.tower.freeze_layers=-1 --config.text.tower.path=FOLDER``.

``:demo`` (also where no data are named) trains a small model on simulated ECGs, ``:smoke`` two
steps.

Departures: signals are millivolts scaled by the corpus's mean and standard deviation (there each
record by its own minimum and maximum, which hides its voltage); negatives are global; batch, rate
and epochs are those of the released configuration, of one GPU; texts of up to 512 tokens are read
(there 256). ``sampler.equal_texts="apart"`` is theirs: an ECG with the same report as another is
its negative; "together" makes them positives of each other.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.base()
    config.text = common_ecg.text()
    config.sampler = dict(name="pairs", pairs_per_batch=128, equal_texts="apart")

    # -- model and loss
    config.encoder = dict(name="resnet1d", depth=18)  # 18, 34, 50 or 101
    config.objective = dict(
        name="paired_contrast",
        loss="merl",  # or "clip", "siglip"
        temperature=0.07,
        uni_modal=1.0,  # weight of the contrast between two views of an ECG
        signal_projection=(256,),
        text_projection=(256, 256),
        # "attention" over the encoder's tokens; for transformers "mlp" of its one vector
        signal_head=dict(heads=4, dropout=0.1, pooling="attention"),
    )

    # -- optimiser
    config.optimizer = dict(
        name="adamw",
        rate=1e-3,
        weight_decay=1e-8,
        schedule=common.schedule(per="step", warmup_epochs=0.0, total_epochs=20.0, floor=1e-5),
        rules=((".*", "train"),),
    )
    config.evals = common_ecg.evals()

    config.demo = dict(
        text=dict(tower=common.small_text_tower()),
        sampler=dict(name="pairs", pairs_per_batch=32, equal_texts="together"),
        encoder=dict(name="resnet1d", depth=18, width=16),
        objective=dict(
            name="paired_contrast", loss="merl", temperature=0.07, uni_modal=1.0,
            signal_projection=(64,), text_projection=(64, 64),
            signal_head=dict(heads=4, dropout=0.1, pooling="attention"),
        ),
        optimizer=dict(rate=2e-3, schedule=dict(total_epochs=30.0)),
        evals=common_ecg.demo_evals(),
    )  # fmt: skip
    smoke = common_ecg.smoke()
    smoke |= dict(
        sampler=dict(name="pairs", pairs_per_batch=4, equal_texts="together"),
        encoder=dict(name="resnet1d", blocks=(1, 1), width=4),
    )
    return common.finish(config, arg, smoke)
