"""Moments of recordings that a text describes, by any finished model with a text tower.

    python -m elm_jax.main --config configs/elm_query.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/ask "sharp waves over the left temporal region"

MODEL is whatever ``elm_jax.load_pretrained`` takes. Every text after the flags is a query of its
own. ``--config.query.file=my.edf`` in place of ``--config.data.dir`` asks one file, without shards.
The best segments are printed and drawn; all is in ``report.html``.

Hardware and time: the windows are embedded once and kept in ``query_cache`` beside the workdir; a
query over a million windows then takes a quarter of a second on two CPU cores.

The paper shows retrieval by prompts; its released code has none. What is similar to a text is not
a finding: read the waveforms.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="query")

    config.query = dict(
        texts=(),  # each a query of its own; or after the flags
        against="",  # a contrary, whose similarity is taken off
        file="",  # an EDF, EDF+ or BDF file (of ECGs also a WFDB record), in place of data.dir
        rename="",  # file: a YAML map of channel names to electrodes
        splits=(),  # data.dir: empty: all; else of "train", "valid", "test"
        segments=10,  # how many are listed
        plots=3,  # and how many of them drawn
        join="merge",  # windows that touch become one segment; or "apart", or "none"
        windows=100,  # merge: how many of the best windows are joined; at most a tenth of all
        apart_s=30.0,  # apart: none that begins less than this from a better one
        page_s=10.0,  # of signal in a figure; a window at least
        layout="3x4",  # of an ECG's page: "3x4" and a rhythm strip, "6x2", "12x1"
    )

    smoke = common.finished_smoke() | dict(query=dict(texts=("Abnormal EEG.",), plots=1))
    return common.finish(config, arg, smoke)
