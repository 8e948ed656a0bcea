"""Windows become moments: joined only where nothing lies between, kept apart only where near."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elm_jax.query.moments import Timeline, apart, clock, merged

WINDOW_S = 5.0


@st.composite
def timelines(draw):
    """A few recordings of windows with gaps, and some of the windows in any order."""
    recording, start_s = [], []
    for number in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from([0.0, 10.0]))
        for gap_s in draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.01, 7.0]), max_size=12)):
            at += gap_s
            recording.append(number)
            start_s.append(at)
            at += WINDOW_S
    timeline = Timeline(np.asarray(recording, int), np.asarray(start_s, float), WINDOW_S)
    order = draw(st.permutations(range(len(recording))))
    return timeline, order[: draw(st.integers(0, len(recording)))]


@given(timelines())
def test_moments_hold_the_found_windows_once_and_nothing_else(case):
    timeline, best = case
    found = merged(best, timeline)
    held = []
    for moment in found:
        inside = np.flatnonzero(
            (timeline.recording == moment.recording)
            & (timeline.start_s >= moment.start_s - 1e-9)
            & (timeline.start_s < moment.stop_s - 1e-9)
        ).tolist()
        assert moment.best in inside and len(inside) == moment.windows
        assert moment.stop_s - moment.start_s == pytest.approx(WINDOW_S * moment.windows)  # no gap
        assert moment.best == min(inside, key=list(best).index)
        assert moment.best_s == timeline.start_s[moment.best]
        held += inside
    assert sorted(held) == sorted(best)
    tops = [list(best).index(moment.best) for moment in found]
    assert tops == sorted(tops)


@given(timelines())
def test_windows_that_touch_and_were_both_found_are_in_one_moment(case):
    timeline, best = case
    ends = {(m.recording, round(m.stop_s, 6)) for m in merged(best, timeline)}
    begins = {(m.recording, round(m.start_s, 6)) for m in merged(best, timeline)}
    assert not ends & begins


@given(timelines(), st.sampled_from([1.0, 5.0, 12.0, 100.0]))
def test_what_is_left_out_is_near_a_better_one_and_what_is_shown_is_not(case, apart_s):
    timeline, best = case
    shown = [m.best for m in apart(best, timeline, apart_s=apart_s)]
    rank = {window: i for i, window in enumerate(best)}

    def near(a, b):
        same = timeline.recording[a] == timeline.recording[b]
        return same and abs(timeline.start_s[a] - timeline.start_s[b]) < apart_s - 1e-6

    assert not any(near(a, b) for a in shown for b in shown if a != b)
    for window in set(best) - set(shown):
        assert any(near(window, s) and rank[s] < rank[window] for s in shown)
    assert shown == sorted(shown, key=rank.__getitem__)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00:00"),
        (65, "0:01:05"),
        (3725.5, "1:02:05.5"),
        (59.96, "0:01:00"),
        (36000, "10:00:00"),
    ],
)
def test_times_read_as_on_a_clock(seconds, text):
    assert clock(seconds) == text
