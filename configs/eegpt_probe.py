"""EEGPT's probe: a frozen encoder, ahead of it a learnt mixing of channels, behind it a linear map.

    python -m elm_jax.main --config configs/eegpt_probe.py --config.init_from=MODEL \
        --config.data.dir=SHARDS --config.labels.name=event --config.labels.kind=multiclass \
        --config.seeds='(0, 1, 2)' --workdir runs/NAME

MODEL is a finished model whose encoder reads channels by name: a workdir of
``configs/eegpt_pretrain.py``, EEGPT's or DARE-EEG's own checkpoint, a folder of braindecode's
EEGPT. SHARDS were prepared with ``--signal eegpt``; they may have other electrodes and any window
of whole patches. Gives scores (balanced accuracy, kappa, weighted F1, AUROC, AUPRC) of the people
in split ``test`` with intervals, a confusion matrix, and over several seeds their mean and spread.

As published (Wang et al., NeurIPS 2024, ``linear_probe_EEGPT_*.py``): a max-norm 1x1 convolution to
the 19 electrodes of the 10-20 system; the two-stage probe (every time patch to 16 numbers, then all
of them to the classes, norms at most 1 and 0.25, dropout 0.5 ahead); AdamW with decay 0.01, one
cycle up to 4e-4 over 100 epochs, batches of 64.

* Without the mixing, each electrode by its own name:
  ``--config.objective.adapter='{"name": "none"}'``.
* One linear layer on all tokens: ``--config.objective.head='{"name": "linear"}'``; a classifier
  with hidden layers: ``'{"name": "mlp", "hidden": (256, 128)}'``; on attention-pooled tokens:
  ``"attention"``.
* Where windows have another rate than the model's, the best is to prepare them at its rate;
  ``samples`` of the adapter stretches them as the released code does.

Departures: the released runs report the best epoch on the *test* people or sessions; here the
epoch is chosen by the loss of the people of split ``valid``. Biases are not decayed. The constraint
on norms is part of the map, not applied to the weights between steps (as braindecode has it).

Hardware and time: not measured at the published size. ``:demo`` and ``:smoke`` pretrain a small
model on simulated EEG first where none is named.
"""

from ml_collections import ConfigDict

from configs import common, elm_supervised
from elm_jax.models.adapters import TEN_TWENTY


def recipe() -> ConfigDict:
    """The recipe, not locked, for others to start from."""
    config = elm_supervised.recipe()
    config.seeds = ()  # (0, 1, 2): a run each, and their scores with mean and spread
    config.demo_model = ""  # RECIPE:ARGUMENT that ':demo' and ':smoke' train where none is named
    config.init_rules = (("encoder/.*", "load"), (".*", "fresh"))
    # "same": the model's rate, band, montage and scale are asked for. "any": what differs is told.
    config.init_signal = "same"
    config.data.normalisation = "model"  # mean and std of the model; or "corpus": of this data
    config.data.demo_signal = "eegpt"
    config.edf = common.edf_folder()  # a folder of EDF files in place of SHARDS
    config.signal = common.signal_of_data()

    # -- model and loss
    config.encoder = dict(name="of_init_from")  # whatever the model has
    config.objective = dict(
        name="classify",
        labels=None,  # config.labels with all that the training data say of them
        adapter=dict(name="conv", channels=TEN_TWENTY, max_norm=1.0),
        head=dict(name="two_stage", hidden=16, dropout=0.5, max_norm=(1.0, 0.25)),
        class_weight=(),  # or "balanced", or "balanced_root"
        label_smoothing=0.0,
        encoder_frozen=True,
    )

    # -- optimiser
    config.sampler.windows_per_batch = 64
    config.optimizer = dict(
        name="adamw",
        rate=4e-4,
        weight_decay=0.01,
        schedule=common.one_cycle(total_epochs=100.0),
        rules=((".*", "train"),),
    )
    # Not by balanced accuracy: of unequal classes it may not move for many epochs.
    config.validation = dict(split="valid", every_epochs=1.0, monitor="loss", mode="min")
    config.validation.patience_epochs = common.optional_float()  # None: all epochs, as published
    return config


def small(**changes: object) -> dict:
    """What ``:demo`` changes in these recipes, and ``changes``."""
    return (
        dict(
            demo_model="eegpt_pretrain:demo",
            sampler=dict(name="windows", windows_per_batch=64, windows_per_recording=8),
            optimizer=dict(rate=2e-3, schedule=dict(total_epochs=10.0)),
        )
        | changes
    )


def smallest(**changes: object) -> dict:
    """What ``:smoke`` changes beside: two steps."""
    steps = dict(warmup_epochs=None, total_epochs=None, total_steps=2)
    return elm_supervised.smallest(demo_model="eegpt_pretrain:smoke") | (
        dict(optimizer=dict(schedule=steps)) | changes
    )


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = recipe()
    config.demo = small()
    return common.finish(config, arg, smallest())
