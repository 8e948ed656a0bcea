"""What every mode on a finished model begins with: the model, and data whose signal it takes."""

import logging
from typing import Any

import jax
from etils import epath

from elm_jax import run_dir
from elm_jax.data.corpus import OF_DATA, Corpus, normalisation_of, tell_open
from elm_jax.pretrained import Pretrained, load_pretrained
from elm_jax.sharding import make_mesh
from elm_jax.sources import recipe_of

log = logging.getLogger(__name__)


def open_model(config: Any, workdir: epath.Path) -> Pretrained:
    """The model of ``config.model``, or the one that was trained in ``workdir``.

    Raises:
      FileNotFoundError: there is none.
      ValueError: ``config`` has the sections of a training recipe, and they describe another model.
    """
    jax.set_mesh(make_mesh(config.mesh.to_dict()))
    named = config.get("model", "")
    if not named and not (workdir / "checkpoints").exists():
        raise FileNotFoundError(
            "config.model is empty, and --workdir holds no trained model. Give --config.model=...: "
            "the workdir of a training, a released .pt with its YAML beside it, a saved folder, or "
            "a Hugging Face id; or try the recipe with ':demo', which trains a small one"
        )
    trains = "encoder" in config
    tower = config.get("text_tower")
    if trains:
        tower = config.text.tower.get("path") if config.text else None
    model = load_pretrained(
        named or str(workdir),
        config=config.get("model_yaml") or None,
        text_tower=tower or None,
        cache=workdir.parent / "text_cache",
    )
    if trains:
        run_dir.adopt(config, model.recipe)
        run_dir.require_same_model(
            recipe_of(run_dir.plain_config(config)), model.recipe, model.source
        )
    log.info("model    %s", model)
    return model


def open_finished(config: Any, workdir: epath.Path) -> tuple[Pretrained, Corpus]:
    """The model and the corpus of ``config.data.dir``, both of the same signal.

    ``config.data.normalisation``: "model" (default): as in the model's training; "corpus": by the
    corpus's own mean and std; "none"; "recording", "window": by those of each. A model that reads
    channels by name takes those of the corpus, and its window.

    Raises:
      SpecError: the corpus was prepared as another signal than the model takes.
      UnknownChannels: the corpus has channels that a model which reads them by name does not know.
    """
    model = open_model(config, workdir)
    how = normalisation_of(config, default="model")
    if not config.data.dir:
        raise FileNotFoundError(
            "config.data.dir is empty: give a directory that python -m data_prep.prepare wrote"
        )
    hint = (
        "Prepare these recordings for this model: python -m data_prep.prepare ... OPTIONS --out "
        "ANOTHER"
    )
    corpus = Corpus.fitting(
        config.data.dir,
        model.spec,
        hint=hint,
        text=_text(config, model.recipe["text"]),
        open_fields=model.open_fields,
    )
    tell_open(model.spec, corpus, model.open_fields)
    if how == "model":
        corpus = corpus.with_normalisation(model.spec)
        return model.taking(corpus.spec), corpus
    if how in OF_DATA:
        corpus = corpus.normalised_by(how)
    elif how == "none":
        corpus = corpus.without_normalisation()
    return model.taking(corpus.spec).with_normalisation(corpus.spec), corpus


def _text(config: Any, of_model: dict[str, Any] | None) -> dict[str, Any] | None:
    """How reports are read: as in the model's training, but for what the config says."""
    if of_model is None:
        return None
    given = config.text.to_dict() if "text" in config else {}
    return dict(of_model) | {k: v for k, v in given.items() if v is not None and k != "tower"}
