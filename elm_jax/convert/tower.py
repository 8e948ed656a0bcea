"""A text tower on its way into a saved folder and out: a Hugging Face folder of its own."""

import copy
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

from elm_jax import paths, staging
from elm_jax.convert.bert import LoadedBert, load_bert, save_bert
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.network import bert_config, tower_learns
from elm_jax.convert.parts import ModelParts
from elm_jax.data import tokens

FOLDER = "text_tower"
POOLINGS = ("cls", "mean")
# In ModelParts.extra: the tower's section of a tower that was trained from scratch.
AS_TRAINED = "text_tower_as_trained"
_TOKENIZER = re.compile(r"(tokenizer.*|special_tokens_map|added_tokens)\.json|vocab\.txt")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def copy_tokenizer(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies the tokenizer's files.

    Raises:
      FileNotFoundError: ``source`` has none.
    """
    found = [f for f in source.iterdir() if _TOKENIZER.fullmatch(f.name)]
    if not found:
        raise FileNotFoundError(f"{source} holds no tokenizer (tokenizer.json or vocab.txt)")
    target.mkdir(parents=True, exist_ok=True)
    for file in found:
        shutil.copyfile(file, target / file.name)


def folder_of(path: str) -> pathlib.Path | None:
    """The local folder of a tower, or a copy of a remote one; None for the id of one on the hub."""
    if paths.is_remote(path):
        return staging.local_folder(path)
    return pathlib.Path(path) if pathlib.Path(path).is_dir() else None


def write_tower(parts: ModelParts, directory: pathlib.Path) -> tuple[dict[str, Any], dict]:
    """Writes the tower of ``parts`` into ``directory``/text_tower if it must travel.

    A tower that learnt is written with its weights; a frozen one that lies in a local folder is
    copied; a frozen one from the hub stays a reference.

    Returns:
      the recipe and the extra settings to store: the tower's place is ``text_tower``, and one
      trained from scratch is from then on a BERT in a folder like any other.
    """
    recipe, extra = copy.deepcopy(parts.recipe), dict(parts.extra)
    if recipe["text"] is None:
        return recipe, extra
    section, target = recipe["text"]["tower"], directory / FOLDER
    if tower_learns(recipe):
        params = parts.params["text_tower"]
        tokenizer = _tokenizer_of(parts)
        config = bert_config(recipe, params, parts.text_tower_dir)
        save_bert(target, config, {"params": params})
        copy_tokenizer(tokenizer, target)
        if section["name"] == "scratch_bert":
            extra[AS_TRAINED] = section
            section = dict(name="pretrained_bert", pooling=section["pooling"], freeze_layers=0)
        recipe["text"]["tower"] = section | {"path": FOLDER}
        return recipe, extra
    place = folder_of(section["path"])
    if place is not None:
        loaded = load_bert(place)
        save_bert(target, loaded.config, loaded.variables)
        copy_tokenizer(place, target)
        section["path"] = FOLDER
    return recipe, extra


def _tokenizer_of(parts: ModelParts) -> pathlib.Path:
    if parts.text_tower_dir is not None:
        return parts.text_tower_dir
    from elm_jax.text_source import find_model

    tower = parts.recipe["text"]["tower"]
    if "path" not in tower:
        raise FileNotFoundError(f"{parts.source}: the vocabulary of its text tower is gone")
    return find_model(tower["path"])


def read_tower(
    recipe: Mapping[str, Any], directory: pathlib.Path
) -> tuple[dict[str, Any], pathlib.Path | None, LoadedBert | None]:
    """What :func:`write_tower` wrote.

    Returns:
      the recipe with the tower's real place; its folder, if it lies in ``directory``; and the
      tower, if it is part of the parameters.

    Raises:
      ConvertError: the recipe names a place that is neither ``text_tower`` nor the id of a model
        on the hub: a saved folder reads nothing outside of itself.
    """
    recipe = copy.deepcopy(dict(recipe))
    if recipe["text"] is None:
        return recipe, None, None
    tower = recipe["text"].get("tower") if isinstance(recipe["text"], Mapping) else None
    if not isinstance(tower, Mapping) or not isinstance(tower.get("path"), str):
        raise ConvertError(f"{directory}/config.json: recipe.text.tower lacks a path")
    known = {
        "name": (tower.get("name"), ("pretrained_bert",)),
        "pooling": (tower.get("pooling"), POOLINGS),
    }
    known["mode"] = recipe["text"].get("mode"), tuple(tokens.MAX_TOKENS)
    for field, (found, values) in known.items():
        if found not in values:
            raise ConvertError(
                f"{directory}/config.json: recipe.text: {field} is {found!r}; known: {values}"
            )
    if not isinstance(tower.get("freeze_layers"), int):
        raise ConvertError(f"{directory}/config.json: recipe.text.tower.freeze_layers: no number")
    path, learns = tower["path"], tower_learns(recipe)
    if path == FOLDER:
        folder = directory / FOLDER
        recipe["text"]["tower"]["path"] = str(folder)
        return recipe, folder, load_bert(folder) if learns else None
    if learns or not _HUB_ID.fullmatch(path) or ".." in path:
        raise ConvertError(
            f"{directory}/config.json: recipe.text.tower.path is {path!r}; expected {FOLDER!r} or, "
            "of a frozen tower, the id of a model on the hub: a saved model reads nothing outside "
            "of its folder"
        )
    return recipe, None, None
