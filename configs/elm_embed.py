"""Vectors of a prepared corpus in one HDF5 file, by any finished model (ELM's GEN_EMB).

    python -m elm_jax.main --config configs/elm_embed.py --config.model=MODEL \
        --config.data.dir=SHARDS --workdir runs/embedded

MODEL is whatever ``elm_jax.load_pretrained`` takes: a workdir, a released ``.pt`` with its YAML, a
saved folder, a Hugging Face id. Gives ``embedding_dataset.h5`` in the workdir
(``elm_jax.data.embedding_file`` says what is in it, and reads it), a map of the recordings and
``report.html``. Killed and run again it goes on.

Hardware and time: at the published size some 1,000 windows of 5 s a second on two CPU cores, which
do nothing else (``benchmarks/encoder_inference.py``).

Departures from the released code: all windows of a corpus, where its loaders need lists of
subjects; segments of the sections that the model was trained on, where it embeds all sections;
``subject_ids`` of another subset are numbered from 0 again (``recordings`` has the names);
``dataset_mean`` and ``dataset_std`` are in the attributes. Its module of class prompts was never
published: the prompts here are this project's own.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = common.finished(mode="embed")

    config.embed = dict(
        features="projection",  # what `features` holds, as published; or "encoder", or "both"
        dtype="float32",  # of the vectors in the file; or float16
        splits=(),  # empty: all; else of "train", "valid", "test"
        texts=True,  # embed reports and prompts too, where the model reads texts
        text_strings=False,  # keep the reports' segments themselves in the file
        prompts={},  # class prompts: question -> class -> texts
        prompt_files=("normal_abnormal",),  # sets that come with the package, or paths
        rows_per_batch=128,  # windows at a time, of all devices together: more on accelerators
        map_label="abnormal",  # yes/no label that colours the map
    )

    smoke = common.finished_smoke() | dict(embed=dict(rows_per_batch=32))
    return common.finish(config, arg, smoke)
