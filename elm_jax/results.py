"""Results of a run on disk and on the terminal.

``summary.json``: everything that is a number, and what could not be computed. ``scores/EVAL.csv``:
a row a recording. ``tables/EVAL_TABLE.csv``: tables of any columns. ``figures/*.png``.
``report.html``: all of it on one page (``elm_jax.report``).
"""

import io
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import report, tables
from elm_jax.data.modality import simulated_word
from elm_jax.data.spec import SignalSpec
from elm_jax.evals import figures, figures_training
from elm_jax.evals.base import EvalResult
from elm_jax.metrics import read_metrics

log = logging.getLogger(__name__)

PRINTED_ROWS = 30


def require_free_names(evals: Iterable[str]) -> None:
    """Raises where an eval's name is one of summary.json's own keys.

    Raises:
      ValueError: names the eval.
    """
    taken = sorted(report.PLACED & set(evals))
    if taken:
        raise ValueError(
            f"config.evals.{taken[0]}: summary.json has something else of this name; call the "
            f"eval another (taken: {sorted(report.PLACED)})"
        )


def plain(value: Any) -> Any:
    """JSON-ready: NumPy's numbers become Python's, and what is no number becomes None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def with_own_stems(results: Mapping[str, EvalResult]) -> dict[str, EvalResult]:
    """The same, where a figure's name that another eval has begins with its own eval's.

    Two probes both have a figure "probe", which would lie in one file.
    """
    stems = [stem for result in results.values() for stem in result.figures]
    shared = {stem for stem in stems if stems.count(stem) > 1}

    def own(name: str, result: EvalResult) -> EvalResult:
        figures = {f"{name}_{k}" if k in shared else k: f for k, f in result.figures.items()}
        return result._replace(figures=figures)

    return {name: own(name, result) for name, result in results.items()}


def summary(
    config: Any,
    corpus: Any,
    results: Mapping[str, EvalResult],
    *,
    spec: SignalSpec,
    step: int | None,
    loss: float | None,
    seconds: float,
    model: Mapping[str, Any],
    people: Mapping[str, Any],
) -> dict[str, Any]:
    """The content of summary.json.

    Args:
      config: of the run.
      corpus: the data (``data.corpus.Corpus``); None where they are no prepared directory.
      results: by eval.
      spec: of the model, with the mean and std that were used.
      step: of the model's training, where it is known.
      loss: the last one that training logged, if any.
      seconds: the run took.
      model: ``Pretrained.about``.
      people: whom the model was trained on, in words and numbers (``leakage.in_words``).
    """
    manifest = None if corpus is None else corpus.manifest
    out: dict[str, Any] = {
        "simulated": corpus is not None and corpus.simulated,
        "corpus": None if manifest is None else manifest.corpus,
        "data_dir": config.data.dir,
        "mode": config.mode,
        "seed": config.seed,
        "step": step,
        "loss": loss,
        "seconds": round(seconds, 1),
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
        "counts": {} if manifest is None else manifest.counts,
        "signal": spec.to_dict(),
        "model": model,
        "people": people,
        "evals": list(results),
    }
    if corpus is not None and corpus.beside:
        out["trained_with"] = [_beside(other) for other in corpus.beside]
    return plain(out | {name: of_eval(result) for name, result in results.items()})


def _beside(corpus: Any) -> dict[str, Any]:
    """What summary.json says of a directory that was trained on beside ``data_dir``."""
    manifest = corpus.manifest
    return {
        "corpus": manifest.corpus,
        "data_dir": str(corpus.directory),
        "simulated": manifest.simulated,
        "channels": list(corpus.spec.channels),
        "counts": manifest.counts,
    }


def of_eval(result: EvalResult) -> dict[str, Any]:
    """An eval's part of summary.json."""
    out: dict[str, Any] = {**result.scalars, **result.tables}
    if result.notes:
        out["notes"] = list(result.notes)
    if result.figures:
        out["figures"] = list(result.figures)
    return out


def write_results(
    folder: epath.Path,
    content: Mapping[str, Any],
    results: Mapping[str, EvalResult],
    *,
    simulated: bool,
) -> dict[str, Any]:
    """Writes summary.json, scores, tables, figures and report.html; prints the results in short.

    ``folder`` is the run's own after training; an evaluation has one beside, so that the training's
    results stay. Training curves are drawn where ``folder`` has metrics.

    Returns:
      What summary.json holds.
    """
    rows = read_metrics(folder)
    what = simulated_word(simulated, content.get("signal", {}).get("modality", ""))
    curves = figures.training_curves(rows, simulated=what) if rows else {}
    by_epoch = figures_training.by_epoch(rows, simulated=what)
    curves |= {} if by_epoch is None else {"epochs": by_epoch}
    content = plain(content) | ({"training_figures": list(curves)} if curves else {})
    if jax.process_index():
        return content
    folder.mkdir(parents=True, exist_ok=True)
    drawn = curves | {stem: f for result in results.values() for stem, f in result.figures.items()}
    for stem, figure in drawn.items():
        _write_figure(folder / "figures" / f"{tables.file_stem(stem)}.png", figure)
    for name, result in results.items():
        _write_table(folder / "scores" / f"{tables.file_stem(name)}.csv", result.scores)
        for table, table_rows in result.tables.items():
            stem = tables.file_stem(f"{name}_{table}")
            _write_table(folder / "tables" / f"{stem}.csv", table_rows)
        print_result(name, result, simulated=simulated)
    # Last: who finds it finds the rest.
    (folder / "summary.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    page = report.write(folder)
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    log.info("written  %s: %s", folder, ", ".join(names))
    files = [f"{tables.file_stem(stem)}.png" for stem in drawn]
    log.info("         figures: %s", ", ".join(files) or "none")
    log.info("         all of it on one page: %s", page)
    return content


def _write_figure(path: epath.Path, figure: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    path.write_bytes(drawn.getvalue())


def _write_table(path: epath.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tables.to_csv(rows), encoding="utf-8")


def print_result(name: str, result: EvalResult, *, simulated: bool) -> None:
    """Says an eval's scalars, short tables and notes in the log."""
    tag = " (simulated)" if simulated else ""
    for line in scalar_lines(result.scalars):
        log.info("%-10s %s%s", name, line, tag)
    for table, rows in result.tables.items():
        if len(rows) > PRINTED_ROWS:
            stem = tables.file_stem(f"{name}_{table}")
            log.info("  %s: %d rows in tables/%s.csv", table, len(rows), stem)
        elif rows:
            log.info("  %s%s", table, tag)
            for line in tables.aligned(rows):
                log.info("    %s", line)
    for note in result.notes:
        log.info("%-10s note: %s", name, note)


def scalar_lines(scalars: Mapping[str, Any]) -> list[str]:
    """A line each for scalars with an interval, then the others, a few a line."""
    shown = tables.show([scalars] if scalars else [])
    cells = dict(zip(shown.columns, shown.cells[0], strict=True)) if shown.cells else {}
    named = {k: f"{tables.name_of(k)} {v}" for k, v in cells.items()}
    own = [k for k in named if f"{k}_low" in scalars and k in scalars]
    rest = [text for k, text in named.items() if k not in own]
    return [named[k] for k in own] + [", ".join(rest[i : i + 4]) for i in range(0, len(rest), 4)]
