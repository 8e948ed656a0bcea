"""ECGs that a text describes, by any finished model of ECGs with a text tower.

    python -m elm_jax.main --config configs/ecg_query.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/ask "atrial fibrillation with a fast rate"

MODEL is whatever ``elm_jax.load_pretrained`` takes. Every text after the flags is a query of its
own. ``--config.query.file=RECORD`` (a WFDB record) in place of ``--config.data.dir`` asks one file,
without shards. The best ECGs are listed, and drawn as on paper, 25 mm/s and 10 mm/mV; all is in
``report.html``. As ``configs/elm_query.py`` in all else.

What is similar to a text is not a finding: read the ECG.
"""

from ml_collections import ConfigDict

from configs import common, common_ecg


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common_ecg.finished(mode="query")

    config.query = dict(
        texts=(),  # each a query of its own; or after the flags
        against="",  # a contrary, whose similarity is taken off
        file="",  # a WFDB record or an EDF file, in place of data.dir
        rename="",  # file: a YAML map of names in the file to leads
        splits=(),  # data.dir: empty: all; else of "train", "valid", "test"
        segments=10,  # how many are listed
        plots=3,  # and how many of them drawn
        join="apart",  # one by one; or "merge": windows that touch become one segment; or "none"
        windows=100,  # merge: how many of the best windows are joined; at most a tenth of all
        apart_s=60.0,  # apart: none that begins less than this from a better one
        page_s=10.0,  # of ECG in a figure; a window at least
        layout="3x4",  # and lead II below; or "6x2", "12x1"
    )

    query = dict(texts=("Sinus rhythm, normal ECG.",), plots=1)
    return common.finish(config, arg, common_ecg.finished_smoke() | dict(query=query))
