"""Functions that recipes share; never shared mutable dicts."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict, config_dict

from data_prep.corpora.demo.prompts import HELD_OUT_PROMPTS
from elm_jax.data.spec import MOMENTS, SignalSpec
from elm_jax.signals.pipeline import ELM_SPEC

# Of the demo corpus's training people (two thirds of all), where a recipe needs validation people.
DEMO_SPLIT = "train=0.75,valid=0.25"


def elm_signal(window_s: float) -> dict[str, Any]:
    """ELM's signal: what a shard set must be for its recipes (mean and std come from the set)."""
    spec = ELM_SPEC.replace(window_s=window_s).to_dict()
    del spec["mean"], spec["std"]
    return spec | {"channels": ELM_SPEC.channels}


def zero_shot(prompts: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Any]:
    """The zero-shot eval of recordings of people never trained on, normal against abnormal."""
    return dict(name="zero_shot", split="test", label="abnormal", prompts=prompts)


def evals() -> dict[str, Any]:
    """What ELM's recipes evaluate after training; each entry names its kind."""
    return dict(
        rows_per_batch=512,
        trained_on_people="refuse",  # or "mark": what to do where a trained-on person is scored
        zero_shot=zero_shot(abnormality_prompts()),
        band_power=dict(name="band_power", train_split="train", split="test", label="abnormal"),
        embedding_map=dict(name="embedding_map", split="test", label="abnormal"),
    )


def abnormality_prompts() -> dict[str, dict[str, tuple[str, ...]]]:
    """Prompts for normal against abnormal, the one question that ELM's paper asks zero-shot."""
    return dict(
        abnormal=dict(
            positive=(
                "This is an abnormal EEG recording.",
                "The EEG shows pathological activity.",
                "Abnormal EEG due to slowing or epileptiform discharges.",
            ),
            negative=(
                "This is a normal EEG recording.",
                "The EEG shows no pathological activity.",
                "Normal EEG awake and asleep without slowing or epileptiform discharges.",
            ),
        )
    )


def schedule(*, per: str, floor: float = 0.01, **durations: float) -> dict[str, Any]:
    """A warm-up and cosine schedule; ``warmup_`` and ``total_`` in one of three units each."""
    names = [f"{d}_{u}" for d in ("warmup", "total") for u in ("epochs", "steps", "samples")]
    unknown = set(durations) - set(names)
    if unknown:
        raise ValueError(f"schedule: unknown {sorted(unknown)}; known: {names}")
    return dict(per=per, floor=floor) | {name: durations.get(name) for name in names}


def sharded_text_tower() -> tuple[tuple[str, Any], ...]:
    """``config.sharding`` for a text tower that learns, cut over ``model``; the rest over ``fsdp``.

    As in Megatron-LM (Shoeybi et al. 2019): of two products that follow each other the first is cut
    by its outputs and the second by its inputs, so that devices exchange one sum for both. Without
    a ``model`` axis of its own to cut by, ``config.sharding = ((".*", "fsdp"),)`` does.
    """
    return (
        (r"text_tower/.*/(query|key|value|up)/kernel", ("fsdp", "model")),
        (r"text_tower/.*/(query|key|value|up)/bias", ("model",)),
        (r"text_tower/.*/(out|down)/kernel", ("model", "fsdp")),
        (r"(signal|text)_projector/hidden/kernel", ("fsdp", "model")),
        (r"(signal|text)_projector/out/kernel", ("model", "fsdp")),
        (".*", "fsdp"),  # each along its largest dimension that fsdp divides; small ones are whole
    )


def signal_of_data() -> dict[str, Any]:
    """Whatever signal the prepared directory holds; single fields may be asked for."""
    names = [field.name for field in dataclasses.fields(SignalSpec)]
    wanted = (name for name in names if name not in MOMENTS)
    return {name: config_dict.placeholder(object) for name in wanted}


def edf_folder() -> dict[str, Any]:
    """What a recipe asks of a folder of one's own EDF files; prepared where ``dir`` is named.

    Each entry is an option of ``python -m data_prep.prepare edf_folder`` (or ``edf_events``).
    """
    return dict(
        dir="",  # the folder, of EDF or BDF files at any depth
        labels="",  # a table: a column file, recording or person; the others are labels
        people="",  # a table: file, person. Without it every file is a person of its own
        event_labels="",  # in place of labels, annotations in the files: "T1=left,T2=right"
        event_offset_s=optional_float(),  # windows begin so long after the annotation
        channels="",  # "Fp1,Fp2,..."; empty: all that models which read names know
        rename="",  # a YAML: name in the files -> electrode
        signal="eegpt",  # rate, band, window, scale and montage: those of the model
        sfreq_hz=optional_float(),
        window_s=optional_float(),
        highpass_hz=optional_float(),
        lowpass_hz=optional_float(),
        notch_hz="",  # "50"
        split="",  # "train=0.6,valid=0.2,test=0.2", shares of people
        split_by="person",  # "recording": one person's study, no word about other people
        valid_recordings="",  # with split_by="recording": "*R08"
        test_recordings="",
        test_people="",
        more=(),  # any other options, word by word: ("--drop_start_s=10",)
    )


def one_cycle(*, total_epochs: float, rise_share: float = 0.2) -> dict[str, Any]:
    """The schedule of the published probes: ``torch.optim.lr_scheduler.OneCycleLR``'s defaults.

    From 1/25 of the rate up to it and down to 1/250,000, Adam's b1 from 0.95 to 0.85 and back.
    """
    own = dict(kind="one_cycle", rise_share=rise_share, start=0.04, momentum=(0.95, 0.85))
    return schedule(per="step", floor=4e-6, total_epochs=total_epochs) | own


def finished(mode: str) -> ConfigDict:
    """What every recipe of a finished model has; the recipe adds its own section and evals.

    End such a recipe with ``return common.finish(config, arg, common.finished_smoke())``. ``:demo``
    and ``:smoke`` make a corpus and a small model where none is named.
    """
    config = ConfigDict()
    config.mode = mode  # evaluate | embed | query
    config.seed = 0
    config.model = ""  # a workdir, a released .pt, a saved folder, a Hugging Face id
    config.model_yaml = ""  # settings of a released file, if they do not lie beside it
    config.text_tower = ""  # where a frozen text tower lies, if not where it lay in training
    config.demo_model = ""  # RECIPE:ARGUMENT that ':demo' and ':smoke' train where none is named

    # -- data: a directory that `python -m data_prep.prepare` wrote, for the model's signal
    config.data = dict(
        dir="",
        normalisation="model",  # as in the model's training; corpus | none | recording | window
        demo_people=96,
        demo_split=DEMO_SPLIT,
        reader="tf_data",  # or "threads": the same batches without TensorFlow and its memory
        reader_threads=2,
    )
    # How reports are read; None: as in the model's training.
    config.text = dict.fromkeys(
        ("mode", "headings", "other_headings", "include_heading", "prefix"),
        config_dict.placeholder(object),
    )
    config.mesh = dict(data=-1, fsdp=1, model=1)
    config.evals = dict(rows_per_batch=512, trained_on_people="refuse")  # refuse | mark
    config.demo = dict(demo_model="elm_5s:demo")
    return config


def optional_float() -> config_dict.FieldReference:
    """None, which the command line may replace by a number."""
    return config_dict.placeholder(float)


def finished_smoke() -> dict[str, Any]:
    """The smallest model and corpus that a finished model's recipe runs on."""
    return dict(demo_model="elm_5s:smoke", data=dict(demo_people=8), evals=dict(rows_per_batch=32))


def demo_overrides(*, pool_sizes: tuple[int, ...], crops_per_bag: int) -> dict[str, Any]:
    """A model small enough for two CPU cores, text tower included, trained from scratch."""
    return dict(
        text=dict(tower=small_text_tower()),
        sampler=dict(
            name="bags",
            style="x,y",
            bags_per_batch=16,
            crops_per_bag=crops_per_bag,
            segments_per_bag=6,
        ),
        encoder=dict(
            name="conv_eeg",
            kernels=((4, 16, 1), (8, 16, 1), (16, 16, 1)),
            pool_sizes=pool_sizes,
            dropout=0.0,
            res_dropout=0.0,
        ),
        objective=dict(
            name="multi_instance",
            temperature=0.3,
            signal_projection=(128, 64),
            text_projection=(128, 64),
        ),
        optimizer=dict(
            name="adamw",
            rate=2e-3,
            weight_decay=1e-2,
            schedule=schedule(warmup_epochs=1.0, total_epochs=24.0, per="step"),
            rules=((".*", "train"),),
        ),
        checkpoint=dict(every_epochs=6.0),
        # Questions about every simulated finding, in wordings that no report of the corpus uses.
        evals=dict(zero_shot=zero_shot(HELD_OUT_PROMPTS)),
    )


def smoke_overrides(*, pool_sizes: tuple[int, ...]) -> dict[str, Any]:
    """Two steps of a tiny model: shows that the recipe runs, nothing else."""
    return dict(
        data=dict(demo_people=8),
        sampler=dict(
            name="bags", style="x,y", bags_per_batch=4, crops_per_bag=2, segments_per_bag=2
        ),
        encoder=dict(
            name="conv_eeg",
            kernels=((4, 2, 1), (8, 2, 1), (16, 2, 1)),
            pool_sizes=pool_sizes,
            dropout=0.0,
            res_dropout=0.0,
        ),
        optimizer=dict(
            schedule=dict(warmup_epochs=None, warmup_steps=1, total_epochs=None, total_steps=2)
        ),
        log_every_steps=1,
        evals=dict(rows_per_batch=32),
    )


def paired(
    config: ConfigDict, arg: str, objective: Mapping[str, Any], *, pairs_per_batch: int
) -> ConfigDict:
    """A recipe of bags (as ``get_config()`` gives it) with a loss of crop-segment pairs instead.

    Args:
      config: the recipe.
      arg: as of :func:`finish`.
      objective: name of the loss and its own settings; both projections stay those of ``config``.
      pairs_per_batch: pairs in a batch; the demo has 256 and the smoke run 8.
    """

    def pairs(n: int) -> dict[str, Any]:
        return dict(name="pairs", pairs_per_batch=n)

    def like(bags: ConfigDict) -> dict[str, Any]:
        sizes = ("signal_projection", "text_projection")
        return dict(objective) | {size: bags[size] for size in sizes}

    demo = dict(sampler=pairs(256), objective=like(config.demo.objective))
    own = dict(sampler=pairs(pairs_per_batch), objective=like(config.objective), demo=demo)
    apply_overrides(config, own)
    smoke = smoke_overrides(pool_sizes=config.encoder.pool_sizes) | dict(sampler=pairs(8))
    return finish(config, arg, smoke)


def _merge(target: ConfigDict, changes: Mapping[str, Any], path: str) -> None:
    for key, value in changes.items():
        if key not in target:
            raise KeyError(f"overrides name {path}{key}, which the config does not have")
        # A named kind (an encoder, a text tower) comes with its own keywords: replaced whole.
        if isinstance(value, Mapping) and "name" not in value:
            _merge(target[key], value, f"{path}{key}.")
        else:
            with target.ignore_type():
                target[key] = ConfigDict(value) if isinstance(value, Mapping) else value


def small_text_tower() -> dict[str, Any]:
    """A text tower of the demo's size, learnt from scratch with its vocabulary."""
    return dict(
        name="scratch_bert", width=64, depth=2, heads=4, vocab_size=1000, dropout=0.0,
        pooling="mean",
    )  # fmt: skip


def apply_overrides(config: ConfigDict, changes: Mapping[str, Any]) -> None:
    """Writes nested ``changes`` over a config; a mapping with a ``name`` is replaced whole.

    Raises:
      KeyError: an override of something that the config does not have.
    """
    with config.unlocked():
        _merge(config, changes, "config.")


def finish(config: ConfigDict, arg: str, smoke: Mapping[str, Any]) -> ConfigDict:
    """Applies the recipe's own ``demo`` and then ``smoke`` overrides if ``arg`` asks; locks.

    Raises:
      ValueError: an unknown ``arg``.
    """
    if arg not in ("", "demo", "smoke"):
        raise ValueError(f"the config's argument after ':' is {arg!r}; known: 'demo', 'smoke'")
    if arg in ("demo", "smoke"):
        apply_overrides(config, config.demo.to_dict())
    if arg == "smoke":
        apply_overrides(config, smoke)
    return config.lock()
