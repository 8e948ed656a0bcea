"""SigLIP on ECG images: prints of ECGs against their reports, every pair a yes/no question.

    python -m data_prep.prepare ptbxl --input PTBXL --out SHARDS
    python -m elm_jax.main --config configs/ecg_siglip.py --config.data.dir=SHARDS \
        --workdir runs/NAME

``configs/ecg_clip.py`` with the tower and the loss of SigLIP (Zhai et al., ICCV 2023), as
ECG-Bench's second image encoder has them: google/siglip-base-patch16-224, a sigmoid of every pair
with a learnt temperature (0.1) and bias (-10). What that recipe says of pictures, texts and
departures holds here too, but that SigLIP's preprocessor squeezes the reference's plot into a
square instead of cutting it.

``:demo`` (also where no data are named) trains a small model on simulated ECGs, ``:smoke`` two
steps. Hardware, time and scores at the full size: not measured here, none published.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg
from configs.ecg_clip import contrast, demo, image_encoder, smoke


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.base()
    config.text = common_ecg.text()
    config.sampler = dict(name="pairs", pairs_per_batch=128, equal_texts="together")

    # -- model and loss
    tower = dict(name="siglip", weights="google/siglip-base-patch16-224")
    config.encoder = image_encoder(tower)
    config.objective = contrast("siglip", 768)

    # -- optimiser
    config.optimizer = dict(
        name="adamw",
        rate=1e-4,
        weight_decay=1e-2,
        clip_norm=1.0,
        layer_decay=0.75,  # early layers of published towers move less
        schedule=common.schedule(per="step", warmup_epochs=1.0, total_epochs=20.0),
        rules=((".*", "train"),),
    )
    config.evals = common_ecg.evals()
    config.demo = demo("siglip", "siglip")
    return common.finish(config, arg, smoke("siglip"))
