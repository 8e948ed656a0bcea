"""Retrieval: ECGs to reports, reports to ECGs, free text to ECGs.

    python -m elm_jax.main --config configs/ecg_retrieval.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/retrieval

MODEL is whatever ``elm_jax.load_pretrained`` takes, with a text side. Recall@1/5/10 and the median
rank with 95 % intervals over people, each beside its exact chance, among one recording of each test
person; equal reports are counted in a column of their own. Free texts are the enriched prompts of
PTB-XL's superclasses, each with the label that it should find. Texts of your own:

    --config.evals.retrieval.queries='{"af": {"texts": ["Atrial fibrillation."], "label": \
"rhythm=AFIB"}}'

Hardware and time: that of encoding the windows once; the rest takes seconds on two CPU cores.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg
from elm_jax.evals.zero_shot.prompt_files import load_questions


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.finished(mode="evaluate")

    asked = load_questions({}, ("ptbxl_super",), variants=("enriched",))["ptbxl_super_enriched"]
    queries = {
        name: dict(texts=own.prompts, label=label)
        for name, own, label in zip(asked.class_names, asked.classes, asked.labels, strict=True)
    }
    config.evals.retrieval = dict(
        name="retrieval",
        split="test",
        pool_size=0,  # candidates; 0: all in one pool
        pool_seed=0,
        one_per_person=True,  # one recording of each person; else all
        recall_at=(1, 5, 10),
        queries=queries,
    )
    # Wordings that no simulated report uses.
    demo = {
        label.partition("=")[2]: dict(texts=texts, label=label)
        for label, texts in common_ecg.HELD_OUT_PROMPTS.items()
        if label.startswith("superclass=")
    }
    config.demo.evals = dict(retrieval=dict(config.evals.retrieval.to_dict(), queries=demo))
    return common.finish(config, arg, common_ecg.finished_smoke())
