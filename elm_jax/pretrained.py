"""A finished model: loaded from wherever it is, asked for vectors, saved and shared.

model = elm_jax.load_pretrained("runs/mine")       # a workdir, a released .pt, a folder, an id
vectors = model.embed("patient.edf").projection    # one row a window
texts = model.encode_text(["Diffuse slowing."])    # same space, where there is a text side
"""

import copy
import logging
from typing import Any

from etils import epath

from elm_jax import networks, paths, run_dir
from elm_jax.convert import network
from elm_jax.convert.parts import SELECTED_ON, ModelParts
from elm_jax.data.people import People
from elm_jax.data.spec import SignalSpec
from elm_jax.encoding import ROWS_PER_CALL, Encoding
from elm_jax.objectives.base import Objective
from elm_jax.pretrained_model import Pretrained, TextTowerMissing
from elm_jax.signals.one_recording import UnusableSignal
from elm_jax.sources import read_parts, recipe_of
from elm_jax.state import TrainState
from elm_jax.text_source import TextSource

__all__ = [
    "ROWS_PER_CALL", "Encoding", "Pretrained", "TextTowerMissing", "UnusableSignal", "from_parts",
    "load_pretrained", "of_run",
]  # fmt: skip

log = logging.getLogger(__name__)


def of_run(
    config: Any,
    spec: SignalSpec,
    objective: Objective,
    state: TrainState,
    texts: TextSource | None,
    *,
    source: str,
    trained_on: People | None = None,
    selected_on: People | None = None,
) -> Pretrained:
    """The model that a training run has in hand."""
    return Pretrained(
        spec=spec,
        recipe=recipe_of(run_dir.plain_config(config)),
        objective=objective,
        params=state.params,
        model_state=state.model_state,
        texts=texts,
        trained_on=trained_on,
        selected_on=selected_on,
        source=source,
        step=int(state.step),
    )


def load_pretrained(
    path_or_hub_id: epath.PathLike,
    *,
    mean: float | tuple[float, ...] | None = None,
    std: float | tuple[float, ...] | None = None,
    config: epath.PathLike | None = None,
    step: int | None = None,
    n_outputs: int | None = None,
    text_tower: str | None = None,
    cache: epath.PathLike | None = None,
) -> Pretrained:
    """Loads a finished model and checks that it is the one that was saved.

    Args:
      path_or_hub_id: a workdir of ours (or its ``checkpoints`` folder, or one step in that); a
        ``.pt`` or ``.safetensors`` as ELM's authors released them, with their YAML beside it, or
        the folder of both; a ``.ckpt`` of EEGPT's or DARE-EEG's pretraining; a directory that
        :meth:`Pretrained.save_pretrained` wrote, or braindecode's EEGPT or SleepStagerChambon2018;
        the id of one on the Hugging Face hub; weights of that stager or of the siamese network
        around it, with a YAML of its arguments; weights of MERL, ST-MEM, MTAE or MLAE.
      mean: of the training signals in network values, in place of what the source tells.
      std: likewise.
      config: the YAML of a released file that does not lie beside it; of a pretraining ``.ckpt``
        one with what that does not tell (``num_heads``, ``sfreq``, ``n_times``, ``channels``); of
        MERL's and masked autoencoders' likewise (``sfreq``, ``channels``, ``layout`` ...).
      step: of a workdir; its latest by default.
      n_outputs: classes, of braindecode's models or a pretraining ``.ckpt``: a new head unless it
        has one of so many already. A stager's last layer embeds where no classes are asked for.
      text_tower: where the text tower lies, if not where it lay in training.
      cache: folder for the vectors of a frozen text tower; None keeps none.

    Raises:
      FileNotFoundError: there is nothing, or a hub id that is not in the local cache and cannot
        be downloaded.
      UnreadableWeights, ConvertError, ValueError: broken, unsafe, or not what its description
        says; names the tensors.
      ProbeMismatch: built, the model does not give the vectors that were stored with it.
    """
    parts = read_parts(path_or_hub_id, config=config, step=step, n_outputs=n_outputs)
    model = from_parts(parts.with_moments(mean, std), text_tower=text_tower, cache=cache)
    for notice in model.notices:
        log.warning("%s", notice)
    return model


def from_parts(
    parts: ModelParts,
    *,
    text_tower: str | None = None,
    cache: epath.PathLike | None = None,
) -> Pretrained:
    """Builds the network of ``parts`` and checks shapes and the stored probe.

    Raises:
      ValueError: tensors and recipe do not fit; names the tensors.
      ProbeMismatch: the network does not give the vectors that were stored with it.
    """
    recipe = copy.deepcopy(parts.recipe)
    if text_tower:
        tower = (recipe["text"] or {}).get("tower", {})
        if "path" not in tower:
            raise ValueError(
                f"text_tower={text_tower!r} was given, but {parts.source} has no text tower that "
                "lies elsewhere: it has its own, or none"
            )
        tower["path"] = text_tower
    config = network.as_config(recipe)
    texts = None
    if config.text is not None:
        home = paths.of(parts.text_tower_dir.parent if parts.text_tower_dir else parts.source)
        kept = None if cache is None else paths.of(cache)
        texts = networks.build_text_source(config, workdirs=(home,), cache=kept)
    objective = networks.build_objective(config, parts.spec, texts)
    network.require_shapes(objective, parts)
    model = Pretrained(
        spec=parts.spec,
        recipe=recipe,
        objective=objective,
        params=parts.params,
        model_state=parts.model_state,
        texts=texts,
        trained_on=People.from_json(parts.trained_on, source=parts.source),
        selected_on=People.from_json(parts.extra.get(SELECTED_ON), source=parts.source),
        source=parts.source,
        assumed=parts.assumed,
        step=parts.extra.get("step"),
        parts=parts,
    )
    if parts.probe is not None:
        parts.probe.require_window(parts.spec, parts.source)
        parts.probe.check(model._predict, parts.source)
    return model
