"""Whom a model has seen, and whom an eval is about to score: kept apart, or said.

Training calls :func:`seen_by` and :func:`tell` before its first step, and stores the people in
every checkpoint; evaluation calls :func:`guard` for every eval.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from elm_jax import paths
from elm_jax.checkpoint import Described
from elm_jax.convert.parts import SELECTED_ON, ModelParts
from elm_jax.data.manifest import MANIFEST_FILE, ManifestError
from elm_jax.data.people import People, flags_of, read_people, union
from elm_jax.evals.base import Eval, EvalData, EvalResult

log = logging.getLogger(__name__)

MODES = ("refuse", "mark")
TUH = ("tuh", "tuh_v06")
NAMED = 5  # ids in a message


class TrainedOn(ValueError):
    """An eval would score people whom the model was trained on."""


# -- training -------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """Whom a model has seen; None: not known.

    Attributes:
      trained_on: whose recordings or reports shaped its parameters.
      selected_on: on whose recordings a step, a rate or a temperature was chosen.
    """

    trained_on: People | None = People()
    selected_on: People | None = People()


def seen_before(about: Described | None, parts: ModelParts | None) -> Seen:
    """Whom the model has seen that a run starts from; both None: from scratch, so nobody.

    Args:
      about: of the run that is resumed.
      parts: of the model whose parameters are taken over.
    """
    if about is not None:
        return Seen(about.trained_on, about.selected_on)
    if parts is not None:
        stored = parts.trained_on, parts.extra.get(SELECTED_ON)
        return Seen(*(People.from_json(values, source=parts.source) for values in stored))
    return Seen()


def seen_by(config: Any, corpus: Any, sampler: Any, before: Seen) -> Seen:
    """Whom the model of a training run will have seen, its ancestors' people included.

    Args:
      config: of the run; where it validates, the people of that split choose the step.
      corpus: the data (``data.corpus.Corpus``), of all directories.
      sampler: says which recordings of the train split it draws (``usable``).
      before: of :func:`seen_before`.
    """
    rows = corpus.recordings("train")
    drawn = [row.person for row, used in zip(rows, sampler.usable, strict=True) if used]
    validation = config.get("validation")
    chosen = corpus.recordings(validation["split"]) if validation else []
    return Seen(
        union(People.of(drawn), before.trained_on),
        union(People.of(row.person for row in chosen), before.selected_on),
    )


class KnownSet(NamedTuple):
    """People kept for evaluation.

    Attributes:
      path: where they are read from.
      split: which of its splits; "" where all of them.
      people: who they are.
      own: whether they are a split of the very directory that is trained on.
    """

    path: str
    split: str
    people: tuple[str, ...]
    own: bool = False

    def __str__(self) -> str:
        return f"{self.path} ({self.split})" if self.split else self.path


def known_sets(
    data_dir: epath.PathLike, named: Sequence[str], more: Sequence[epath.PathLike] = ()
) -> list[KnownSet]:
    """The evaluation sets that are known here.

    Args:
      data_dir: the prepared directory that is trained on. Its own test people count (the model that
        a run starts from may have seen them), and those of every prepared directory beside it;
        official evaluation splits are prepared as ``test``.
      more: further directories that are trained on (``config.data.more``), likewise.
      named: ``config.data.evaluation_sets``: prepared directories, ``manifest.json`` files, or
        lists of people; all of their people count.

    Raises:
      PeopleError, NotPrepared, ManifestError: something that is named cannot be read.
    """
    found = [KnownSet(str(path), "", read_people(path)) for path in named]
    told = {paths.absolute(path) for path in named}
    trained = [paths.absolute(directory) for directory in (data_dir, *more)]
    homes = dict.fromkeys(directory.parent for directory in trained)
    manifests = [m for home in homes for m in sorted(home.glob(f"*/{MANIFEST_FILE}"))]
    for manifest in manifests:
        if told & {manifest, manifest.parent}:
            continue
        try:
            people = read_people(manifest, ("test",))
        except ManifestError as error:  # a neighbour's fault must not stop this run
            log.warning("people   evaluation set left out: %s", error)
            continue
        if people:
            is_own = manifest.parent in trained
            found.append(KnownSet(str(manifest.parent), "test", people, is_own))
    return found


UNKNOWN_TUH = (
    "WARNING: no evaluation set is known. People of TUAB, TUEV and TUSZ are in TUEG as well. Name "
    "the sets that you will evaluate on, as prepared directories or lists of ids: "
    "--config.data.evaluation_sets=\"('shards/tuab',)\"; take their people out of these shards by "
    "python -m data_prep.prepare tueg ... --exclude_people shards/tuab"
)


def overlaps(people: People, sets: Sequence[KnownSet]) -> Iterator[tuple[int, str]]:
    """A line a set, with its logging level: how many of its people are among ``people``."""
    for known in sets:
        shared, everyone = people.overlap(known.people), len(known.people)
        if not shared:
            yield logging.INFO, f"evaluation set {known}: none of its {everyone} people trained on"
            continue
        yield (
            logging.WARNING,
            f"WARNING: evaluation set {known}: {len(shared)} of its {everyone} people are trained "
            f"on ({_some(shared)}); scores on them will be too good. Take them out: python -m "
            f"data_prep.prepare ... --exclude_people {known.path}",
        )
    if all(known.own for known in sets) and set(TUH) & set(people.hashes):
        yield logging.WARNING, UNKNOWN_TUH


def tell(config: Any, people: People) -> None:
    """Says in the log whom a run trains on and which known evaluation sets that touches."""
    log.info("people   trained on: %s", people)
    data = config.data
    named, more = (tuple(data.get(key, ())) for key in ("evaluation_sets", "more"))
    sets = known_sets(data.dir, named, more)
    for level, line in overlaps(people, sets):
        log.log(level, "         %s", line)


def _some(people: Sequence[str]) -> str:
    return ", ".join(people[:NAMED]) + (", ..." if len(people) > NAMED else "")


# -- evaluation -----------------------------------------------------------------------------------


def mode_of(config: Any) -> str:
    """``config.evals.trained_on_people``.

    Raises:
      ValueError: neither "refuse" nor "mark".
    """
    mode = config.evals.get("trained_on_people", "refuse")
    if mode not in MODES:
        raise ValueError(f"config.evals.trained_on_people is {mode!r}; known: {MODES}")
    return mode


class Scored(NamedTuple):
    """Who is scored in a split, and who of them was trained (or chosen) on."""

    split: str
    people: list[str]
    seen: list[str]


def _splits(evaluation: Eval, data: EvalData) -> Sequence[str]:
    """Its scored splits that hold people; where none does, all of them, so that one is named."""
    named = evaluation.scored_splits
    return [split for split in named if data.manifest.people.get(split)] or named


def _scored(evaluation: Eval, data: EvalData, people: People | None) -> list[Scored]:
    out = []
    for split in _splits(evaluation, data):
        ids = sorted({row.person for row in data.recordings(split)})
        out.append(Scored(split, ids, (people or People()).overlap(ids)))
    return out


def guard(
    name: str, evaluation: Eval, data: EvalData, mode: str, people: People | None
) -> tuple[str, ...]:
    """Notes about trained-on people whom an eval scores; none where there are none.

    Args:
      name: of the eval in the config.
      evaluation: names the splits whose people it scores.
      data: what it will read.
      mode: "refuse" or "mark".
      people: whom the model was trained on; None: not known, so nobody is refused.

    Raises:
      TrainedOn: there are some, and ``mode`` is "refuse".
      ManifestError: a split holds no recordings.
    """
    notes = []
    for split, everyone, seen in _scored(evaluation, data, people):
        if not seen:
            continue
        found = f"{len(seen)} of the {len(everyone)} people of split {split!r}"
        if mode == "refuse":
            raise TrainedOn(
                f"config.evals.{name} would score {found} whom this model was trained on: "
                f"{_some(seen)}. Such scores say nothing about new people. Evaluate others "
                "(another split, or shards prepared with --exclude_people), or go on with their "
                "rows marked: --config.evals.trained_on_people=mark"
            )
        notes.append(
            f"this model was trained on {found}: these scores are too good to be taken for those "
            "of new people; their rows in scores/ are marked (trained_on = 1)"
        )
    return tuple(notes)


def mark(
    result: EvalResult, evaluation: Eval, data: EvalData, notes: tuple[str, ...], people: People
) -> EvalResult:
    """The result with the notes of :func:`guard` and a column ``trained_on`` in its scores."""
    persons = {
        row.recording: row.person
        for split in _splits(evaluation, data)
        for row in data.recordings(split)
    }

    def marked(row: Mapping[str, Any]) -> dict[str, Any]:
        person = row.get("person", persons.get(row.get("recording")))
        flag = -1 if person is None else int(flags_of(people, [person])[0])
        return dict(row) | {"trained_on": None if flag < 0 else flag}  # None: cannot be told

    scores = tuple(map(marked, result.scores))
    return result._replace(scores=scores, notes=(*notes, *result.notes))


def in_words(
    model: Any, evals: Mapping[str, Eval] | None = None, data: EvalData | None = None
) -> dict[str, Any]:
    """What summary.json says about people: whom the model has seen, and what that means here.

    Args:
      model: has ``trained_on`` and ``selected_on``.
      evals: that score people, by name; None: nobody is scored.
      data: what they read.
    """
    trained, chosen = model.trained_on, model.selected_on
    warnings = [] if evals is None else [*_unknown(trained), *_flattering(model, evals, data)]
    return {
        "trained_on": "not known" if trained is None else str(trained),
        "selected_on": "not known" if chosen is None else str(chosen),
        "warnings": warnings,
    }


def _unknown(people: People | None) -> list[str]:
    if people is not None and not people.unknown:
        return []
    which = "the" if people is None or not len(people) else "some of the"
    return [
        f"{which} people this model was trained on are not known: whether it has seen those "
        "scored here cannot be told"
    ]


def _flattering(model: Any, evals: Mapping[str, Eval], data: EvalData) -> Iterator[str]:
    """A line for every scored split with people whom the model has seen."""
    for people, what in (
        (model.trained_on, "trained on"),
        (model.selected_on, "chosen by its scores on"),
    ):
        found: dict[str, Scored] = {}
        for evaluation in evals.values():
            with contextlib.suppress(ManifestError):  # is left out, and says so itself
                found |= {s.split: s for s in _scored(evaluation, data, people)}
        for split, everyone, seen in found.values():
            if seen:
                yield (
                    f"this model was {what} {len(seen)} of the {len(everyone)} people of split "
                    f"{split!r}, who are scored here: these scores are too good"
                )
