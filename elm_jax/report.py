"""report.html: one self-contained page with all of a run's figures and tables.

    python -m elm_jax.report WORKDIR

rebuilds the page of a workdir (and of its ``evaluation/``) from what is on disk: ``summary.json``,
``tables/``, ``scores/``, ``figures/``, ``config.json`` and ``metrics.jsonl``. The page asks no
network for anything and runs no script; its figures are inside it. Texts of data (recording names,
labels, reports) are escaped.
"""

import base64
import csv
import functools
import json
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
from etils import epath

import elm_jax
from elm_jax import command_line, paths, tables
from elm_jax.data.modality import word_of
from elm_jax.data.people import People
from elm_jax.metrics import read_metrics

PAGE = "report.html"
EVALUATION = "evaluation"
ROWS, SCORE_ROWS = 30, 12  # more than these are cut, with a link to the CSV
ACROSS = 5  # more values than these are set below one another
WIDE = 1.6  # a figure of this width by height takes a row of its own
NOBODY = str(People())
PNG = b"\x89PNG\r\n\x1a\n"
# Of summary.json: everything else is an eval's, where an older run does not list its evals.
NOT_EVALS = ("counts", "signal", "model", "people")
WORDS = {"train": "training", "evaluate": "evaluation"}


class NoRun(FileNotFoundError):
    """A folder that holds no run, or one of which nothing was written yet."""


def write(folder: epath.PathLike) -> epath.Path:
    """Writes ``report.html`` into a workdir (or its ``evaluation/``) from what lies there.

    Returns:
      The page's path.

    Raises:
      NoRun: there is nothing to report.
      ValueError: a file there is damaged; names it.
    """
    folder = paths.of(folder)
    # A browser that has it open never sees half a page.
    paths.write_text(folder / PAGE, build(folder))
    return folder / PAGE


def build(folder: epath.Path) -> str:
    """The page as text; see :func:`write`."""
    content = _json(folder / "summary.json") or {}
    # An evaluation is described by its own folder, and configured as its run or beside it.
    config = _json(folder / "config.json") or _json(folder.parent / "config.json") or {}
    metrics = read_metrics(folder)
    if not (content or metrics or (folder / "config.json").exists()):
        raise NoRun(f"{folder}: no summary.json, config.json or metrics.jsonl: not a run's folder")
    evals = {name: content[name] for name in _evals_of(content)}
    figures, broken = _figures(folder, content, evals)
    page = {
        "title": _title(folder),
        "subtitle": _subtitle(content, config),
        "banners": list(_banners(content)),
        "facts": list(_facts(content, config)),
        "cards": [card for name, out in evals.items() for card in _cards(name, out)],
        "results": list(_plain_scalars(evals)),
        "figures": figures,
        "tables": [*_tables(folder, evals), *_last_metrics(metrics)],
        "scores": list(_scores(folder, evals)),
        "notes": [*_notes(content, evals), *broken],
        "details": list(_details(content, config)),
        "version": elm_jax.__version__,
    }
    return _environment().get_template(PAGE).render(page=page)


@functools.cache
def _environment() -> jinja2.Environment:
    """Everything that the template fills in is escaped; an unknown name in it is an error."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("elm_jax"), autoescape=True, undefined=jinja2.StrictUndefined
    )


def _json(path: epath.Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path}: not JSON ({error}); run the same command again, which writes it anew"
        ) from error


# -- what it is ---------------------------------------------------------------------------------


def _title(folder: epath.Path) -> str:
    folder = paths.absolute(folder)
    own = folder.name == EVALUATION
    return f"{folder.parent.name}: {EVALUATION}" if own else folder.name


def _subtitle(content: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    mode = content.get("mode") or config.get("mode", "")
    encoder = config.get("encoder", {}).get("name", "")
    objective = config.get("objective", {}).get("name", "")
    parts = [WORDS.get(mode, mode), " + ".join(filter(None, (encoder, objective)))]
    return " · ".join(filter(None, parts)) or "run"


def _banners(content: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not content:
        text = "There is no summary.json yet: this run has not finished, or was stopped."
        yield {"word": "NOT FINISHED", "text": text}
    if content.get("simulated"):
        word = word_of(content.get("signal", {}).get("modality", ""))
        text = f"signals: every number and figure here is of generated {word}, not of people."
        yield {"word": "SIMULATED", "text": text}
    for text in content.get("people", {}).get("warnings", ()):
        yield {"word": "PEOPLE", "text": f"{text}."}


def _facts(content: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    model, people = content.get("model", {}), content.get("people", {})
    data_dir = content.get("data_dir") or config.get("data", {}).get("dir", "")
    facts = {
        "Data": " · ".join(filter(None, (content.get("corpus"), data_dir))),
        "People": _people_counts(content.get("counts", {})),
        "Signal": _signal(content.get("signal", {})),
        "Model": model.get("source"),
        "Weights": model.get("weights_sha256") and f"sha256 {model['weights_sha256']}",
        "Trained on": people.get("trained_on"),
        "Chosen on": people.get("selected_on") if people.get("selected_on") != NOBODY else None,
        "Step": content.get("step"),
        "Loss": content.get("loss"),
        "Seed": content.get("seed", config.get("seed")),
        "Took": content.get("seconds") and f"{content['seconds']:g} s on {content.get('device')}",
    }
    facts |= {_spaced(k).capitalize(): v for k, v in model.items() if k not in MODEL}
    facts |= {_spaced(k).capitalize(): v for k, v in _of_mode(content).items() if _is_short(v)}
    for name, value in facts.items():
        if value not in (None, "", [], {}):
            yield name, tables.format_value(value)


MODEL = ("source", "weights_sha256", "notices")
# Of summary.json: what has a place of its own on the page, and what no eval may be named after. The
# rest is a mode's own.
PLACED = frozenset(
    "simulated corpus data_dir mode seed step loss seconds device counts signal model people evals "
    "training_figures notes trained_with".split()
)


def _of_mode(content: Mapping[str, Any]) -> dict[str, Any]:
    taken = PLACED | set(_evals_of(content))
    return {k: v for k, v in content.items() if k not in taken}


def _is_short(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(v is None or isinstance(v, int | float | str) for v in values)


def _people_counts(counts: Mapping[str, Any]) -> str:
    parts = []
    for split in ("train", "valid", "test"):
        of = counts.get(split) or {}
        if of.get("people"):
            recordings = f" ({of['recordings']} recordings)" if "recordings" in of else ""
            parts.append(f"{split} {of['people']}{recordings}")
    return ", ".join(parts)


def _signal(spec: Mapping[str, Any]) -> str:
    if not spec:
        return ""
    normal = f"× {spec['scale']:g}, " + ", ".join(
        f"{k} {_digits(spec[k])}" for k in ("mean", "std")
    )
    if (moments := spec.get("moments", "fixed")) != "fixed":
        normal = f"mean and std of each {moments} and channel"
    return (
        f"{spec['modality']}, {len(spec['channels'])} channels ({spec['montage']}), "
        f"{spec['sfreq_hz']:g} Hz, windows of {spec['window_s']:g} s, "
        f"{spec['highpass_hz']:g}–{spec['lowpass_hz']:g} Hz, clipped at {spec['clip']:g} "
        f"{spec['unit']}; network values: {normal}"
    )


def _digits(value: Any) -> str:
    """A mean or standard deviation: one number, or one a channel."""
    return ", ".join(f"{v:.4g}" for v in (value if isinstance(value, list) else [value]))


# -- numbers ------------------------------------------------------------------------------------


def _evals_of(content: Mapping[str, Any]) -> list[str]:
    """Names of the evals: as listed, or in an older summary whatever else is an object."""
    listed = content.get("evals")
    if listed is None:
        return [k for k, v in content.items() if isinstance(v, dict) and k not in NOT_EVALS]
    return [name for name in listed if name in content]


def _scalars(out: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in out.items() if v is None or isinstance(v, int | float | str)}


def _cards(name: str, out: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A card for every scalar that has an interval."""
    scalars = _scalars(out)
    for key in scalars:
        bounds = [scalars.get(f"{key}_{end}") for end in ("low", "high")]
        if None in bounds:
            continue
        values = dict(zip(("value", "low", "high"), (scalars[key], *bounds), strict=True))
        inside = all(isinstance(v, int | float) and 0 <= v <= 1 for v in values.values())
        yield {
            "what": f"{_spaced(name)}: {tables.name_of(key)}",
            "value": tables.format_value(scalars[key]),
            "interval": "–".join(map(tables.format_value, bounds)),
            "bar": {k: round(100 * v, 2) for k, v in values.items()} if inside else None,
            "chance": "auroc" in key,
        }


def _plain_scalars(evals: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A small table an eval of the scalars without an interval."""
    for name, out in evals.items():
        scalars = _scalars(out)
        shown = {k for k in scalars if f"{k}_low" in scalars and f"{k}_high" in scalars}
        shown |= {f"{k}_{end}" for k in shown for end in ("low", "high")}
        rest = {k: v for k, v in scalars.items() if k not in shown}
        if not rest:
            continue
        row = tables.show([rest])
        if len(row.columns) > ACROSS:  # down the page rather than past its edge
            pairs = zip(row.columns, row.cells[0], strict=True)
            cells = tuple((tables.name_of(k), v) for k, v in pairs)
            table = _page_table(tables.Shown(("measure", "value"), cells, (False, True)), "")
        else:
            table = _page_table(row, "")
        yield {"name": _spaced(name), "table": table}


def _cut(rows: Sequence[Mapping[str, Any]], limit: int, href: str) -> dict[str, Any]:
    """A table as the page shows it: at most ``limit`` rows."""
    shown = tables.show(rows)
    return _page_table(shown._replace(cells=shown.cells[:limit]), href, len(rows))


def _page_table(shown: tables.Shown, href: str, rows: int = 0) -> dict[str, Any]:
    return {
        "columns": [tables.name_of(c) for c in shown.columns],
        "cells": shown.cells,
        "numeric": shown.numeric,
        "left_out": max(0, rows - len(shown.cells)),
        "href": href,
    }


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _tables(folder: epath.Path, evals: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name, out in evals.items():
        for key, rows in out.items():
            is_table = isinstance(rows, list) and rows and all(isinstance(r, dict) for r in rows)
            if not is_table:
                continue
            href = f"tables/{tables.file_stem(f'{name}_{key}')}.csv"
            href = href if (folder / href).exists() else ""
            yield {"name": _spaced(key), "owner": _spaced(name)} | _cut(rows, ROWS, href)


def _last_metrics(metrics: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    if metrics:
        row = {k: v for k, v in metrics[-1].items() if not isinstance(v, dict | list)}
        rows = [{"measure": k, "value": v} for k, v in row.items()]
        table = _cut(rows, ROWS, "metrics.jsonl")
        yield {"name": "last logged step", "owner": "training"} | table


def _scores(folder: epath.Path, evals: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for name in evals:
        href = f"scores/{tables.file_stem(name)}.csv"
        if not (folder / href).exists():
            continue
        with (folder / href).open("r", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        yield {"name": _spaced(name)} | _cut(rows, SCORE_ROWS, href)


# -- figures ------------------------------------------------------------------------------------


def _figures(
    folder: epath.Path, content: Mapping[str, Any], evals: Mapping[str, Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Figures inside the page, evals' first, and notes on those that cannot be shown."""
    owned = [(stem, name) for name, out in evals.items() for stem in out.get("figures", ())]
    owned += [(stem, "training") for stem in content.get("training_figures", ())]
    files = {p.name: p for p in folder.glob("figures/*") if p.suffix in (".png", ".svg")}
    if "evals" not in content:  # an older or unfinished run does not say whose they are
        owned = [(p.stem, "") for p in sorted(files.values(), key=lambda p: p.name)]
    shown, broken = [], []
    for stem, owner in dict(owned).items():
        stem = tables.file_stem(stem)
        path = files.get(f"{stem}.png") or files.get(f"{stem}.svg")
        found = _embedded(path) if path else None
        if found is None:
            broken.append((_spaced(owner), f"the figure {stem} is missing or damaged"))
        else:
            owner = "" if owner in stem else owner
            caption = ": ".join(filter(None, (_spaced(owner), tables.name_of(stem))))
            wide = found["width"] > WIDE * found["height"]
            shown.append(found | {"caption": caption, "wide": wide})
    return shown, broken


def _embedded(path: epath.Path) -> dict[str, Any] | None:
    """A data URI and the size; None if it is no picture."""
    data = path.read_bytes()
    text = base64.b64encode(data).decode()
    if path.suffix == ".svg":
        is_svg = b"<svg" in data
        return (
            {"source": f"data:image/svg+xml;base64,{text}", "width": 0, "height": 0}
            if is_svg
            else None
        )
    if not (data.startswith(PNG) and data.rstrip().endswith(b"IEND\xaeB`\x82")):
        return None
    width, height = struct.unpack(">II", data[16:24])
    return {"source": f"data:image/png;base64,{text}", "width": width, "height": height}


# -- the rest -----------------------------------------------------------------------------------


def _notes(
    content: Mapping[str, Any], evals: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    for note in (*content.get("notes", ()), *content.get("model", {}).get("notices", ())):
        yield "run", note
    for name, out in evals.items():
        for note in out.get("notes", ()):
            yield _spaced(name), note


def _details(content: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in (
        ("Configuration (config.json)", config),
        ("Signal description", content.get("signal")),
        ("Counts of the data", content.get("counts")),
        ("Trained with (config.data.more)", content.get("trained_with")),
        *((_spaced(k), v) for k, v in _of_mode(content).items() if not _is_short(v)),
    ):
        if value:
            yield name, json.dumps(value, indent=2, ensure_ascii=False)


def main(argv: Sequence[str]) -> None:
    """Rebuilds the pages of the workdirs named."""
    if not argv or argv[0].startswith("-"):
        command_line.fail("usage: python -m elm_jax.report WORKDIR [WORKDIR ...]")
    for name in argv:
        workdir = paths.absolute(name)
        try:
            with paths.told():
                pages = [write(workdir)]
                if (workdir / EVALUATION / "summary.json").exists():
                    pages.append(write(workdir / EVALUATION))
        except (OSError, ValueError) as error:
            command_line.fail(error)
        for page in pages:
            print(page)


if __name__ == "__main__":
    main(sys.argv[1:])
