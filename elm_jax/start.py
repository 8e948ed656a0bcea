"""Where a run starts: its own workdir, ``config.resume``, ``config.init_from``, or scratch.

    config.init_from = "…"          # whatever elm_jax.load_pretrained takes
    config.init_rules = (("encoder/.*", "load"), (".*", "fresh"))

Rules are ordered regexes over the paths of parameters *and* batch statistics; the first full match
wins. What is to be loaded must be there, in its shape. ``config.encoder.name = "of_init_from"``
takes the encoder's settings from the model that the run starts from.
"""

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from ml_collections import ConfigDict

from elm_jax import build, image_encoder, paths
from elm_jax.checkpoint import Checkpoints, Described
from elm_jax.convert import network
from elm_jax.convert.parts import CHANNELS_SEEN, ModelParts, channels_seen, unseen_channels
from elm_jax.data.corpus import OF_DATA, Corpus, normalisation_of, tell_open
from elm_jax.data.spec import MOMENTS, SignalSpec
from elm_jax.messages import listed
from elm_jax.monitor import Point, history_of
from elm_jax.processes import gather
from elm_jax.run_dir import OF_INIT_FROM, require_same_run
from elm_jax.sharding import put
from elm_jax.sources import read_parts
from elm_jax.state import TrainState
from elm_jax.trees import match_rules, path_of

log = logging.getLogger(__name__)

LOAD_ALL = ((".*", "load"),)
HINT = "These checkpoints were trained on differently prepared shards; use those shards."


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run goes on with; all None: from scratch.

    Attributes:
      checkpoints: of the run that is resumed.
      about: what they say of themselves.
      parts: the model whose parameters are taken over.
    """

    checkpoints: Checkpoints | None = None
    about: Described | None = None
    parts: ModelParts | None = None

    @property
    def spec(self) -> SignalSpec | None:
        """The signal of what is started from."""
        if self.about is not None:
            return self.about.spec
        return None if self.parts is None else self.parts.spec

    @property
    def sections(self) -> Mapping[str, Any]:
        """The sections of its config that describe its network; none from scratch."""
        if self.about is not None:
            return self.about.config
        return {} if self.parts is None else self.parts.recipe

    @property
    def extra(self) -> Mapping[str, Any]:
        """What the checkpoints of the run that is resumed carry along; see ``Checkpoints.save``."""
        return {} if self.about is None else self.about.extra

    @property
    def history(self) -> list[Point]:
        """The validations of the run that is resumed."""
        return history_of(self.extra.get("validation"))


def carried(config: Any, start: Start, corpus: Corpus) -> dict[str, Any]:
    """What every checkpoint of the run must carry on: see ``Checkpoints.save``.

    The descent of its weights; whether anybody ever said what mean and deviation are that are taken
    over; and, where channels are read by name, all that were ever trained on.
    """
    if start.about is not None:
        names = ("assumed", "origin", CHANNELS_SEEN)
        return {k: v for k, v in start.about.extra.items() if k in names}
    out: dict[str, Any] = {}
    if "channels" in build.fields_by_name(config):
        before = channels_seen(start.parts) if start.parts else ()
        direct = "channels" in build.open_fields(config)  # no adapter stands ahead
        own = (name for each in corpus.every for name in each.spec.channels if direct)
        out[CHANNELS_SEEN] = list(dict.fromkeys((*before, *own)))
    if start.parts is None:
        return out
    taken = normalisation_of(config, default="corpus") == "model"
    assumed = start.parts.assumed if taken else ()
    return out | {"assumed": list(assumed), "origin": start.parts.origin}


def find(config: Any, workdir: epath.Path) -> Start:
    """Looks where the run starts; writes nothing, and no process does before all have looked.

    Raises:
      FileNotFoundError, ValueError: ``config.resume`` or ``config.init_from`` is named and holds
        nothing that can be read; or the processes of the run do not see the same workdir.
    """
    for folder in (workdir, paths.absolute(config.resume) if config.resume else None):
        if folder is None:
            continue
        # Orbax's own words to the other processes need all of them.
        there = _agreed(int((folder / "checkpoints").exists()), folder)
        if folder == workdir and not there:
            continue
        checkpoints = Checkpoints(folder, read_only=True)
        step = checkpoints.latest_step()
        _agreed(-1 if step is None else step, folder)
        if folder == workdir and step is None:
            continue
        return Start(checkpoints, checkpoints.describe())
    if not config.init_from:
        return Start()
    parts = read_parts(config.init_from)
    if parts.probe is not None:  # what is loaded below must be the model that was saved
        parts.probe.check(network.predict_of(parts), parts.source)
    return Start(parts=parts)


def _agreed(seen: int, folder: epath.Path) -> int:
    """What every process sees in ``folder``; each waits for all."""
    every = gather(np.asarray([seen])).tolist()
    if len(set(every)) > 1:
        raise ValueError(
            f"the processes do not see the same checkpoints in {folder} (process 0, 1, ...: "
            f"{every}); it must lie on storage that all of them share"
        )
    return seen


def settle(config: Any, start: Start) -> None:
    """Writes into the config what only a model that a run starts from knows.

    The encoder is the model's; rates of dropout and the like that ``config.encoder`` gives beside
    the name take the place of the model's own. Of an image tower that begins with published
    weights, its sizes (see :mod:`elm_jax.image_encoder`).

    Raises:
      ValueError: there is no such model.
    """
    if config.encoder.name != OF_INIT_FROM:
        resumed = None if start.about is None else start.about.config["encoder"]
        image_encoder.settle(config, resumed)
        return
    if not start.sections:
        raise ValueError(
            "config.init_from is empty, and this recipe takes its encoder from a model. Give "
            "--config.init_from=...: the workdir of a training, a released .pt with its YAML "
            "beside it (or the folder of both), a saved folder, or a Hugging Face id; or try the "
            "recipe with ':demo', which trains a small one first"
        )
    own = {k: v for k, v in config.encoder.to_dict().items() if k != "name"}
    with config.unlocked(), config.ignore_type():
        config.encoder = ConfigDict(dict(start.sections["encoder"]) | own)


def normalised(config: Any, corpus: Corpus, start: Start) -> Corpus:
    """The corpus, normalised as ``config.data.normalisation`` says.

    By its own mean and std, as the model it starts from, by those of each recording or window, or
    by none.

    Raises:
      ValueError: ``config.data.normalisation`` is unknown, "model" without one, or "corpus" of
        several directories.
      SpecError: the model takes another signal than the corpus holds.
    """
    how = normalisation_of(config, default="corpus")
    if start.parts is not None:
        hint = (
            "Prepare these recordings for this model (python -m data_prep.prepare ... --window_s "
            f"{start.spec.window_s:g}) and give that window: --config.signal.window_s"
        )
        source, open_fields = f"config.data.dir={config.data.dir}", _open_fields(config, start)
        ignore = (*MOMENTS, *open_fields)
        start.spec.require_same(corpus.spec, source=source, hint=hint, ignore=ignore)
        for own in corpus.every:
            tell_open(start.spec, own, open_fields)
            unseen = unseen_channels(start.parts, own.spec.channels)
            if "channels" in build.open_fields(config) and unseen:
                said = "signal   %s: the model's vectors of %s were not trained before"
                log.warning(said, own.directory, ", ".join(unseen))
    if how == "none":
        return corpus.without_normalisation()
    if how in OF_DATA:
        return corpus.normalised_by(how)
    if how == "corpus":
        if corpus.beside:
            raise ValueError(
                "config.data.normalisation='corpus' would scale each of the directories of "
                "config.data.dir and config.data.more by its own mean and std, and the model could "
                "not say by which; use 'none' (config.signal.scale alone) or 'model'"
            )
        return corpus
    if start.spec is None:
        raise ValueError("config.data.normalisation='model' needs config.init_from")
    return corpus.with_normalisation(start.spec)


def _open_fields(config: Any, start: Start) -> tuple[str, ...]:
    """In which fields the model's signals may have been others: an encoder's, read by name.

    An adapter that is taken over with it knows channels by their place. ``config.init_signal`` is
    "any" where an encoder is tuned to other signals altogether (another rate, band, scale), as
    EEGPT's is to TUAB's 200 Hz: what differs is told.

    Raises:
      ValueError: ``config.init_signal`` is neither "same" nor "any".
    """
    allowed = config.get("init_signal", "same")
    if allowed not in ("same", "any"):
        raise ValueError(f"config.init_signal is {allowed!r}; known: 'same', 'any'")
    if allowed == "any":
        names = (field.name for field in dataclasses.fields(SignalSpec))
        return tuple(name for name in names if name not in MOMENTS)
    adapted = (start.sections.get("objective") or {}).get("adapter")
    return () if adapted and _takes(config, "adapter") else build.fields_by_name(config)


def takes_text_tower(config: Any) -> bool:
    """Whether the text tower's parameters, and so its vocabulary, come from ``init_from``."""
    return _takes(config, "text_tower")


def _takes(config: Any, part: str) -> bool:
    verdicts = [v for pattern, v in rules_of(config) if re.fullmatch(pattern, f"{part}/any")]
    return verdicts[:1] == ["load"]


def rules_of(config: Any) -> tuple[tuple[str, str], ...]:
    """``config.init_rules``; everything is loaded where it does not say."""
    return tuple((p, v) for p, v in config.get("init_rules") or LOAD_ALL)


def restore(
    config: Any, start: Start, state: TrainState, spec: SignalSpec
) -> tuple[TrainState, str]:
    """The state to start with, and in words where it came from.

    Raises:
      SpecError, ValueError: what is found there is of another signal or config.
    """
    if start.about is not None:
        source, path = f"config.data.dir={config.data.dir}", start.checkpoints.path
        start.about.spec.require_same(spec, source=source, hint=HINT)
        require_same_run(config, start.about.config, str(path))
        return start.checkpoints.restore(state), f"resumed from {path} at step {start.about.step}"
    if start.parts is not None:
        return overlay(state, start.parts, rules_of(config))
    return state, "from scratch"


def overlay(
    state: TrainState, parts: ModelParts, rules: Sequence[tuple[str, str]]
) -> tuple[TrainState, str]:
    """``state`` with the tensors of ``parts`` that ``rules`` name, each where it was laid out.

    Where only one of the two has a momentum encoder, see :func:`_of_momentum_twins`.

    Raises:
      ValueError: a rule without a match, or a tensor that is to be loaded and is not there, or not
        in this shape and type.
    """
    wanted = {"params": state.params, **state.model_state}
    found = {"params": parts.params, **parts.model_state}
    wanted, found = ({k: flat(tree) for k, tree in side.items()} for side in (wanted, found))
    found = _of_momentum_twins(wanted, found)
    names = {name: None for tree in wanted.values() for name in tree}
    what = dict(zip(names, _verdicts(names, rules), strict=True))
    loads = {k: [n for n in tree if what[n] == "load"] for k, tree in wanted.items()}
    _require_there(loads, wanted, found, parts.source)

    def take(collection: str, tree: Any) -> Any:
        def leaf(key_path, old):
            name = path_of(key_path)
            if what[name] == "fresh":
                return old
            return put(found[collection][name], old.sharding)

        return jax.tree_util.tree_map_with_path(leaf, tree)

    new = state.replace(
        params=take("params", state.params),
        model_state={k: take(k, tree) for k, tree in state.model_state.items()},
    )
    return new, f"from {parts.source}: {_in_words(what)}"


def _of_momentum_twins(
    wanted: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """``found`` for a run that has a momentum encoder where the source has none, or the reverse.

    What was pretrained so stands by its momentum encoder: a run without one takes over those
    parameters. A run that has one begins with two copies of what it takes over.
    """
    if ("target" in found) == ("target" in wanted):
        return dict(found)
    if "target" in found:
        twins = found["target"]
        return dict(found) | {"params": {k: twins.get(k, v) for k, v in found["params"].items()}}
    # Arrays of their own: both are written over in every step.
    return dict(found) | {"target": {k: np.array(v) for k, v in found["params"].items()}}


def flat(tree: Any) -> dict[str, Any]:
    """Leaves by path."""
    return {path_of(path): x for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def _verdicts(names: Mapping[str, None], rules: Sequence[tuple[str, str]]) -> list[str]:
    bad = sorted({value for _, value in rules} - {"load", "fresh"})
    if bad:
        raise ValueError(f"config.init_rules: {bad}; known: 'load', 'fresh'")
    matched = match_rules({name: 0 for name in names}, rules, what="config.init_rules")
    return [matched[name] for name in names]


def _require_there(loads, wanted, found, source: str) -> None:
    lines = []
    for collection, names in loads.items():
        have = found.get(collection, {})
        for name in names:
            new = wanted[collection][name]
            if name not in have:
                lines.append(f"missing there: {name} {tuple(new.shape)}")
            elif (have[name].shape, have[name].dtype) != (new.shape, new.dtype):
                old = have[name]
                lines.append(
                    f"{name}: it has {tuple(old.shape)} {old.dtype}, this model "
                    f"{tuple(new.shape)} {new.dtype}"
                )
    if lines:
        raise ValueError(
            f"{source} does not have what config.init_rules load from it:\n  {listed(lines)}\n"
            "Change config.encoder and config.objective to its sizes, or begin some tensors "
            'anew: --config.init_rules=\'(("encoder/.*", "load"), (".*", "fresh"))\''
        )


def _in_words(what: Mapping[str, str]) -> str:
    """How many tensors of which part were loaded, and which are fresh."""
    counts = Counter((verdict, name.split("/")[0]) for name, verdict in what.items())
    said = []
    for verdict, word in (("load", "loaded"), ("fresh", "fresh")):
        parts = [f"{part} ({n})" for (v, part), n in sorted(counts.items()) if v == verdict]
        said += [f"{word} {', '.join(parts)}"] if parts else []
    return "; ".join(said)
