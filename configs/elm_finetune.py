"""A classifier on a pretrained encoder (the original's SSL_FT), tuned at a small rate or frozen.

    python -m elm_jax.main --config configs/elm_finetune.py --config.init_from=MODEL \
        --config.data.dir=SHARDS --config.labels.name=abnormal --workdir runs/NAME

MODEL is whatever ``elm_jax.load_pretrained`` takes: a workdir, a released ``.pt`` with its YAML, a
saved folder, a Hugging Face id. Its encoder (settings, parameters, batch statistics) is taken over
with its mean and standard deviation; the classifier begins anew. For a model of 60 s windows give
``--config.signal.window_s=60``.

The encoder learns at a tenth of the rate; ``--config.objective.encoder_frozen=True`` leaves it as
it is, batch statistics included; the original's single rate is
``--config.optimizer.rules='((".*", "train"),)'``. To classify the projection, as the original's
"FT_withproj", give its sizes: ``--config.objective.signal_projection='(512, 256)'``.

All that is not said here is as in ``configs/elm_supervised.py``: labels, budgets, validation, what
is published and what is not. The factor of a tenth is our choice.

``:demo`` and ``:smoke`` train a small model first where none is named.
"""

from ml_collections import ConfigDict

from configs import common, elm_supervised


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    config = elm_supervised.recipe()
    config.demo_model = ""  # RECIPE:ARGUMENT that ':demo' and ':smoke' train where none is named
    config.init_rules = (("classifier/.*", "fresh"), (".*", "load"))
    config.data.normalisation = "model"  # mean and std of the model; or "corpus": of this data
    config.encoder = dict(name="of_init_from")  # whatever the model has
    config.optimizer.rules = (("encoder/.*", 0.1), (".*", "train"))
    config.demo = elm_supervised.small(demo_model="elm_5s:demo")
    return common.finish(config, arg, elm_supervised.smallest(demo_model="elm_5s:smoke"))
