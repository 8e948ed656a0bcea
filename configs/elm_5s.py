"""ELM on 5-second crops and sentences (Gijsen & Ritter, ICML 2025, arXiv 2409.07480).

    python -m elm_jax.main --config configs/elm_5s.py --config.data.dir=SHARDS --workdir runs/NAME

Hardware and time: not measured here at the published size; the paper gives about 9 h on one 24 GB
GPU for 50 epochs (the 60 s recipe). Score in the paper for ELM-MIL (TUAB, zero-shot, recording
level; the crop length of that table was not verified): balanced accuracy 84.3, AUROC 91.6.

Without ``--config.data.dir`` the built-in demo corpus (simulated EEG) and the overrides under
``config.demo`` are used: minutes on two CPU cores. ``:demo`` applies the same overrides to your own
data; ``:smoke`` is two tiny steps.

Departures from the released code: batches hold a recording once and keep that plan (its loader
shuffles the plan away); negatives are those of the global batch; the last text layer's ``[CLS]`` is
computed once per distinct sentence; float32 throughout, where the released runs used automatic
mixed precision (``config.dtype`` switches to bfloat16).
"""

from ml_collections import ConfigDict

from configs import common
from elm_jax.data.sections import DEFAULT_HEADINGS


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = ConfigDict()
    config.mode = "train"  # train | evaluate
    config.seed = 0
    # What models compute in: float32 | bfloat16. Parameters, optimiser, sums of normalisation and
    # softmax, batch statistics, the vectors that a model gives and all losses stay in float32.
    config.dtype = "float32"
    config.init_from = ""  # the workdir of a run whose parameters to start from
    config.resume = ""  # a workdir to go on from when this one is empty

    # -- data: a directory that `python -m data_prep.prepare` wrote; empty: the demo corpus
    config.data = dict(dir="", demo_people=96, reader_threads=2, prefetch_batches=2)
    config.data.evaluation_sets = ()  # prepared directories or lists of ids: overlaps are told
    config.signal = common.elm_signal(window_s=5.0)
    config.text = dict(
        mode="sentence",
        headings=DEFAULT_HEADINGS,  # the sections that are read: names, or "all"
        other_headings=(),  # further headings of your reports, which end a section
        include_heading=True,
        prefix="",
        tower=dict(
            name="pretrained_bert",
            path="ncbi/MedCPT-Query-Encoder",
            pooling="cls",
            freeze_layers=-1,  # -1: the whole tower; n: embeddings and the first n layers
        ),
    )
    config.sampler = dict(
        name="bags", style="x,y", bags_per_batch=80, crops_per_bag=120, segments_per_bag=24
    )

    # -- model and loss
    config.encoder = dict(
        name="conv_eeg",
        kernels=((4, 32, 1), (8, 32, 1), (16, 32, 1)),  # size, width, stride of each branch
        pool_sizes=(3, 2, 2, 2),
        dropout=0.0,
        res_dropout=0.0,
    )
    config.objective = dict(
        name="multi_instance",
        temperature=0.3,
        signal_projection=(512, 256),
        text_projection=(1024, 256),
    )

    # -- optimiser: the rate is multiplied by crops per batch / 256, as published
    config.optimizer = dict(
        name="lars",
        rate=0.02,
        reference_rows=256,
        weight_decay=1e-4,
        momentum=0.9,
        eta=0.001,
        schedule=common.schedule(warmup_epochs=2.0, total_epochs=25.0, per="epoch"),
        rules=((".*", "train"),),
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
    config.checkpoint = dict(every_epochs=1.0, keep_last=2, keep_best=1)
    config.checkpoint.every_minutes = common.optional_float()  # beside: None, or minutes at most

    # -- evals, after training
    config.evals = common.evals()

    # -- what changes when no data is named: a small model on the simulated corpus
    config.demo = common.demo_overrides(pool_sizes=(3, 2, 2, 2), crops_per_bag=6)
    return common.finish(config, arg, common.smoke_overrides(pool_sizes=(3, 2, 2, 2)))
