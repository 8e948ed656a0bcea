"""Questions in words to a finished model: AUROC, BACC and calibration of every finding.

    python -m elm_jax.main --config configs/elm_zero_shot.py --config.model=runs/mine \
        --config.data.dir=SHARDS --workdir runs/zero_shot

The model needs a text side: a workdir or a saved folder of a model trained on reports, or one that
``configs/elm_adapt.py`` fitted to yours; the released ELM files have none. Minutes on two CPU cores
for a thousand recordings. Scores in the paper for ELM-MIL (TUAB, normal against abnormal, per
recording): balanced accuracy 84.3, AUROC 91.6.

Your own questions go into a YAML or JSON file (``elm_jax/evals/zero_shot/questions.py`` shows its
forms), or are typed: ``--config.evals.zero_shot.prompt_files='("my.yaml", "sleep")'``,
``--config.evals.zero_shot.prompts='{"rest": {"positive": [...], "negative": [...]}}'``. Each is
scored against the recordings' label of its name; scores are written where there is no label too.

Temperatures are fitted on the people of ``calibration_split``; prepare one with ``--split
train=0.6,valid=0.2,test=0.2``. The paper's code does not calibrate: this is ours.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="evaluate")

    config.evals.zero_shot = dict(
        name="zero_shot",
        split="test",  # whose recordings are scored
        label="abnormal",  # the question whose numbers come first, and which is drawn
        prompts={},  # question -> classes of prompts, typed or in a copy of this recipe
        prompt_files=(  # sets that come with the package, or paths of .yaml and .json
            "normal_abnormal",
            "background",
            "slowing",
            "focal_generalized",
            "epileptiform",
            "sleep",
            "medication",
            "artifact",
            "age_group",
            "sex",
        ),
        aggregate="margin",  # of windows to recordings: mean cosine margin, or mean "probability"
        calibration_split="valid",  # whose labels choose the temperatures; "": none
        calibration="temperature",  # or "temperature and bias"
        temperature=0.3,  # before calibration: that of ELM's loss
        bins=15,
        bin_style="equal_width",  # or "equal_mass"
        band_power_split="train",  # whose labels train the baseline beside; "": no baseline
        missing_labels="error",  # or "note", where some people lack a label that others have
    )
    return common.finish(config, arg, common.finished_smoke())
