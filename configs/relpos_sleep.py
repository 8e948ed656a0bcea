"""Relative positioning on sleep EEG, then sleep staging from the frozen embedding.

    python -m data_prep.prepare sleep_physionet --input SLEEP_EDF --out SHARDS
    python -m elm_jax.main --config configs/relpos_sleep.py --config.data.dir=SHARDS \
        --workdir runs/NAME

Banville, Chehab, Hyvärinen, Engemann and Gramfort (J. Neural Eng. 2021), with the settings of
braindecode's example of it: pairs of 30 s windows at most 60 s or at least 15 min apart, 250 a
recording and epoch; the network of Chambon et al. (2018) with 16 filters, BatchNorm and 100
outputs; Adam, early stopping, the best epoch by validation loss. Then pretext accuracy on the test
people, and a class-balanced logistic regression of sleep stages on the embedding, beside random
weights. The paper's own: ``--config.sampler.pairs_per_recording=2000
--config.sampler.pairs_per_batch=256 --config.optimizer.rate=5e-4``, more epochs.

Any encoder stands in: ``--config.encoder='{"name": "conv_eeg", ...}'``. Any prepared directory
whose recordings are long beside ``tau_neg_s`` will do; without labels drop the staging:
``--config.evals.staging=None``.

``:demo`` (also where no data are named) is this recipe on simulated nights, ``:smoke`` two steps.

Departures from the example: a window is never drawn that lacks a near or a far partner (there it is
an error); the last batch of an epoch is padded, and an epoch's training loss is the mean of its
steps' (there of its pairs); any lower validation loss counts as better (there by one part in
10,000); pretext scores have intervals over people.
"""

from ml_collections import ConfigDict

from configs import common

STAGES = ("W", "N1", "N2", "N3", "R")


def pairs(**changes: object) -> dict:
    """Pairs of windows, as in the example; ``changes`` of its settings."""
    return (
        dict(
            name="relative_position",
            pairs_per_batch=128,
            pairs_per_recording=250,  # an epoch; the paper: 2000
            tau_pos_s=60.0,  # near: windows that begin at most so long after one another
            tau_neg_s=900.0,  # far: at least
            tau_max_s=common.optional_float(),  # far: at most; None: anywhere in the recording
            negatives="same_recording",  # or "other_recording": far is any window of another
        )
        | changes
    )


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = ConfigDict()
    config.mode = "train"  # train | evaluate
    config.seed = 0
    config.dtype = "float32"  # what models compute in: float32 | bfloat16
    config.init_from = ""  # a finished model whose parameters to start from
    config.init_rules = ((".*", "load"),)  # its tensors: path -> load | fresh
    config.resume = ""  # a workdir to go on from when this one is empty

    # -- data: a directory that `python -m data_prep.prepare` wrote; empty: simulated nights
    config.data = dict(dir="", normalisation="recording")  # window | recording | corpus | none
    config.data.update(reader="threads", reader_threads=2, prefetch_batches=2)
    config.data.update(demo_corpus="nights", demo_people=10)  # two nights each
    config.data.demo_hours = common.optional_float()  # asleep; None: as people sleep
    config.data.demo_split = "train=0.6,valid=0.2,test=0.2"
    config.data.evaluation_sets = ()  # prepared directories or lists of ids: overlaps are told
    config.signal = common.signal_of_data()
    config.text = None  # no reports are read
    config.sampler = pairs()

    # -- model and loss
    config.encoder = dict(
        name="sleep_conv",
        filters=16,
        batch_norm=True,
        dropout=0.0,
        outputs=100,  # the embedding's width
    )
    config.objective = dict(name="relative_position", dropout=0.5)

    # -- optimiser
    config.optimizer = dict(
        name="adam",
        rate=5e-3,
        weight_decay=0.0,
        schedule=common.schedule(per="step", warmup_epochs=0.0, total_epochs=25.0, floor=0.0),
        rules=((".*", "train"),),
    )
    config.optimizer.schedule.kind = "constant"
    config.validation = dict(
        split="valid", every_epochs=1.0, monitor="loss", mode="min", patience_epochs=10.0
    )

    # -- devices, memory, logging, checkpoints
    config.mesh = dict(data=-1, fsdp=1, model=1)
    config.sharding = ((".*", ()),)  # parameter path -> axes; first full match wins
    config.microbatches = 1  # in how many parts a batch is seen; BatchNorm's are then a part's
    config.remat = "none"  # what the backward pass computes again: none | full | dots
    config.profile = ""  # "10:12": a profiler's trace of these steps; also --profile
    config.log_every_steps = 10
    config.checkpoint = dict(every_epochs=1.0, keep_last=1, keep_best=1, use="best")
    config.checkpoint.every_minutes = common.optional_float()  # beside: None, or minutes at most

    # -- evals, after training, on the best checkpoint
    config.evals = dict(
        rows_per_batch=128,
        trained_on_people="refuse",  # or "mark": what to do where a trained-on person is scored
        pretext=dict(name="pretext", split="test"),  # pairs of the test people, drawn once
        staging=dict(
            name="probe",
            labels=dict(name="event", kind="multiclass", classes=STAGES),
            inputs=("features", "random_features"),
            splits=("train", "valid", "test"),
            random_networks=3,  # seeds of random weights, whose scores are averaged
            c=1.0,
            also=("train", "valid"),  # answered about as well; those of valid do not train
            hypnograms=1,  # recordings drawn over time, labelled and answered
        ),
        embedding_map=dict(
            name="embedding_map",
            split=("train", "valid", "test"),
            label=("event", "age", "sex"),
            method=("pca", "tsne"),  # and "umap", with pip install 'elm_jax[umap]'
            points="windows",
            classes=STAGES,
        ),
    )
    config.demo = dict(optimizer=dict(schedule=dict(total_epochs=12.0)))
    return common.finish(config, arg, smoke())


def smoke() -> dict:
    """What ``:smoke`` changes: two steps on three nights, of windows that are near enough."""
    steps = dict(warmup_epochs=None, warmup_steps=0, total_epochs=None, total_steps=2)
    return dict(
        data=dict(demo_people=3, demo_hours=0.2, demo_split="train=0.34,valid=0.33,test=0.33"),
        sampler=pairs(pairs_per_batch=8, pairs_per_recording=4, tau_pos_s=60.0, tau_neg_s=90.0),
        encoder=dict(name="sleep_conv", filters=2, batch_norm=True, dropout=0.0, outputs=4),
        optimizer=dict(schedule=steps),
        log_every_steps=1,
        evals=dict(
            rows_per_batch=32, staging=dict(random_networks=1), embedding_map=dict(method=("pca",))
        ),
    )
