"""ECGs on paper: true to scale, every lead in its place, nothing over its neighbour."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection

from elm_jax.evals import figures_ecg
from elm_jax.evals.figures_ecg import LAYOUTS, ecg_figure, sheet_of, strips_of
from elm_jax.query.figures import Page, Trace
from elm_jax.query.figures_ecg import ecg_moment_figure
from elm_jax.query.moments import Moment
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER

RATE_HZ = 100.0


def beats(seconds=10.0, *, height_mv=1.0, leads=12, offset_mv=0.3):
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = np.exp(-((((time_s % 0.8) - 0.4) / 0.02) ** 2))
    return (height_mv * np.linspace(-1, 1, leads)[:, None] * wave + offset_mv).astype(np.float32)


def waves_of(axes, samples):
    return [line for line in axes.lines if len(line.get_xdata()) >= samples]


@pytest.mark.parametrize("order", [STANDARD_ORDER, WANTED_ORDER])
def test_leads_stand_where_readers_look_for_them_whatever_their_order_in_the_data(order):
    strips = strips_of(order, 1000, "3x4")
    assert [s.lead for s in strips if s.row == 0] == ["I", "aVR", "V1", "V4"]
    assert [s.lead for s in strips if s.row == 2] == ["III", "aVF", "V3", "V6"]
    assert [(s.first, s.stop) for s in strips if s.row == 1] == [
        (0, 250), (250, 500), (500, 750), (750, 1000),
    ]  # fmt: skip
    assert [(s.lead, s.first, s.stop) for s in strips if s.row == 3] == [("II", 0, 1000)]
    assert [s.lead for s in strips_of(order, 10, "12x1")] == list(STANDARD_ORDER)
    assert {s.lead for s in strips_of(order, 10, "6x2")} == set(STANDARD_ORDER)


def test_leads_that_are_not_the_twelve_are_each_drawn_over_the_whole_page():
    strips = strips_of(("II", "MCL1"), 300, "3x4")
    assert strips == (("II", 0, 0, 300), ("MCL1", 1, 0, 300))


def test_a_second_is_25_mm_and_a_millivolt_10_mm_of_the_figure_itself():
    x = beats()
    figure = ecg_figure(x, STANDARD_ORDER, RATE_HZ, layout="12x1")
    (axes,) = figure.axes
    width_mm, height_mm = (25.4 * v for v in figure.get_size_inches())
    place = axes.get_position()
    assert place.width * width_mm == pytest.approx(np.ptp(axes.get_xlim()))
    assert place.height * height_mm == pytest.approx(np.ptp(axes.get_ylim()))
    waves = waves_of(axes, 1000)
    assert len(waves) == 12
    assert np.ptp(waves[11].get_xdata()) == pytest.approx(25 * 9.99)
    assert np.ptp(waves[11].get_ydata()) == pytest.approx(10 * np.ptp(x[11]), rel=1e-4)
    words = {text.get_text() for text in axes.texts}
    assert {"25 mm/s   10 mm/mV", *STANDARD_ORDER} <= words
    pulses = [line for line in axes.lines if len(line.get_xdata()) == 6]
    assert [np.ptp(p.get_ydata()) for p in pulses] == [10.0] * 12
    assert np.ptp(pulses[0].get_xdata()[1:4]) == 5.0  # 0.2 s
    fine, coarse = (c for c in axes.collections if isinstance(c, LineCollection))
    assert len(fine.get_segments()) > 4.9 * (len(coarse.get_segments()) - 4)
    assert axes.get_xlim()[1] % 5 == axes.get_ylim()[1] % 5 == 0


def test_an_offset_of_a_lead_is_taken_off_and_its_zero_line_is_its_row():
    x = beats(offset_mv=2.0)
    sheet = sheet_of(x, STANDARD_ORDER, RATE_HZ, "12x1")
    (axes,) = ecg_figure(x, STANDARD_ORDER, RATE_HZ, layout="12x1").axes
    for wave, zero in zip(waves_of(axes, 1000), sheet.row_mm, strict=True):
        assert np.median(wave.get_ydata()) == pytest.approx(zero, abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(
    st.floats(0.05, 9.0), st.sampled_from(sorted(LAYOUTS)), st.sampled_from([2.5, 5.0, 10.0, 30.0])
)
def test_rows_keep_apart_or_the_gain_says_how_much_smaller_they_are(height, layout, seconds):
    x = beats(seconds, height_mv=height) * np.resize([1, -1], 12)[:, None]
    sheet = sheet_of(x, STANDARD_ORDER, RATE_HZ, layout)
    assert sheet.gain_mm_mv in figures_ecg.MM_PER_MV
    apart = -np.diff(sheet.row_mm)
    assert (apart >= 18).all() and (apart <= 36).all() and min(sheet.row_mm) >= 12
    assert sheet.height_mm - sheet.row_mm[0] >= 12
    assert sheet.width_mm >= 12 + 25 * seconds
    if height <= 1.0:
        assert sheet.gain_mm_mv == 10.0
    if sheet.gain_mm_mv == 2.5:  # the last there is
        return
    drawn = np.full((len(sheet.row_mm), x.shape[1]), np.nan)
    for strip in sheet.strips:
        wave = x[STANDARD_ORDER.index(strip.lead)]
        own = wave[strip.first : strip.stop] - np.median(wave)
        drawn[strip.row, strip.first : strip.stop] = (
            sheet.row_mm[strip.row] + sheet.gain_mm_mv * own
        )
    assert (np.diff(drawn, axis=0) < -2.9).all()  # no wave comes near its neighbour


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="layout is '4x3'; known: 3x4, 6x2, 12x1"):
        ecg_figure(beats(), STANDARD_ORDER, RATE_HZ, layout="4x3")


def figure_of(*, windows=1, page_s=10.0, moment=(0.0, 10.0), every=200):
    page = Page(1000 * beats(page_s), 0.0, RATE_HZ, STANDARD_ORDER)
    start_s = 10.0 * np.arange(windows)
    trace = Trace(start_s, np.linspace(0.1, 0.2, windows), 10.0, (0.1, 0.2))
    similarity = np.linspace(0, 0.5, every).astype(np.float32)
    found = Moment(every - 1, moment[0], 0, *moment, 1)
    options = dict(title="a query", about="1. r0", layout="3x4", simulated="ECG")
    return ecg_moment_figure(page, trace, found, similarity, **options)


def test_a_found_ecg_is_in_millivolts_with_its_similarity_among_all_windows_below():
    figure = figure_of()
    paper, below = figure.axes
    strip = waves_of(paper, 1000)[0]
    assert np.ptp(strip.get_ydata()) == pytest.approx(10 * np.ptp(beats()[1]), rel=1e-3)
    words = [text.get_text() for text in figure.texts]
    assert words == ["a query (simulated ECG)", "1. r0"]
    line = below.lines[-1]
    assert line.get_label() == "this ECG" and line.get_xdata()[0] == pytest.approx(0.5)
    assert not [p for p in paper.patches if p.get_width() > 20]  # all of the page is the moment
    width_mm, height_mm = (25.4 * v for v in figure.get_size_inches())
    place = paper.get_position()
    assert place.width * width_mm == pytest.approx(np.ptp(paper.get_xlim()))
    assert place.height * height_mm == pytest.approx(np.ptp(paper.get_ylim()))


def test_of_a_long_recording_similarity_is_drawn_over_time_and_the_moment_is_shaded():
    paper, below = figure_of(windows=5, page_s=30.0, moment=(10.0, 20.0)).axes
    (box,) = paper.patches
    assert (box.get_x(), box.get_width()) == (12.0 + 250.0, 250.0)
    assert below.get_xlim() == (0.0, 50.0)


def test_a_file_of_one_window_has_its_paper_alone():
    assert len(figure_of(every=1).axes) == 1
