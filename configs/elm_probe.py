"""Linear probes of a finished model's vectors, beside band power and random weights (SSL_LIN).

    python -m elm_jax.main --config configs/elm_probe.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/probe

MODEL is whatever ``elm_jax.load_pretrained`` takes: a workdir, a released ``.pt`` with its YAML, a
saved folder, a Hugging Face id. Gives tables (CSV, JSON) of AUROC, AUPRC, balanced accuracy,
Hamming loss, MAE or R2 with 95 % intervals over people, per window and per recording; of classes a
confusion matrix and a report; what every input said about every recording; figures. To score
everybody of all splits in turn:

    ... --config.evals.probe.outer=leave_one_person_out --config.evals.probe.c=0.01 \
        --config.evals.probe.labels.name=task=arithmetic

Sleep staging from windows of 30 s that have a stage each:

    ... --config.evals.probe.labels.name=event --config.evals.probe.labels.kind=multiclass \
        --config.evals.probe.labels.classes="('W','N1','N2','N3','R')" --config.evals.probe.c=1.0 \
        --config.evals.probe.also="('train','valid')" --config.evals.probe.hypnograms=2

Hardware and time: on two CPU cores the encoder takes some 800 windows of 5 s a second at the
published size, and a grid of 45 strengths over 20,000 windows x 256 some 10 s.

Departures from ELM's released code: the strength is chosen on validation people alone (there the
training people are a second fold to test on), by AUROC, balanced accuracy or R2 (there by
accuracy), the strongest of equal penalties; infinite and missing values are imputed for every kind
of label; AUPRC is the average precision, not trapezoids; AUROC of several classes is the mean over
them; below a full budget there are no more validation than training people.
"""

from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="evaluate")

    config.evals.probe = dict(
        name="probe",
        # binary: a yes/no label, or one value: "task=arithmetic"; multiclass; multilabel: several
        # yes/no labels, named in classes; regression
        labels=dict(name="abnormal", kind="binary", classes=()),
        inputs=(
            "features",
            "projection",
            "band_power",  # delta to beta, segments of 2 s
            "band_power_gamma",  # and gamma (30-45 Hz), segments of 4 s
            "random_features",  # the same network with fresh weights
            "random_projection",
        ),
        # -- who trains, who chooses, who is scored: people, never recordings
        splits=("train", "valid", "test"),
        outer="prepared",  # train on train and valid, score test; "folds"; "leave_one_person_out"
        folds=5,
        repeats=1,
        budgets=(1.0,),  # training people: a share (0.01, 0.1, 1.0) or a count (8)
        stratify=(),  # labels that splits and budgets are alike in: ("age", "sex", "abnormal")
        bins=3,  # of age, or of any number
        valid_share=0.2,  # of the training people, where no split valid holds any
        # -- the linear model
        c=config_dict.placeholder(float),  # None: one of 45, 1e-6 to 1e5, by validation people
        alpha=config_dict.placeholder(float),  # likewise, of a regression
        refit_people=50,  # from so many training people on, refit with the validation people
        random_networks=3,  # seeds of random weights, whose scores are averaged
        also=(),  # ("train", "valid"): their people's scores beside, those of valid held out
        hypnograms=0,  # recordings drawn over time, where windows have classes such as sleep stages
        resamples=1000,
        seed=0,
    )

    # -- a picture: PCA, t-SNE or UMAP of recordings or windows, a panel for each label
    config.evals.embedding_map = dict(
        name="embedding_map",
        split=("test",),
        label=("abnormal",),  # ("event", "age", "sex"): classes, numbers and words alike
        method=("pca",),  # ("pca", "tsne", "umap")
        points="recordings",  # or "windows"
        classes=(),  # the legend's order of classes, where it is not the alphabet's
        most_points=1000,  # of more, so many are drawn by chance
    )

    smoke = common.finished_smoke()
    smoke["evals"] |= dict(probe=dict(random_networks=1))
    return common.finish(config, arg, smoke)
