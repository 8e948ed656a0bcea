"""MTAE: a masked autoencoder of ECGs that hides stretches of time (Zhang et al., IEEE TIM 2023).

    python -m data_prep.prepare ptbxl --input PTBXL --window_s 9 --out SHARDS
    python -m elm_jax.main --config configs/ecg_mtae.py --config.data.dir=SHARDS --workdir runs/NAME

"MaeFE: Masked Autoencoders Family of Electrocardiogram for Self-Supervised Pretraining and Transfer
Learning", doi 10.1109/TIM.2022.3228267, as ECG-Bench trains it. A patch is 0.3 s of all twelve
leads (75 samples at 250 Hz, 30 a window of 9 s), of which three quarters are hidden; a class token
stands in front, of which nothing is ever asked: what embeds is the mean over the patches' tokens.
Sizes, schedule, what starts from it and the departures are those of ``configs/ecg_st_mem.py``,
whose recipe this is but for the patches (``:small``, ``:base``).

Hardware and time: not measured at the published sizes. ``:demo`` (also where no data are named) is
a small model on simulated ECGs, ``:smoke`` two tiny steps.
"""

from ml_collections import ConfigDict

from configs import ecg_st_mem


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", a size, "demo", "smoke", or a size and one of these."""
    return ecg_st_mem.finished("mtae", 75, arg)
