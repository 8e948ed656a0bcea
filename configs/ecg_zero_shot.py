"""Diagnoses in words to a finished model of ECGs and texts: AUROC of every class, and their mean.

    python -m elm_jax.main --config configs/ecg_zero_shot.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/zero_shot

MODEL is whatever ``elm_jax.load_pretrained`` takes, with a text side. As in MERL (Liu et al. 2024,
arXiv 2403.06659) each class has its texts and nothing speaks against it: a recording's score is the
cosine of its vector with that of the class. Macro AUROC is the mean over classes that five or more
recordings have and five or more lack, with a 95 % interval over people. Asked are the four tasks of
PTB-XL, in short (names) and enriched (what a reader would see). Of others:

    --config.evals.zero_shot.prompt_files='("cpsc2018",)'       the nine diagnoses of CPSC 2018
    --config.evals.zero_shot.prompt_files='("csn",)'            38 of Chapman-Shaoxing-Ningbo
    --config.evals.zero_shot.prompt_files='("ptbxl_super=CKEPE_prompt.json",)'   MERL's texts
    --config.evals.zero_shot.prompt_files='("my.yaml",)'        your own (see zero_shot/tasks.py)

Hardware and time: that of encoding the windows once; the rest takes seconds on two CPU cores.
Scores in the paper, of ResNet-18 trained on MIMIC-IV-ECG: 75.2 on average over six sets.

Departures from MERL: texts are not lowered before a cased tower reads them; recordings that have
none of a task's classes are negatives, where its splits leave them out (``no_class="left_out"``);
a window is what the model was trained on, and a recording the mean over its windows.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.finished(mode="evaluate")

    config.evals.zero_shot = dict(
        name="zero_shot",
        split="test",  # whose recordings are scored
        label="",  # of a question with one answer, whose numbers would come first
        prompts={},  # tasks or questions of your own, typed
        prompt_files=("ptbxl_super", "ptbxl_sub", "ptbxl_form", "ptbxl_rhythm"),
        variants=("short", "enriched"),
        min_positives=5,  # recordings that have a class, and that lack it, for it to count
        no_class="negative",  # recordings without any of the classes; or "left_out"
    )
    config.demo.evals = common_ecg.demo_evals()
    return common.finish(config, arg, common_ecg.finished_smoke())
