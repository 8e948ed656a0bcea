"""ELM's loss ``e`` on pairs: orthogonal features, aligned projections.

Gijsen & Ritter, ICML 2025, arXiv 2409.07480.

    python -m elm_jax.main --config configs/elm_e.py --config.data.dir=SHARDS --workdir runs/NAME

A pair is a 5 s crop and one random sentence of its recording's report; every crop comes once an
epoch. All that is not said here is as in ``configs/elm_5s.py``, ``:demo`` and ``:smoke`` included.

Published: pairs, gamma 0.5, LARS's rate times pairs / 256. The other settings of such runs
are *not*: rate, epochs and sizes are those of the 5 s recipe, 1024 pairs a batch is our choice.
Hardware, time and scores: not measured here at this size.

Departures from the released code: those of ``configs/elm_5s.py`` that concern any batch (global
negatives, text embedded once, float32).
"""

from ml_collections import ConfigDict

from configs import common, elm_5s


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    objective = dict(name="orthogonal_alignment", gamma=0.5)
    return common.paired(elm_5s.get_config(), arg, objective, pairs_per_batch=1024)
