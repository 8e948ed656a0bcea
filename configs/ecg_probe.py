"""Linear probes of ECG diagnoses: a finished model's vectors, beside what needs no model.

    python -m elm_jax.main --config configs/ecg_probe.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/probe

Macro AUROC over the classes that five or more recordings of the test people have, with 95 %
intervals over people, from 1 %, 10 % and all of the training people's labels; of every class, too.
The task is PTB-XL's superclasses; after a colon another one, or several:

    --config configs/ecg_probe.py:ptbxl_sub+ptbxl_form+ptbxl_rhythm      or :cpsc2018, :csn

Their classes are those of the zero-shot prompts of the same name. Beside the model's vectors stand
60 amplitude statistics, random convolutions (ROCKET, read by ridge regression), the same network
with random weights, and the words of the recording's own report: those are read at test time, and
so are no ECG model's rival but an upper reference.

Hardware and time: on two CPU cores 500 ECGs of 10 s at 100 Hz take their random convolutions in
about 4 s a seed, and 5 classes at 12 strengths of the other inputs some 10 s.

Departures from MERL's linear probing: logistic regression to its optimum, its strength chosen on
validation people (there a linear layer by AdamW); budgets count people, not recordings; recordings
with none of the classes are negatives (``no_class="left_out"`` leaves them out, as its splits do).
"""

from ml_collections import ConfigDict, config_dict

from configs import common, common_ecg
from elm_jax.evals.zero_shot.prompt_files import shipped_task

TASKS = ("ptbxl_super", "ptbxl_sub", "ptbxl_form", "ptbxl_rhythm", "cpsc2018", "csn")


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo", "smoke", or tasks of :data:`TASKS` joined by "+"."""
    config = common_ecg.finished(mode="evaluate")

    tasks = tuple(arg.split("+"))
    named = set(tasks) <= set(TASKS)
    tasks = tasks if named else ("ptbxl_super",)
    for task in tasks:
        config.evals["probe" if len(tasks) == 1 else task] = probe(task)
    config.evals.embedding_map = dict(
        name="embedding_map",
        split=("test",),
        label=shipped_task(tasks[0]).labels[:6],  # or ("superclass", "age", "sex")
        method=("pca",),  # ("pca", "tsne", "umap")
        points="recordings",
        most_points=1000,
    )

    smoke = common_ecg.finished_smoke()
    smoke["evals"] |= dict(probe=dict(random_networks=1, budgets=(1.0,), min_positives=1))
    smoke["evals"]["probe"]["inputs"] = ("features", "random_convolutions", "report_words")
    return common.finish(config, "" if named else arg, smoke)


def probe(task: str) -> dict:
    """The probe of a task."""
    reports = ("report_words",) if task.startswith("ptbxl") else ()
    return dict(
        name="probe",
        labels=dict(name=task, kind="multilabel", classes=shipped_task(task).labels),
        inputs=(
            "features",
            "projection",
            "random_features",  # the same network with fresh weights
            "amplitude",
            "random_convolutions",
            *reports,  # read at test time
        ),
        # -- who trains, who chooses, who is scored: people, never recordings
        splits=("train", "valid", "test"),
        outer="prepared",  # train on train and valid, score test; "folds"; "leave_one_person_out"
        folds=5,
        repeats=1,
        budgets=(0.01, 0.1, 1.0),  # training people: a share, or a count (8)
        stratify=(),  # labels that budgets are alike in beside the classes: ("age", "sex")
        valid_share=0.2,  # of the training people, where no split valid holds any
        # -- the linear model
        c=config_dict.placeholder(float),  # None: chosen on validation people
        alpha=config_dict.placeholder(float),  # likewise, of random convolutions
        strengths=12,  # to choose from: one a decade, 1e-6 to 1e5
        refit_people=50,  # from so many training people on, refit with the validation people
        random_networks=3,  # seeds of random weights and kernels, whose scores are averaged
        # -- what is scored
        min_positives=5,  # recordings that have a class, and that lack it, for it to count
        no_class="negative",  # recordings without any of the classes; or "left_out"
        resamples=1000,
        seed=0,
    )
