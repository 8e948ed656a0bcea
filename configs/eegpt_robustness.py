"""How a finished model holds up when channels are missing or noise is added (DARE-EEG's claim).

    python -m elm_jax.main --config configs/eegpt_robustness.py --config.model=MODEL \
        --config.data.dir=SHARDS --config.evals.robustness.labels.name=event --workdir runs/robust

A linear probe of a label is fitted on clean windows of the split train. The windows of the split
test are then damaged: 20 to 80 % of the channels are taken away, or white noise is added at 20 to
-5 dB. The table has the probe's scores and how like their clean selves the vectors still are
(cosine, also after the training windows' mean is subtracted: without that all vectors of a model
may look alike). Run it for two models on the same SHARDS to set them side by side.

MODEL is whatever ``elm_jax.load_pretrained`` takes. A model that reads channels by name (EEGPT,
DARE-EEG) is given fewer channels; any other gets zeros in their place, which the table's note says.

Hardware and time: each damage costs one pass over the windows of the split test and repeat.
Departures: the paper removes channels and adds noise before a fine-tuned classifier; here the
encoder is frozen and the probe linear, so that two encoders are compared and nothing else.

``:demo`` and ``:smoke`` train a small model first where none is named.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="evaluate")
    config.evals.robustness = dict(
        name="robustness",
        labels=dict(name="abnormal", kind="binary", classes=()),  # binary or multiclass
        train_split="train",
        split="test",
        missing=(0.2, 0.4, 0.6, 0.8),  # shares of the channels
        noise_db=(20.0, 15.0, 10.0, 5.0, 0.0, -5.0),
        c=0.01,  # strength of the probe, as scikit-learn has it
        repeats=3,  # draws of channels and noise
        seed=0,
    )
    smoke = common.finished_smoke()
    smoke["evals"] |= dict(robustness=dict(missing=(0.5,), noise_db=(0.0,), repeats=1))
    return common.finish(config, arg, smoke)
