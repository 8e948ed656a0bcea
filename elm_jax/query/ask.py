"""``config.mode = "query"``: the moments of recordings that a text describes best.

    python -m elm_jax.main --config configs/elm_query.py --config.model=runs/mine \
        --config.data.dir=shards/mine --workdir runs/ask "sharp waves over the left temporal region"

Similarity is the cosine of a window's projection to the text's; with ``config.query.against``, that
less the cosine to the contrary's. Every window is compared (:mod:`elm_jax.query.search`).
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from elm_jax import leakage, results, run_dir
from elm_jax.axes import Float
from elm_jax.data.corpus import Corpus
from elm_jax.evals.base import EvalResult, unit_rows
from elm_jax.evals.figures_ecg import require_layout
from elm_jax.finished import open_finished, open_model
from elm_jax.pretrained import Pretrained
from elm_jax.query import show, source
from elm_jax.query.find import find
from elm_jax.query.moments import JOINS
from elm_jax.query.source import Source

log = logging.getLogger(__name__)

CACHE = "query_cache"  # beside the workdir


class QueryError(ValueError):
    """A question that cannot be asked: no text, an unknown setting."""


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
    searched = _source(config, workdir, model, corpus)
    opened = time.monotonic()
    answers = find(searched, texts, vectors, **_search_settings(settings))
    log.info("query    %d windows in %.2f s", len(searched.vectors), time.monotonic() - opened)
    rows = [{"query": i} | r for i, a in enumerate(answers, 1) for r in show.rows_of(a, searched)]
    result = EvalResult(
        tables={"segments": rows},
        figures=show.figures_of(searched, answers, settings, against),
        notes=tuple(show.notes_of(searched, answers, settings, against)),
    )
    found = {"query": result}
    content = results.summary(
        config,
        corpus,
        found,
        spec=searched.spec,
        step=model.step,
        loss=None,
        seconds=time.monotonic() - began,
        model=model.about,
        people=leakage.in_words(model),
    )
    asked = {"texts": texts, "against": against}
    content |= asked | {"searched": searched.name, "windows": len(searched.vectors)}
    run_dir.write_config(config, workdir)
    return results.write_results(workdir, content, found, simulated=searched.simulated)


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
    require_layout(show.layout_of(settings), "config.query.layout")
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
            "data_prep.prepare wrote) or --config.query.file (one recording)"
        )
    return open_finished(config, workdir)


def _source(config: Any, workdir: epath.Path, model: Pretrained, corpus: Corpus | None) -> Source:
    if corpus is None:
        return source.of_file(model, config.query.file, rename=config.query.rename)
    return source.of_corpus(
        model,
        corpus,
        tuple(config.query.splits),
        workdir.parent / CACHE,
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
