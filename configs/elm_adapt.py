"""An EEG encoder that exists, and your own reports: zero-shot, retrieval and queries without TUEG.

    python -m elm_jax.main --config configs/elm_adapt.py --config.init_from=MODEL \
        --config.data.dir=SHARDS --workdir runs/NAME

MODEL is whatever ``elm_jax.load_pretrained`` takes: the released ``.pt`` with its YAML (which comes
without a text side), a workdir, a saved folder, a Hugging Face id. Its encoder stays frozen, with
its mean and standard deviation; the text projector is fitted anew and the EEG projection tuned by
ELM's multi-instance loss on crops and sentences of your recordings.

Meant for some 200 recordings. Measured on two CPU cores: ``:demo`` on 265 simulated recordings of
one to two minutes, 12 epochs, 2 min 42 s; at its 550 crops a second, 200 recordings of 20 minutes
are estimated at under 20 minutes. For a model of 60 s windows give ``--config.signal.window_s=60
--config.text.mode=paragraph`` and fewer crops a bag.

* ``--config.objective.encoder_frozen=False`` tunes the encoder as well, at a hundredth of the rate
  (``config.optimizer.rules``): several times slower.
* Without a network or MedCPT, ``:demo`` takes a small text tower that it trains from scratch on
  your reports, and smaller projectors.
* A model whose EEG projection has other sizes than 512, 256: give them, or begin it anew by
  ``--config.init_rules='(("encoder/.*", "load"), (".*", "fresh"))'``.

Nothing of this is published: rate, epochs, sizes of bags and the frozen encoder are our choice;
loss, temperature, sections, projectors and text tower are those of ``configs/elm_5s.py``.

``:demo`` and ``:smoke`` train a small model first where none is named.
"""

from ml_collections import ConfigDict

from configs import common, elm_5s

ENCODER_ALONE = (("encoder/.*", "load"), (".*", "fresh"))


def bags(n: int, crops: int, segments: int) -> dict:
    """A sampler of bags."""
    return dict(
        name="bags", style="x,y", bags_per_batch=n, crops_per_bag=crops, segments_per_bag=segments
    )


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; ``arg`` is "", "demo" or "smoke"."""
    base = elm_5s.get_config()
    config = ConfigDict(base.to_dict())
    config.unlock()
    config.demo_model = ""  # RECIPE:ARGUMENT that ':demo' and ':smoke' train where none is named
    config.init_rules = (("(encoder|signal_projector)/.*", "load"), (".*", "fresh"))
    config.data.normalisation = "model"  # mean and std of the model; or "corpus": of this data
    config.encoder = ConfigDict(dict(name="of_init_from"))  # whatever the model has
    config.objective.encoder_frozen = True
    config.sampler = ConfigDict(bags(32, 16, 12))
    config.optimizer = ConfigDict(
        dict(
            name="adamw",
            rate=1e-3,
            weight_decay=1e-2,
            schedule=common.schedule(warmup_epochs=1.0, total_epochs=12.0, per="step"),
            rules=(("encoder/.*", 0.01), (".*", "train")),
        )
    )
    small = base.demo.to_dict()
    config.demo = ConfigDict(
        dict(
            demo_model="elm_5s:demo",
            init_rules=ENCODER_ALONE,
            text=small["text"],
            sampler=bags(16, 12, 6),
            objective=small["objective"] | dict(encoder_frozen=True),
            evals=small["evals"],
        )
    )
    steps = dict(warmup_epochs=None, warmup_steps=1, total_epochs=None, total_steps=2)
    smoke = dict(
        demo_model="elm_5s:smoke",
        data=dict(demo_people=8),
        sampler=bags(4, 2, 2),
        optimizer=dict(schedule=steps),
        log_every_steps=1,
        evals=dict(rows_per_batch=32),
    )
    return common.finish(config, arg, smoke)
