"""CLIP on ECG images: prints of ECGs against their reports, as ECG-Bench trains its CLIP encoder.

    python -m data_prep.prepare ptbxl --input PTBXL --out SHARDS
    python -m elm_jax.main --config configs/ecg_clip.py --config.data.dir=SHARDS --workdir runs/NAME

ECG-Bench (willxxy/ECG-Bench, 2025) goes on training openai/clip-vit-base-patch32 with CLIP's own
loss (Radford et al. 2021) on pictures of ECGs and their reports; it publishes no scores of that
step. Here the picture is drawn on the device in every step (25 mm/s, 10 mm/mV; elm_jax/images):
``image="paper"`` is four columns and a rhythm strip, "paper_12x1" twelve rows, "stacked" the signal
itself as pixels. The tower's weights come from Hugging Face:
``--config.encoder.tower='{"name": "clip", "weights": FOLDER}'``; the log says what was loaded, or
that a tower begins with random weights.

``:demo`` (also where no data are named) trains a small model on simulated ECGs, ``:smoke`` two
steps. Hardware and time at the full size: not measured here.

Departures: the texts' tower is a BERT, half of it frozen, where the reference tunes CLIP's own on
77 tokens; the picture is printed to scale in the tower's own size, where the reference scales down
a plot of ecg_plot and CLIP's preprocessor then cuts off its left and right ends; no random tilts,
blurs and colours; negatives are global; the learnt temperature is kept above 0.01, as published by
CLIP. Rates and sizes of batches are ours; of the reference only defaults of a command line exist.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg

TINY = dict(width=32, depth=2, heads=2, mlp_width=64, patch_size=16)


def image_encoder(tower: dict, **changes: object) -> dict:
    """An encoder of ECG images; ``changes`` of its settings."""
    return (
        dict(
            name="ecg_image",
            image="paper",  # paper | paper_12x1 | stacked
            image_size=224,  # pixels, or (rows, columns)
            interpolate_positions=False,  # of a tower whose weights are of another image size
            tower=tower,
        )
        | changes
    )


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.base()
    config.text = common_ecg.text()
    config.sampler = dict(name="pairs", pairs_per_batch=128, equal_texts="together")

    # -- model and loss
    config.encoder = image_encoder(dict(name="clip", weights="openai/clip-vit-base-patch32"))
    config.objective = contrast("clip", 512)

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
    config.demo = demo("clip", "clip")
    return common.finish(config, arg, smoke("clip"))


def contrast(loss: str, width: int) -> dict:
    """The objective of images and texts; projections of so many numbers."""
    return dict(
        name="paired_contrast",
        loss=loss,
        temperature={"clip": 0.07, "siglip": 0.1}[loss],  # to begin with: it is learnt
        learn_temperature=True,
        signal_projection=(width,),
        text_projection=(width, width),
    ) | ({"bias": -10.0} if loss == "siglip" else {})


def demo(tower: str, loss: str) -> dict:
    """What ``:demo`` changes: towers small enough for two CPU cores, from scratch."""
    sizes = dict(width=64, depth=4, heads=4, mlp_width=128, patch_size=16)
    return dict(
        text=dict(tower=common.small_text_tower()),
        sampler=dict(name="pairs", pairs_per_batch=32, equal_texts="together"),
        encoder=image_encoder(dict(name=tower) | sizes, image_size=192),
        objective=contrast(loss, 64),
        optimizer=dict(rate=1e-3, layer_decay=1.0, schedule=dict(total_epochs=30.0)),
    )


def smoke(tower: str) -> dict:
    """What ``:smoke`` changes beside: two steps of a tiny tower."""
    return common_ecg.smoke() | dict(
        sampler=dict(name="pairs", pairs_per_batch=4, equal_texts="together"),
        encoder=image_encoder(dict(name=tower) | TINY, image_size=96),
    )
