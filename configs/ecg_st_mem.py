"""ST-MEM: a masked autoencoder of ECGs, lead by lead (Na et al., ICLR 2024, arXiv 2402.09450).

    python -m data_prep.prepare ptbxl --input PTBXL --window_s 9 --out SHARDS
    python -m elm_jax.main --config configs/ecg_st_mem.py --config.data.dir=SHARDS \
        --workdir runs/NAME

A patch is 0.3 s of one lead (75 samples at 250 Hz, 30 a window of 9 s); three quarters of every
lead's patches are hidden, each lead's and each window's by their own draw; the encoder (``:base``,
85M parameters; ``:small``, 21M) sees the others with two separators a lead and the lead's learnt
vector, and a decoder of 4 blocks, 256 wide, makes the hidden ones lead by lead. The loss is the
mean square of their errors, every patch at mean 0 and variance 1: about 1 where nothing but that is
known. Windows begin anywhere in a recording.

What embeds afterwards is the mean over all patches' tokens. ``configs/ecg_probe.py`` probes it
(``--config.model=runs/NAME``); other recipes start from it, MERL's with the head for transformers:
``--config.init_from=runs/NAME --config.init_rules='(("encoder/.*", "load"), (".*", "fresh"))'
--config.encoder='{"name": "of_init_from"}' --config.objective.signal_head='{"pooling": "mlp"}'``.

Optimiser and schedule are those of masked autoencoders (He et al. 2022): AdamW (0.9, 0.95), decay
0.05 off biases and vectors, 1.5e-4 for 256 windows a batch, 40 of 800 epochs of warm-up, a cosine.

Departures: ECGs are millivolts scaled by the corpus's mean and deviation (there each record by its
own, ``--config.data.normalisation=recording``); the optimiser's settings are those said above, not
the paper's own; leads come in ECG-Bench's order (I, II, III, aVL, aVR, aVF, V1-V6), which
``prepare --lead_order file`` changes.

Hardware and time: not measured at the published sizes. ``:demo`` (also where no data are named) is
a small model on simulated ECGs, ``:small,demo`` the small one on those; ``:smoke`` two tiny steps.
"""

from ml_collections import ConfigDict, config_dict

from configs import common, common_ecg
from elm_jax.models.vit1d import SIZES

WINDOW_S = 9.0  # 30 patches of 75 samples
TINY = dict(width=64, depth=4, heads=2, head_width=32)


def encoder(layout: str, patch_size: int | None, **size: object) -> dict:
    """``config.encoder``."""
    rates = dict(dropout=0.0, attention_dropout=0.0, drop_path=0.0)
    return dict(name="vit1d", layout=layout, patch_size=patch_size, **size) | rates


def objective(**decoder: int) -> dict:
    """``config.objective``; what the decoder is not told it has of the encoder."""
    return dict(
        name="masked_recon",
        decoder=decoder,
        hidden_share=0.75,  # of every group's patches
        normalised_patches=True,  # every patch at mean 0 and variance 1 before it is compared
    )


def recipe(layout: str, patch_size: int | None, size: str) -> ConfigDict:
    """The recipe of a layout and size, not locked."""
    config = common_ecg.base(demo_window_s=WINDOW_S)
    config.data.more = ()  # further directories of the same signal; batches take turns
    config.text = None  # no reports are read
    config.sampler = dict(
        name="mixture",
        windows_per_batch=256,
        windows_per_recording=0,  # at most that many an epoch; 0: all
        shift=True,  # windows begin anywhere, elsewhere in every epoch
    )

    # -- model and loss
    config.encoder = encoder(layout, patch_size, size=size)
    config.objective = objective(width=256, depth=4, heads=4)

    # -- optimiser
    config.optimizer = dict(
        name="adamw",
        rate=1.5e-4,
        reference_rows=256,  # the rate grows with the batch; 0: as it is given
        weight_decay=0.05,
        b2=0.95,
        schedule=common.schedule(per="step", warmup_epochs=40.0, total_epochs=800.0, floor=0.0),
        rules=((".*", "train"),),  # but for positions, which stay sines and cosines
    )
    # '{"split": "valid", "every_epochs": 1.0}': the loss of people who are not trained on.
    config.validation = config_dict.placeholder(object)

    # -- evals: none; probe the model, or fine-tune it
    config.evals = dict(rows_per_batch=64, trained_on_people="refuse")
    return config


def demo(layout: str, patch_size: int | None, size: dict) -> dict:
    """What ``:demo`` changes: a size for CPUs, few epochs."""
    return dict(
        sampler=dict(name="mixture", windows_per_batch=32, windows_per_recording=0, shift=True),
        encoder=encoder(layout, patch_size, **size),
        objective=objective(width=48, depth=2, heads=2),
        optimizer=dict(
            rate=2e-3, reference_rows=0, schedule=dict(warmup_epochs=4.0, total_epochs=40.0)
        ),
    )


def smoke(layout: str, patch_size: int | None) -> dict:
    """What ``:smoke`` changes beside: a smaller size, patches that more windows hold, two steps."""
    sizes = dict(width=8, depth=1, heads=1, head_width=4, mlp_ratio=2.0)
    patch_size = patch_size and 25
    return common_ecg.smoke() | dict(
        sampler=dict(name="mixture", windows_per_batch=4, windows_per_recording=1, shift=True),
        encoder=encoder(layout, patch_size, **sizes),
        objective=objective(width=8, depth=1, heads=1),
    )


def parsed(arg: str) -> tuple[str, dict, str]:
    """The recipe's size, the demo's, and "", "demo" or "smoke".

    Raises:
      ValueError: a word that is neither a size nor one of these, or two of a kind.
    """
    words = [word for word in arg.split(",") if word]
    named = [word for word in words if word in SIZES]
    others = [word for word in words if word not in SIZES]
    if len(named) > 1 or len(others) > 1 or set(others) - {"demo", "smoke"}:
        raise ValueError(
            f"the config's argument after ':' is {arg!r}; known: 'demo', 'smoke', a size "
            f"({', '.join(SIZES)}), or one of the first two and a size, with a comma between"
        )
    return (named or ["base"])[0], dict(size=named[0]) if named else TINY, "".join(others)


def finished(layout: str, patch_size: int | None, arg: str) -> ConfigDict:
    """The recipe of a layout, ``arg`` read and obeyed."""
    size, of_demo, arg = parsed(arg)
    config = recipe(layout, patch_size, size)
    config.demo = demo(layout, patch_size, of_demo)
    return common.finish(config, arg, smoke(layout, patch_size))


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", a size, "demo", "smoke", or a size and one of these."""
    return finished("st_mem", 75, arg)
