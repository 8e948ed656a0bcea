"""Your own labelled EDF folder: what a frozen model's vectors say about it, beside baselines.

    python -m elm_jax.main --config configs/eeg_folder_probe.py --config.model=MODEL \
        --config.edf.dir=FOLDER --config.edf.labels=labels.csv --config.edf.people=people.csv \
        --config.evals.probe.labels.name=COLUMN --workdir runs/mine

In go a folder of EDF or BDF files, a table of labels and one of people; out come tables and figures
of a logistic regression on the model's vectors, with band power and the same network with random
weights beside, scored on people whom it never saw, with 95 % intervals over people. The page
``configs/README.md`` goes through it: channel names, rates, windows, labels in annotations, studies
of one person, and a probe that learns more than a linear map.

MODEL is whatever ``elm_jax.load_pretrained`` takes. ``--config.edf.signal`` names what it wants:
"eegpt" (EEGPT, DARE-EEG: the electrodes that it knows by name, 256 Hz, 4 s) or "elm".

Everybody is scored once, in five groups of people (``outer="folds"``);
``--config.evals.probe.outer=leave_one_person_out`` takes them one by one, ``prepared`` trains on
the splits train and valid and scores test.

Hardware and time: encoding dominates; EEGPT's published size was not measured here.

``:demo`` and ``:smoke`` make a small model and simulated recordings where none are named.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="evaluate")
    config.edf = common.edf_folder()
    config.evals.probe = dict(
        name="probe",
        # binary: a yes/no label, or one value: "task=arithmetic"; multiclass; multilabel: several
        # yes/no labels, named in classes; regression
        labels=dict(name="abnormal", kind="binary", classes=()),
        inputs=("features", "band_power", "random_features"),
        # -- who trains, who chooses, who is scored: people, never recordings
        splits=("train", "valid", "test"),
        outer="folds",  # or "leave_one_person_out", "prepared"
        folds=5,
        repeats=1,
        budgets=(1.0,),  # training people: a share (0.1) or a count (8)
        stratify=(),
        valid_share=0.2,
        c=config_dict.placeholder(float),  # None: chosen by validation people
        alpha=config_dict.placeholder(float),  # likewise, of a regression
        random_networks=3,
        resamples=1000,
        seed=0,
    )
    # The small model was trained on the simulated people of split train.
    config.demo = dict(demo_model="eegpt_pretrain:demo", evals=dict(probe=dict(outer="prepared")))
    smoke = common.finished_smoke()
    smoke["demo_model"] = "eegpt_pretrain:smoke"
    smoke["evals"] |= dict(probe=dict(random_networks=1, c=0.01))
    return common.finish(config, arg, smoke)
