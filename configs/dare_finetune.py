"""DARE-EEG's fine-tuning on TUAB and TUEV: as EEGPT's, with its stack of convolutions and its MLP.

    python -m elm_jax.main --config configs/dare_finetune.py --config.init_from=MODEL \
        --config.data.dir=SHARDS --config.labels.name=event --config.labels.kind=multiclass \
        --workdir runs/NAME

MODEL and SHARDS as in ``configs/eegpt_finetune.py``; TUAB: ``--config.labels.name=abnormal
--config.labels.kind=binary --config.objective.class_weight='()'
--config.objective.label_smoothing=0.0 --config.optimizer.schedule.total_epochs=50
--config.objective.head.dropout='(0.5, 0.3)'``.

As published for TUEV (``downtasks``): two 1x1 convolutions to 58 channels with BatchNorm and GELU,
a filter of 15 samples each, whole channels dropped at 0.1; an MLP of 128 and 16 on every token
(dropout 0.3 and 0.1), then one linear layer; label smoothing 0.1 and classes weighted by the root
of their rarity; AdamW, rate 5e-4, decay 0.05, 5 epochs of warm-up, cosine to 1e-6, 30 epochs,
batches of 4 x 100, layer decay 0.65 (without effect there, see ``elm_jax/layer_decay.py``).

Departures beside those of ``configs/eegpt_finetune.py``: the 58 outputs of the stack are named as
the 58 electrodes of the pretraining. The released code gives the encoder no names, so that they
are taken for the first 58 of the dictionary; as outputs of a learnt mixing they can be either.

``:demo`` and ``:smoke`` pretrain a small model first where none is named.
"""

from ml_collections import ConfigDict

from configs import common, eegpt_finetune
from elm_jax.signals.profiles import EEGPT58


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = eegpt_finetune.recipe()
    config.labels = dict(name="event", kind="multiclass", classes=())
    config.objective = dict(
        name="classify",
        labels=None,
        adapter=dict(
            name="conv_stack",
            channels=EEGPT58,
            layers=2,
            bias=False,
            norm=True,
            temporal_kernel=15,
            temporal_padding="same",
            dropout=0.1,
            drop_channels=True,
            max_norm=1.0,
        ),
        head=dict(name="mlp", per_token=True, hidden=(128, 16), dropout=(0.3, 0.1)),
        class_weight="balanced_root",
        label_smoothing=0.1,
        encoder_frozen=False,
    )
    config.sampler.windows_per_batch = 400
    config.optimizer.schedule.total_epochs = 30.0
    config.demo = eegpt_finetune.small(
        demo_model="dare_pretrain:demo",
        labels=dict(name="abnormal", kind="multiclass", classes=()),
        objective=dict(adapter=dict(channels=eegpt_finetune.WITH_FPZ)),  # 58 take longer
    )
    return common.finish(config, arg, eegpt_finetune.smallest(demo_model="dare_pretrain:smoke"))
