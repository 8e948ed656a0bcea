"""DARE-EEG's conv-linear probing: learnt convolutions over channels ahead of a frozen encoder.

    python -m elm_jax.main --config configs/dare_conv_probe.py --config.init_from=MODEL \
        --config.data.dir=SHARDS --config.labels.name=event --config.labels.kind=multiclass \
        --config.seeds='(0, 1, 2)' --workdir runs/NAME

MODEL and SHARDS as in ``configs/eegpt_probe.py``, which differs in what stands ahead: here a stack
of 1x1 convolutions (``ConvHead``), whose channels double up to 256, each filter's norm at most 1.

As published (``downtasks_others/convp_bcic2b.py``): for BCI Competition IV 2b one layer from three
electrodes to seven, ``--config.objective.adapter.channels='("C5", "C3", "C1", "Cz", "C2", "C4",
"C6")' --config.objective.adapter.layers=1 --config.objective.adapter.dropout=0.0``; the two-stage
probe, AdamW with decay 0.01, one cycle up to 5e-4 over 100 epochs, batches of 64. Otherwise three
layers and dropout 0.2, ``ConvHead``'s defaults. Its adaptation of the sampling rate is commented
out in the released code; here ``--config.objective.adapter.samples=1024`` stretches a window.

Departures: the released run divides the signal by ten (its data come in another unit; ours by the
SignalSpec), and reports the best epoch on the test sessions. Here the epoch is chosen on the people
of split ``valid``.

``:demo`` and ``:smoke`` pretrain a small model first where none is named.
"""

from ml_collections import ConfigDict

from configs import common, eegpt_probe
from elm_jax.models.adapters import TEN_TWENTY


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = eegpt_probe.recipe()
    config.objective.adapter = ConfigDict(
        dict(name="conv_stack", channels=TEN_TWENTY, layers=3, dropout=0.2, max_norm=1.0, samples=0)
    )
    config.optimizer.rate = 5e-4
    config.demo = eegpt_probe.small(demo_model="dare_pretrain:demo")
    return common.finish(config, arg, eegpt_probe.smallest(demo_model="dare_pretrain:smoke"))
