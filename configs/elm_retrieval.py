"""Retrieval: recordings to reports, reports to recordings, free text to recordings.

    python -m elm_jax.main --config configs/elm_retrieval.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/retrieval

MODEL is whatever ``elm_jax.load_pretrained`` takes. Recall@1/5/10 and the median rank with 95 %
intervals over people, each beside its exact chance, on fixed pools of recordings of people never
trained on; ``tables/retrieval_pool.csv`` says who is in which. Texts of your own, with the label
that they should find:

    --config.evals.retrieval.queries='{"mine": {"texts": ["Spikes were seen."], "label": "spikes"}}'

Hardware and time: that of encoding the windows once; the rest takes seconds on two CPU cores.

Score: on 200 simulated people kept apart, a demo model trained on 96 others: recall@10 0.51 and
0.54 (chance 0.05), median rank 10 of 200 both ways. Whoever knew all eleven simulated findings of
each person would reach 0.85, all but drowsiness and artifact 0.58: the findings that the model
cannot see, and what reports say of history, are the limit, not how vectors are compared.

Departures from the paper: its pools are not released; ties, equal reports and chance are counted as
``elm_jax/evals/retrieval/eval.py`` says.
"""

from ml_collections import ConfigDict

from configs import common
from data_prep.corpora.demo.prompts import HELD_OUT_PROMPTS


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="evaluate")

    config.evals.retrieval = dict(
        name="retrieval",
        split="test",
        pool_size=200,  # candidates; 0: all in one pool
        pool_seed=0,
        one_per_person=True,  # one recording of each person; else all
        recall_at=(1, 5, 10),
        queries={"abnormal": dict(texts=("This is an abnormal EEG recording.",), label="abnormal")},
    )

    # A question about every simulated finding, in wordings that no report of the corpus uses.
    asked = {
        finding: dict(texts=sides["positive"], label=finding)
        for finding, sides in HELD_OUT_PROMPTS.items()
    }
    config.demo.evals = dict(retrieval=dict(config.evals.retrieval.to_dict(), queries=asked))
    return common.finish(config, arg, common.finished_smoke())
