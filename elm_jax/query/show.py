"""What a query found, as a table, figures and notes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from elm_jax.data.modality import simulated_word
from elm_jax.query.figures import Page, Trace, moment_figure
from elm_jax.query.figures_ecg import ecg_moment_figure
from elm_jax.query.find import Answer, joined_windows, percentile
from elm_jax.query.moments import Moment, clock
from elm_jax.query.source import Source


def rows_of(answer: Answer, source: Source) -> list[dict[str, Any]]:
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


def layout_of(settings: Any) -> str:
    """How an ECG is laid out on its page, whatever the recipe's other signals are."""
    return settings.get("layout", "3x4")


def figures_of(
    source: Source, answers: Sequence[Answer], settings: Any, against: str
) -> dict[str, Any]:
    """A figure for each of the first ``settings.plots`` moments of each answer."""
    figures = {}
    for i, answer in enumerate(answers, 1):
        for rank, moment in enumerate(answer.moments[: settings.plots], 1):
            title = f"“{answer.text}”" + (f" against “{against}”" if against else "")
            drawn = (
                _page(source, moment, settings.page_s),
                _trace(source, answer, moment.recording),
                moment,
            )
            words = dict(title=title, about=_about(source, answer, moment, rank))
            words["simulated"] = simulated_word(source.simulated, source.spec.modality)
            figures[f"query_{i}_segment_{rank}"] = (
                ecg_moment_figure(*drawn, answer.similarity, layout=layout_of(settings), **words)
                if source.spec.modality == "ecg"
                else moment_figure(*drawn, **words)
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


def notes_of(source: Source, answers: Sequence[Answer], settings: Any, against: str) -> list[str]:
    """What was searched and how, and answers shorter than asked for."""
    how = {
        "merge": f"the {joined_windows(settings.windows, len(source.vectors))} best windows, "
        "those that follow one another joined; similarity is that of the best one",
        "apart": f"windows that begin at least {settings.apart_s:g} s apart in a recording",
        "none": "windows one by one",
    }[settings.join]
    notes = [
        f"searched {source.name}, all {len(source.vectors)} windows; segments are {how}",
        "similar to a text is not a finding: read the waveforms",
    ]
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
