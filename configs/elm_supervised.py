"""A classifier on ELM's encoder, from scratch (the original's SV): what pretraining is compared to.

    python -m elm_jax.main --config configs/elm_supervised.py --config.data.dir=SHARDS \
        --config.labels.name=abnormal --workdir runs/NAME

Encoder of Gijsen & Ritter (ICML 2025) and its classification head: Linear 256, BatchNorm, ReLU,
Linear; trained on windows with their recording's label (events: their own). After every epoch the
loss of the validation people is measured; the rate falls on a plateau, the run stops early, and the
best checkpoint is tested: recordings (mean of their windows' probabilities) of the test people.

Other labels: ``--config.labels.kind=multiclass`` (classes are read from the data), ``regression``,
or ``multilabel`` with ``--config.labels.classes='("slowing", "spikes")'``. A label budget is
``--config.sampler.budget_share=0.01`` or ``budget_people=20``.

Published: head, Adam, BCE or cross-entropy, factor 0.2, patience 10, best by validation loss.
*Not* published: rate, batch size, epochs and decay of such runs: 1e-3, 256, at most 100, and the
pretraining's 1e-4 are our choice. Hardware, time and scores: not measured at this size.

Departures: the original's run ends as soon as the rate was first reduced, so its reduction never
acts; here it acts after 5 epochs, and the run ends 11 epochs after the best (its count). Training
is in float32, not mixed precision. ``:demo`` is a small model on simulated EEG, ``:smoke`` is two
steps.
"""

from ml_collections import ConfigDict

from configs import common

POOLS_5S = (3, 2, 2, 2)


def plateau(total_epochs: float) -> dict:
    """A constant rate that falls on a plateau of the validated value."""
    return common.schedule(warmup_epochs=0.0, total_epochs=total_epochs, per="step", floor=0.0) | {
        "kind": "plateau",
        "factor": 0.2,
        "patience_epochs": 5.0,
        "min_change": 1e-4,
    }


def recipe() -> ConfigDict:
    """The recipe, not locked, for others to start from."""
    config = ConfigDict()
    config.mode = "train"  # train | evaluate
    config.seed = 0
    # What models compute in: float32 | bfloat16. Parameters, optimiser, sums of normalisation and
    # softmax, batch statistics, the vectors that a model gives and all losses stay in float32.
    config.dtype = "float32"
    config.init_from = ""  # a finished model whose parameters to start from
    config.init_rules = ((".*", "load"),)  # its tensors: path -> load | fresh
    config.resume = ""  # a workdir to go on from when this one is empty

    # -- data: a directory that `python -m data_prep.prepare` wrote; empty: the demo corpus
    config.data = dict(
        dir="", normalisation="corpus", demo_people=96, reader_threads=2, prefetch_batches=2
    )
    config.data.demo_split = common.DEMO_SPLIT
    config.data.evaluation_sets = ()  # prepared directories or lists of ids: overlaps are told
    config.signal = common.elm_signal(window_s=5.0)
    config.text = None  # no reports are read
    config.labels = dict(
        name="abnormal",
        kind="binary",  # binary | multiclass | multilabel | regression
        classes=(),  # multiclass: in the order of the outputs, or as found; multilabel: the labels
    )
    config.sampler = dict(
        name="windows",
        windows_per_batch=256,
        windows_per_recording=0,  # at most that many an epoch; 0: all
        balance="none",  # classes: as many windows of each
        budget_share=1.0,  # of the training people, whose labels may be used
        budget_people=0,  # or that many of them
        budget_seed=0,
    )

    # -- model and loss
    config.encoder = dict(
        name="conv_eeg",
        kernels=((4, 32, 1), (8, 32, 1), (16, 32, 1)),  # size, width, stride of each branch
        pool_sizes=POOLS_5S,
        dropout=0.0,
        res_dropout=0.0,
    )
    config.objective = dict(
        name="classify",
        labels=None,  # config.labels with all that the training data say of them
        hidden=(256,),
        dropout=0.0,
        class_weight=(),  # or "balanced"
        label_smoothing=0.0,
        signal_projection=None,  # sizes: the classifier then reads the projection
        encoder_frozen=False,
    )

    # -- optimiser
    config.optimizer = dict(
        name="adam",
        rate=1e-3,
        weight_decay=1e-4,
        schedule=plateau(100.0),
        rules=((".*", "train"),),
    )
    config.validation = dict(
        split="valid", every_epochs=1.0, monitor="loss", mode="min", patience_epochs=11.0
    )

    # -- devices, memory, logging, checkpoints
    config.mesh = dict(data=-1, fsdp=1, model=1)
    config.sharding = ((".*", ()),)  # parameter path -> axes; first full match wins
    # In how many parts the models see a batch, one after the other, for less memory. The loss stays
    # that of the whole batch; BatchNorm's statistics are those of a part (elm_jax/accumulate.py).
    config.microbatches = 1
    config.remat = "none"  # what the backward pass computes again: none | full | dots
    config.profile = ""  # "10:12": a profiler's trace of these steps; also --profile
    config.log_every_steps = 10
    config.checkpoint = dict(every_epochs=1.0, keep_last=1, keep_best=1, use="best")
    config.checkpoint.every_minutes = common.optional_float()  # beside: None, or minutes at most

    # -- evals, after training, on the best checkpoint
    config.evals = dict(
        rows_per_batch=512,
        trained_on_people="refuse",  # or "mark": what to do where a trained-on person is scored
        classification=dict(name="classification", split="test", labels=None, resamples=1000),
    )
    return config


def small(**changes: object) -> dict:
    """What ``:demo`` changes in the recipes of labels, and ``changes``."""
    return (
        dict(
            sampler=dict(name="windows", windows_per_batch=128, windows_per_recording=40),
            optimizer=dict(schedule=dict(total_epochs=12.0, patience_epochs=2.0)),
            validation=dict(patience_epochs=4.0),
        )
        | changes
    )


def smallest(**changes: object) -> dict:
    """What ``:smoke`` changes beside: two steps."""
    steps = dict(warmup_epochs=None, warmup_steps=0, total_epochs=None, total_steps=2)
    return (
        dict(
            data=dict(demo_people=12),
            sampler=dict(name="windows", windows_per_batch=8, windows_per_recording=2),
            optimizer=dict(schedule=steps),
            log_every_steps=1,
            evals=dict(rows_per_batch=32),
        )
        | changes
    )


def encoder_of(width: int) -> dict:
    """A narrow encoder, for CPUs."""
    kernels = tuple((size, width, 1) for size in (4, 8, 16))
    return dict(name="conv_eeg", kernels=kernels, pool_sizes=POOLS_5S, dropout=0.0, res_dropout=0.0)


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = recipe()
    config.demo = small(encoder=encoder_of(16))
    return common.finish(config, arg, smallest(encoder=encoder_of(2)))
