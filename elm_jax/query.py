"""``config.mode = "query"``: the moments of recordings that a text describes best.

    python -m elm_jax.main --config configs/elm_query.py --config.model=runs/mine \
        --config.data.dir=shards/mine --workdir runs/ask "sharp waves over the left temporal region"

Similarity is the cosine of a window's projection to the text's; with ``config.query.against``, that
less the cosine to the contrary's. Every window is compared (:mod:`elm_jax.search`).
"""

import json
import logging
import pathlib
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from elm_jax import leakage, query_source, results, run_dir
from elm_jax.axes import Float
from elm_jax.data.corpus import Corpus
from elm_jax.evals.base import EvalResult, unit_rows
from elm_jax.finished import open_finished, open_model
from elm_jax.moments import JOINS, Moment, apart, clock, merged
from elm_jax.pretrained import Pretrained
from elm_jax.query_figures import Page, Trace, moment_figure
from elm_jax.query_source import Source
from elm_jax.search import ExactSearch

log = logging.getLogger(__name__)

CACHE = "query_cache"  # beside the workdir


class QueryError(ValueError):
    """A question that cannot be asked: no text, an unknown setting."""


class Answer(NamedTuple):
    """What one text found.

    Attributes:
      text: the query.
      similarity: of all windows.
      moments: the best, best first.
    """

    text: str
    similarity: Float[np.ndarray, " n"]
    moments: list[Moment]


def query(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Asks the texts of ``config.query.texts``, each on its own.

    Writes ``tables/query_segments.csv``, figures, ``summary.json`` and ``report.html`` into
    ``workdir`` and prints the table. Vectors of a corpus are kept beside the workdir for the next
    query.

    Returns:
      What was written to ``summary.json``.

    Raises:
      QueryError: there is no text, or a setting means nothing.
      TextTowerMissing, ValueError: the model cannot read texts, or not one as long as these.
    """
    began = time.monotonic()
    settings = config.query
    texts, against = _check(settings)
    model, corpus = _open(config, workdir)
    vectors = _text_vectors(model, texts, against)  # what cannot be asked is said before embedding
    source = _source(config, workdir, model, corpus)
    asked = time.monotonic()
    answers = find(source, texts, vectors, **_search_settings(settings))
    log.info("query    %d windows in %.2f s", len(source.vectors), time.monotonic() - asked)
    rows = [{"query": i} | r for i, a in enumerate(answers, 1) for r in _rows(a, source)]
    result = EvalResult(
        tables={"segments": rows},
        figures=_figures(source, answers, settings, against),
        notes=tuple(_notes(source, answers, settings, against)),
    )
    content = {
        "mode": "query",
        "texts": texts,
        "against": against,
        "searched": source.name,
        "windows": len(source.vectors),
        "simulated": source.simulated,
        "signal": source.spec.to_dict(),
        "model": {"source": model.source, "weights_sha256": model.weights_sha256},
        "people": leakage.in_words(model),
        "seed": config.seed,
        "seconds": round(time.monotonic() - began, 1),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "evals": ["query"],
        "query": {"segments": rows, "notes": result.notes, "figures": list(result.figures)},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "config.json").write_text(json.dumps(run_dir.plain_config(config), indent=1) + "\n")
    return results.write_results(workdir, content, {"query": result}, simulated=source.simulated)


# -- asking ---------------------------------------------------------------------------------------


def _check(settings: Any) -> tuple[list[str], str]:
    """The texts and what they are held against."""
    texts, against = list(settings.texts), settings.against
    asked = [*texts, against] if against else texts
    if not texts or not all(isinstance(t, str) and t.strip() for t in asked):
        raise QueryError(
            f"the query is empty: config.query.texts={texts}, config.query.against={against!r}. "
            'Give its text after the flags, in quotes ("sharp waves over the left temporal '
            'region"), or as --config.query.texts'
        )
    if settings.join not in JOINS:
        raise QueryError(f"config.query.join is {settings.join!r}; known: {JOINS}")
    for name in ("segments", "windows"):
        if settings[name] < 1:
            raise QueryError(f"config.query.{name} is {settings[name]}; expected 1 or more")
    for name in ("page_s", "apart_s"):
        if not settings[name] > 0:
            raise QueryError(f"config.query.{name} is {settings[name]}; expected seconds above 0")
    return texts, against


def _open(config: Any, workdir: epath.Path) -> tuple[Pretrained, Corpus | None]:
    if config.query.file:
        return open_model(config, workdir), None
    if not config.data.dir:
        raise QueryError(
            "there is nothing to look through: give --config.data.dir (a directory that python -m "
            "data_prep.prepare wrote) or --config.query.file (an EDF file)"
        )
    return open_finished(config, workdir)


def _source(config: Any, workdir: epath.Path, model: Pretrained, corpus: Corpus | None) -> Source:
    if corpus is None:
        return query_source.of_file(model, config.query.file, rename=config.query.rename)
    return query_source.of_corpus(
        model,
        corpus,
        tuple(config.query.splits),
        pathlib.Path(workdir).parent / CACHE,
        rows_per_batch=config.evals.rows_per_batch,
        normalisation=config.data.normalisation,
    )


def _text_vectors(
    model: Pretrained, texts: Sequence[str], against: str
) -> Float[np.ndarray, "q e"]:
    """A vector for each text, whose product with a unit vector is its similarity."""
    asked = [*texts, against] if against else texts
    found = unit_rows(model.encode_text(asked).astype(np.float64))
    if not against:
        return found
    vectors = found[:-1] - found[-1]
    same = [t for t, v in zip(texts, vectors, strict=True) if np.linalg.norm(v) < 1e-6]
    if same:
        raise QueryError(
            f"config.query.against={against!r} means the same to this model as the query "
            f"{same[0]!r}"
        )
    return vectors


def _search_settings(settings: Any) -> dict[str, Any]:
    return {key: settings[key] for key in ("segments", "windows", "join", "apart_s")}


def find(
    source: Source,
    texts: Sequence[str],
    vectors: Float[np.ndarray, "q e"],
    *,
    segments: int,
    windows: int,
    join: str,
    apart_s: float,
) -> list[Answer]:
    """The best moments of each text.

    Args:
      source: what is looked through.
      texts: the queries.
      vectors: theirs; a similarity is the product with a window's unit vector.
      segments: moments wanted of each.
      windows: with "merge", how many of the best windows are joined to moments; at most a tenth
        of all, or a short file would be one moment.
      join: "merge": windows that follow one another are one moment; "apart": a window is left out
        that begins less than ``apart_s`` from a better one in its recording; "none".
      apart_s: seconds.
    """
    search = ExactSearch(np.asarray(source.vectors))
    length = np.linalg.norm(vectors, axis=1)
    every = search.similarities(vectors) * length[:, None].astype(np.float32)
    best = search.top(vectors, joined_windows(windows, len(search))).index
    out = []
    for i, text in enumerate(texts):
        if join == "merge":
            found = merged(best[i], source.timeline)
        else:
            gap_s = apart_s if join == "apart" else 0.0
            found = _enough(search, vectors[i : i + 1], source, segments, gap_s)
        out.append(Answer(text, every[i], found[:segments]))
    return out


def joined_windows(wanted: int, windows: int) -> int:
    """How many of the best windows are joined: those wanted, at most a tenth of all."""
    return max(1, min(wanted, windows // 10))


def _enough(search: ExactSearch, vector, source: Source, wanted: int, gap_s: float) -> list[Moment]:
    """Looks at ever more of the best windows until enough lie apart, or all were seen."""
    many = 4 * wanted
    while True:
        best = search.top(vector, many).index[0]
        found = list(apart(best, source.timeline, apart_s=gap_s))
        if len(found) >= wanted or len(best) == len(search):
            return found
        many *= 4


# -- showing --------------------------------------------------------------------------------------


def _rows(answer: Answer, source: Source) -> list[dict[str, Any]]:
    """The table of segments, best first."""
    rows = []
    for rank, moment in enumerate(answer.moments, 1):
        similarity = float(answer.similarity[moment.best])
        about = source.recordings[moment.recording]
        rows.append(
            {
                "rank": rank,
                "recording": about["recording"],
                "start": clock(moment.start_s),
                "stop": clock(moment.stop_s),
                "similarity": round(similarity, 4),
                "percentile": round(percentile(answer.similarity, similarity), 2),
                "windows": moment.windows,
            }
            | {k: v for k, v in about.items() if k != "recording"}
            | {"start_s": moment.start_s, "stop_s": moment.stop_s, "text": answer.text}
        )
    return rows


def percentile(every: Float[np.ndarray, " n"], value: float) -> float:
    """Per cent of all windows that are less similar."""
    return 100 * float((every < np.float32(value)).mean())


def _figures(
    source: Source, answers: Sequence[Answer], settings: Any, against: str
) -> dict[str, Any]:
    figures = {}
    for i, answer in enumerate(answers, 1):
        for rank, moment in enumerate(answer.moments[: settings.plots], 1):
            title = f"“{answer.text}”" + (f" against “{against}”" if against else "")
            figures[f"query_{i}_segment_{rank}"] = moment_figure(
                _page(source, moment, settings.page_s),
                _trace(source, answer, moment.recording),
                moment,
                title=title,
                about=_about(source, answer, moment, rank),
                simulated=source.simulated,
            )
    return figures


def _about(source: Source, answer: Answer, moment: Moment, rank: int) -> str:
    value = float(answer.similarity[moment.best])
    return (
        f"{rank}. {source.recordings[moment.recording]['recording']}, {clock(moment.start_s)} to "
        f"{clock(moment.stop_s)}, similarity {value:.3f}, above "
        f"{percentile(answer.similarity, value):.4g} % of {len(answer.similarity)} windows"
    )


def _page(source: Source, moment: Moment, page_s: float) -> Page:
    """The signal around a moment, its best window if it is longer than a page; at least a window.

    Near the ends of a stretch the page moves inwards, since there is nothing beyond.
    """
    window_s, sfreq_hz = source.timeline.window_s, source.spec.sfreq_hz
    best_s = moment.best_s
    signal, begin_s = source.signal_uv(moment.recording, best_s)
    page_s = max(page_s, window_s)
    length = round(min(page_s * sfreq_hz, signal.shape[1]))
    fits = moment.stop_s - moment.start_s <= page_s
    middle_s = (moment.start_s + moment.stop_s) / 2 if fits else best_s + window_s / 2
    first = round((middle_s - begin_s) * sfreq_hz - length / 2)
    first = min(max(first, 0), signal.shape[1] - length)
    start_s = begin_s + first / sfreq_hz
    return Page(signal[:, first : first + length], start_s, sfreq_hz, source.spec.channels)


def _trace(source: Source, answer: Answer, recording: int) -> Trace:
    own = source.timeline.recording == recording
    middle, high = np.percentile(answer.similarity, (50, 99))
    return Trace(
        source.timeline.start_s[own],
        answer.similarity[own],
        source.timeline.window_s,
        (float(middle), float(high)),
    )


def _notes(source: Source, answers: Sequence[Answer], settings: Any, against: str) -> list[str]:
    how = {
        "merge": f"the {joined_windows(settings.windows, len(source.vectors))} best windows, "
        "those that follow one another joined; similarity is that of the best one",
        "apart": f"windows that begin at least {settings.apart_s:g} s apart in a recording",
        "none": "windows one by one",
    }[settings.join]
    notes = [f"searched {source.name}, all {len(source.vectors)} windows; segments are {how}"]
    if against:
        notes.append("similarity is the cosine to the text less that to its contrary")
    for answer in answers:
        if len(answer.moments) < settings.segments:
            more = "; config.query.join=apart lists more" if settings.join == "merge" else ""
            notes.append(
                f"“{answer.text}”: {len(answer.moments)} segments, {settings.segments} asked for"
                f"{more}"
            )
    return notes
