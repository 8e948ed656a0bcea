"""EEGPT's pretraining: masked reconstruction, alignment to a momentum encoder (Wang et al. 2024).

    python -m elm_jax.main --config configs/eegpt_pretrain.py:base1 --config.data.dir=SHARDS \
        --config.data.more='("MORE", "EVEN_MORE")' --workdir runs/NAME

SHARDS, MORE, ... were prepared with ``--signal eegpt``; each has a montage of its own, and batches
take turns between them. Sizes of the paper by their names: ``:tiny1``, ``tiny2``, ``tiny3``,
``little``, ``base1``, ``base2``, ``base3``, ``large`` (without one: large, the published model);
``:tiny1,demo`` and the like are a size on the demo's terms.

As in the released code: 8 of 16 patches of 0.25 s and 12 of 58 channels are visible on average;
momentum 0.996 to 1 over the run; AdamW, decay 1e-6 off biases and vectors, one cycle from 2.5e-4 up
to 5e-4 over a fifth of 200 epochs and down to 3.125e-5, Adam's b1 from 0.95 to 0.85 and back
(PyTorch's default for such a cycle); batches of 64.

Watch ``alignment`` and ``reconstruction``, which fall, and ``feature_std`` and ``effective_rank``,
which must not fall to 0 and 1 (the momentum encoder's vectors would have collapsed).

Ablations: ``--config.objective.alignment=False`` (the paper's A), ``normalised_patches=False`` (B),
``skip=False`` (C).

Departures: how many channels and patches are visible is fixed, which of them is random (every token
is seen and asked for as often as published); validation has the same mask in every batch; float32
throughout (``config.dtype`` switches to bfloat16).

Hardware and time: not measured at the published sizes (the paper: 8 RTX 3090, 16-bit). ``:demo`` is
minutes on two CPU cores, on simulated EEG of two montages; ``:smoke`` is two tiny steps.
"""

from ml_collections import ConfigDict, config_dict

from configs import common
from elm_jax.models.eeg_sizes import SIZES, EegSize

# Two referential montages of different sizes, for the demo.
DEMO_CHANNELS = (
    "",
    "Fp1,Fp2,F3,F4,C3,C4,P3,P4,O1,O2,Fz,Cz,Pz",
)


def sections(size: EegSize) -> dict:
    """The sections of the config that a size decides: ``encoder``, heads of the ``objective``."""
    encoder, predictor, reconstructor = size.depth
    return dict(
        encoder=dict(
            name="eeg_transformer",
            width=size.width,
            depth=encoder,
            heads=size.heads,
            summary_tokens=size.summary_tokens,
            patch_size=64,
            # True: every patch is normalised before it is embedded, as the released code's
            # PatchNormEmbed does. Fresh weights hardly see millivolts: short runs need it.
            patch_norm=False,
            dropout=0.0,
            attention_dropout=0.0,
            drop_path=0.0,
        ),
        # Everything else of both is as in the encoder.
        objective=dict(predictor=dict(depth=predictor), reconstructor=dict(depth=reconstructor)),
    )


def recipe(size: EegSize) -> ConfigDict:
    """The recipe of a size, not locked, for others to start from."""
    config = ConfigDict()
    config.mode = "train"  # train | evaluate
    config.seed = 0
    # What models compute in: float32 | bfloat16. Parameters, optimiser, sums of normalisation and
    # softmax, the vectors that a model gives and all losses stay in float32.
    config.dtype = "float32"
    config.init_from = ""  # a finished model whose parameters to start from
    config.init_rules = ((".*", "load"),)  # its tensors: path -> load | fresh
    config.resume = ""  # a workdir to go on from when this one is empty

    # -- data: directories that `python -m data_prep.prepare --signal eegpt` wrote
    config.data = dict(
        dir="",  # empty: the demo corpus
        more=(),  # further directories, of other montages; batches take turns
        normalisation="none",  # millivolts as they are
        demo_people=48,
        reader_threads=2,
        prefetch_batches=2,
    )
    config.data.demo_signal = "eegpt"
    config.data.demo_channels = DEMO_CHANNELS
    config.data.evaluation_sets = ()  # prepared directories or lists of ids: overlaps are told
    config.signal = common.signal_of_data()
    config.text = None  # no reports are read
    config.sampler = dict(
        name="mixture",
        windows_per_batch=64,
        windows_per_recording=0,  # at most that many an epoch; 0: all
        shift=True,  # windows begin anywhere, elsewhere in every epoch
    )

    # -- model and loss
    parts = sections(size)
    config.encoder = parts["encoder"]
    config.objective = dict(
        name="masked_dual",
        momentum=(0.996, 1.0),  # of the momentum encoder, at the start and at the end
        total_steps=None,  # over which it moves: the run's
        alignment=True,
        skip=True,
        normalised_patches=True,
        **parts["objective"],
    )

    # -- optimiser
    config.optimizer = dict(
        name="adamw",
        rate=5e-4,
        weight_decay=1e-6,
        schedule=one_cycle(200.0),
        rules=((".*", "train"),),
    )
    # '{"split": "valid", "every_epochs": 1.0}': the loss of people who are not trained on.
    config.validation = config_dict.placeholder(object)

    # -- devices, memory, logging, checkpoints
    config.mesh = dict(data=-1, fsdp=1, model=1)
    config.sharding = ((".*", ()),)  # parameter path -> axes; first full match wins
    config.microbatches = 1  # in how many parts the models see a batch, for less memory
    config.remat = "none"  # what the backward pass computes again: none | full | dots
    config.profile = ""  # "10:12": a profiler's trace of these steps; also --profile
    config.log_every_steps = 10
    config.checkpoint = dict(every_epochs=1.0, keep_last=1, keep_best=1, use="last")
    config.checkpoint.every_minutes = common.optional_float()  # beside: None, or minutes at most

    # -- evals: none; probe the model with configs/eegpt_probe.py
    config.evals = dict(rows_per_batch=256, trained_on_people="refuse")
    return config


def one_cycle(total_epochs: float) -> dict:
    """The published cycle: from half the rate up to it and down to a sixteenth."""
    cycle = dict(kind="one_cycle", rise_share=0.2, start=0.5, momentum=(0.95, 0.85))
    return common.schedule(per="step", floor=1 / 16, total_epochs=total_epochs) | cycle


def small(size: EegSize) -> dict:
    """What ``:demo`` changes: a size for CPUs, few steps, and patches normed since they are few."""
    parts = sections(size)
    parts["encoder"]["patch_norm"] = True
    return parts | dict(
        sampler=dict(windows_per_batch=32, windows_per_recording=16),
        optimizer=dict(rate=2e-3, schedule=dict(total_epochs=20.0)),
    )


def smallest() -> dict:
    """What ``:smoke`` changes beside: two steps."""
    steps = dict(total_epochs=None, total_steps=2)
    return sections(EegSize(16, 1, (1, 1, 1), 2)) | dict(
        data=dict(demo_people=8),
        sampler=dict(windows_per_batch=4, windows_per_recording=2),
        optimizer=dict(schedule=steps),
        log_every_steps=1,
    )


def parsed(arg: str, published: str, smallest_size: str) -> tuple[EegSize, EegSize, str]:
    """The size of the recipe and of its demo, and "", "demo" or "smoke".

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
    wanted, small_one = (named * 2 or [published, smallest_size])[:2]
    return SIZES[wanted], SIZES[small_one], "".join(others)


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", a size, "demo", "smoke", or a size and one of these."""
    size, demo_size, arg = parsed(arg, "large", "tiny1")
    config = recipe(size)
    config.demo = small(demo_size)
    return common.finish(config, arg, smallest())
