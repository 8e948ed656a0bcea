"""Functions that recipes of ECGs share, beside those of common.py."""

from typing import Any

from ml_collections import ConfigDict

from configs import common
from data_prep.corpora.simulated_ecg.prompts import HELD_OUT_PROMPTS


def base(*, demo_window_s: float = 10.0) -> ConfigDict:
    """What every recipe that trains on ECGs has; it adds its networks, texts and optimiser."""
    config = ConfigDict()
    config.mode = "train"  # train | evaluate
    config.seed = 0
    config.dtype = "float32"  # what models compute in: float32 | bfloat16
    config.init_from = ""  # a finished model whose parameters to start from
    config.init_rules = ((".*", "load"),)  # its tensors: path -> load | fresh
    config.resume = ""  # a workdir to go on from when this one is empty

    # -- data: a directory that `python -m data_prep.prepare` wrote; empty: simulated ECGs
    config.data = dict(dir="", normalisation="corpus")  # corpus | none | recording | window
    config.data.update(reader="threads", reader_threads=2, prefetch_batches=2)
    config.data.update(demo_corpus="ecg", demo_people=400, demo_window_s=demo_window_s)
    config.data.demo_split = ""  # the corpus's own folds
    config.data.evaluation_sets = ()  # prepared directories or lists of ids: overlaps are told
    config.signal = common.signal_of_data()

    # -- devices, memory, logging, checkpoints
    config.mesh = dict(data=-1, fsdp=1, model=1)
    config.sharding = ((".*", ()),)  # parameter path -> axes; first full match wins
    config.microbatches = 1  # in how many parts a batch is seen; BatchNorm's are then a part's
    config.remat = "none"  # what the backward pass computes again: none | full | dots
    config.profile = ""  # "10:12": a profiler's trace of these steps; also --profile
    config.log_every_steps = 10
    config.checkpoint = dict(every_epochs=5.0, keep_last=2, keep_best=1)
    config.checkpoint.every_minutes = common.optional_float()  # beside: None, or minutes at most
    return config


def text(*, mode: str = "report", freeze_layers: int = 6) -> dict[str, Any]:
    """How the texts of ECGs are read: all of them, by MERL's text tower where none is named."""
    return dict(
        mode=mode,  # report | paragraph | sentence
        headings="all",
        other_headings=(),
        include_heading=True,
        prefix="",
        tower=dict(
            name="pretrained_bert",
            path="ncbi/MedCPT-Query-Encoder",
            pooling="cls",  # of sentence-transformers: "mean"
            freeze_layers=freeze_layers,  # -1: the whole tower; n: embeddings and n layers
        ),
    )


def zero_shot(**changes: Any) -> dict[str, Any]:
    """The zero-shot eval of PTB-XL's superclasses; ``changes`` of its settings."""
    return (
        dict(
            name="zero_shot",
            split="test",
            label="",
            prompts={},  # questions or tasks of your own, typed
            # or ptbxl_super_german, ptbxl_sub, ptbxl_form, ptbxl_rhythm, cpsc2018, csn, your file
            prompt_files=("ptbxl_super",),
            variants=("short", "enriched"),
        )
        | changes
    )


def evals() -> dict[str, Any]:
    """What recipes of ECGs and texts evaluate after training; each entry names its kind."""
    return dict(
        rows_per_batch=64,
        trained_on_people="refuse",  # or "mark": what to do where a trained-on person is scored
        zero_shot=zero_shot(),
        retrieval=dict(name="retrieval", split="test", pool_size=0, queries={}),
    )


def finished(mode: str) -> ConfigDict:
    """What every recipe of a finished model of ECGs has; ``:demo`` trains ``ecg_merl`` first."""
    config = common.finished(mode)
    config.data.update(demo_people=400, demo_split="")  # the corpus's own folds
    config.evals.rows_per_batch = 64
    config.demo.demo_model = "ecg_merl:demo"
    return config


def finished_smoke() -> dict[str, Any]:
    """The smallest model and corpus that a recipe of ECGs' finished models runs on."""
    return dict(
        demo_model="ecg_merl:smoke", data=dict(demo_people=20), evals=dict(rows_per_batch=8)
    )


def demo_evals() -> dict[str, Any]:
    """What ``:demo`` changes of :func:`evals`: wordings that no simulated report uses."""
    tasks: dict[str, Any] = {}
    for label, texts in HELD_OUT_PROMPTS.items():
        task, _, value = label.partition("=")
        tasks.setdefault(task, dict(task=task, classes={}))["classes"][value] = texts
    return dict(zero_shot=zero_shot(prompts=tasks, prompt_files=()))


def smoke() -> dict[str, Any]:
    """Two tiny steps on a few simulated ECGs; the recipe adds its sampler and encoder."""
    steps = dict(warmup_epochs=None, warmup_steps=0, total_epochs=None, total_steps=2)
    return dict(
        data=dict(demo_people=20),
        optimizer=dict(schedule=steps),
        log_every_steps=1,
        evals=dict(rows_per_batch=8),
    )
