"""ViT on ECG images: hidden patches of prints made from the rest, as ECG-Bench trains its ViT.

    python -m data_prep.prepare ptbxl --input PTBXL --out SHARDS
    python -m elm_jax.main --config configs/ecg_vit.py --config.data.dir=SHARDS --workdir runs/NAME

ECG-Bench (willxxy/ECG-Bench, 2025) goes on training google/vit-base-patch16-224-in21k by masked
image modelling (SimMIM, Xie et al., CVPR 2022): three quarters of a picture's patches are hidden
and the mean absolute error of their pixels is learnt; neither labels nor texts are read. Then,
here, a probe of the five diagnostic superclasses on the mean of the patches' tokens, beside random
weights: ECG-Bench publishes no scores of this step. Hardware and time at the full size: not
measured here.

``:demo`` (also where no data are named) trains a small model on simulated ECGs, ``:smoke`` two
steps.

Departures: pictures are printed to scale in the tower's own size (elm_jax/images), the reference
squeezes a plot of ecg_plot into a square; exactly three quarters of each image are hidden, there
each patch by itself with that probability; the vector of an ECG is the mean of the last layer's
patch tokens, there the mean over all layers, the class token and the embeddings included. Rates and
sizes of batches are ours; of the reference only defaults of a command line exist.
"""

from ml_collections import ConfigDict, config_dict

from configs import common, common_ecg
from configs.ecg_clip import TINY, image_encoder

SUPERCLASSES = tuple(f"superclass={name}" for name in ("NORM", "MI", "STTC", "CD", "HYP"))


def windows(n: int) -> dict:
    """So many windows a batch, every one once an epoch."""
    return dict(name="mixture", windows_per_batch=n, windows_per_recording=0, shift=False)


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.base()
    config.text = None  # no reports are read
    config.sampler = windows(128)

    # -- model and loss
    weights = "google/vit-base-patch16-224-in21k"
    config.encoder = image_encoder(dict(name="vit", pooling="mean", weights=weights))
    config.objective = dict(name="masked_image", hidden_share=0.75)

    # -- optimiser
    config.optimizer = dict(
        name="adamw",
        rate=1e-4,
        weight_decay=1e-2,
        clip_norm=1.0,
        schedule=common.schedule(per="step", warmup_epochs=1.0, total_epochs=50.0),
        rules=((".*", "train"),),
    )
    # '{"split": "valid", "every_epochs": 1.0}': the loss of people who are not trained on.
    config.validation = config_dict.placeholder(object)

    # -- evals, after training
    config.evals = dict(
        rows_per_batch=64,
        trained_on_people="refuse",  # or "mark": what to do where a trained-on person is scored
        superclass=dict(
            name="probe",
            labels=dict(name="superclass", kind="multilabel", classes=SUPERCLASSES),
            inputs=("features", "random_features"),
            random_networks=3,  # seeds of random weights, whose scores are averaged
            splits=("train", "valid", "test"),
            also=("train", "valid"),  # answered about as well; those of valid do not train
        ),
    )

    sizes = dict(width=64, depth=4, heads=4, mlp_width=128, patch_size=16, pooling="mean")
    config.demo = dict(
        sampler=windows(32),
        encoder=image_encoder(dict(name="vit") | sizes, image_size=192),
        optimizer=dict(rate=1e-3, schedule=dict(total_epochs=20.0)),
    )
    evals = dict(rows_per_batch=8, superclass=dict(random_networks=1))
    smoke = common_ecg.smoke() | dict(
        evals=evals,
        sampler=windows(4),
        encoder=image_encoder(dict(name="vit", pooling="mean") | TINY, image_size=96),
    )
    return common.finish(config, arg, smoke)
