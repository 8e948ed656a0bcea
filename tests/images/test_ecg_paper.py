"""Prints of ECGs: every lead in its place, no sample skipped, nothing left out unseen."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.images.background import CLIPPED, background
from elm_jax.images.draw import draw
from elm_jax.images.paper import ImageError, Paper
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER

FS_HZ = 250.0


def beats(seconds=10.0, sfreq_hz=FS_HZ, heights_mv=None):
    """Twelve leads of narrow beats every 0.8 s from 0.4 s; each lead's own height."""
    time_s = np.arange(round(seconds * sfreq_hz)) / sfreq_hz
    phase = (time_s - 0.4 + 0.4) % 0.8 - 0.4
    wave = np.exp(-0.5 * (phase / 0.012) ** 2) + 0.2 * np.exp(-0.5 * ((phase - 0.25) / 0.04) ** 2)
    heights = np.linspace(0.4, 1.5, 12) if heights_mv is None else np.asarray(heights_mv)
    return (heights[:, None] * wave).astype(np.float32)


@functools.cache
def printer(paper, channels, sfreq_hz):
    return jax.jit(lambda x: draw(x, paper, channels=channels, sfreq_hz=sfreq_hz))


def drawn(signal, paper, channels=STANDARD_ORDER, sfreq_hz=FS_HZ):
    return np.asarray(printer(paper, channels, sfreq_hz)(jnp.asarray(signal)[None]))[0]


def ink(image, paper):
    """How dark each pixel is beside the empty print."""
    empty = background(paper)
    return np.clip((empty - image).sum(-1) / empty.sum(-1), 0, None)


PAPERS = [
    Paper((224, 224), 10.0, "3x4"),
    Paper((384, 384), 10.0, "12x1"),
    Paper((300, 520), 10.0, "3x4"),
]


@pytest.mark.parametrize("paper", PAPERS)
def test_a_print_is_twelve_leads_on_a_grid_from_0_to_1(paper):
    image = drawn(beats(), paper)
    assert image.shape == (*paper.image_size, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert ink(drawn(0 * beats(), paper), paper).sum() > 0  # the zero lines


@pytest.mark.parametrize("paper", PAPERS)
def test_a_peak_is_where_its_time_and_voltage_say_to_half_a_pixel(paper):
    signal = beats()
    dark = ink(drawn(signal, paper), paper)
    for strip in paper.strips:
        lead = STANDARD_ORDER.index(strip.lead)
        times_s = 0.4 + 0.8 * np.arange(12)
        for time_s in times_s[(times_s > strip.start_s + 0.2) & (times_s < strip.stop_s - 0.2)]:
            x = paper.left_px + time_s * paper.px_per_s
            y = paper.zero_px[strip.row] - signal[lead].max() * paper.px_per_mv
            columns = slice(round(x) - 3, round(x) + 4)
            part = dark[round(y) - 2 : round(y) + 4, columns]
            found_y = round(y) - 2 + np.argmax(part.max(axis=1) > 0.3)
            assert abs(found_y - y) <= 1 + paper.pen_px / 2
            body = dark[round(y) + 1 : round(y) + 3, columns]
            found_x = (body.sum(0) * np.arange(columns.start, columns.stop)).sum() / body.sum()
            assert abs(found_x + 0.5 - x) < 0.75


def test_a_lead_is_found_by_its_name_in_any_order_and_spelling():
    paper = Paper((160, 160), 10.0)
    signal = beats()
    expected = drawn(signal, paper)
    for order in (WANTED_ORDER, tuple(reversed(STANDARD_ORDER))):
        rows = [STANDARD_ORDER.index(lead) for lead in order]
        np.testing.assert_array_equal(drawn(signal[rows], paper, order), expected)
    spelt = tuple(name.upper() for name in STANDARD_ORDER)
    np.testing.assert_array_equal(drawn(signal, paper, spelt), expected)
    more = np.concatenate([signal, signal[:1] + 9])
    np.testing.assert_array_equal(drawn(more, paper, (*STANDARD_ORDER, "Vx")), expected)


@pytest.mark.parametrize(
    ("channels", "match"),
    [
        ((*STANDARD_ORDER[:11], "Fp1"), r"no known lead \['Fp1'\].*missing \['V6'\]"),
        ((*STANDARD_ORDER[:11], "ii"), r"twice \['II'\]"),
        (STANDARD_ORDER[:8], "8 names for 12 channels"),
    ],
)
def test_other_leads_than_the_twelve_are_refused(channels, match):
    with pytest.raises(ImageError, match=match):
        draw(jnp.asarray(beats())[None], Paper(), channels=channels, sfreq_hz=FS_HZ)


def test_impossible_prints_are_refused_with_what_to_do():
    with pytest.raises(ImageError, match="known: .'3x4', '12x1'"):
        Paper(layout="6x2")
    with pytest.raises(ImageError, match="a larger image, or layout '3x4'"):
        Paper((96, 96), 10.0, "12x1")
    with pytest.raises(ImageError, match="speed_mm_per_s is 0"):
        Paper(speed_mm_per_s=0)
    with pytest.raises(ImageError, match="2500 samples at 500 Hz, which are 5 s"):
        draw(jnp.asarray(beats())[None], Paper(), channels=STANDARD_ORDER, sfreq_hz=500.0)


@pytest.mark.parametrize("layout", ["3x4", "12x1"])
def test_what_leaves_its_row_is_marked_at_its_edge_and_nothing_else_is(layout):
    paper = Paper((224, 224), 10.0, layout)
    blue = lambda image: (image[..., 2] - image[..., 0] > 0.5).nonzero()  # noqa: E731
    assert len(blue(drawn(beats(), paper))[0]) == 0
    heights = np.zeros(12)
    heights[7], heights[1] = 30.0, -30.0  # V2 goes up, II down
    image = drawn(beats(heights_mv=heights), paper)
    at = set(blue(image)[0].tolist())
    limits = set()
    for strip in paper.strips:
        up, down = paper.reach_px[strip.row]
        zero = paper.zero_px[strip.row]
        limits |= {zero - up, zero - up + 1} if strip.lead == "V2" else set()
        limits |= {zero + down - 1, zero + down - 2} if strip.lead == "II" else set()
    assert at == limits
    np.testing.assert_allclose(image[list(limits)[0]].min(0)[0], CLIPPED[0], atol=0.02)
    far = drawn(beats(heights_mv=1e4 * heights), paper)
    assert set(blue(far)[0].tolist()) == limits and far.min() >= 0 and far.max() <= 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 11), st.integers(30, 220))
def test_a_single_sample_is_never_skipped(lead, at):
    # At 1000 Hz there are 14 samples a pixel; one of them alone is 0.3 mV.
    paper = Paper((160, 160), 2.0, "12x1", calibration=False)
    signal = np.zeros((12, 2000), np.float32)
    signal[lead, at * 9] = 0.3
    flat = np.zeros_like(signal)
    more = ink(drawn(signal, paper, sfreq_hz=1000.0), paper) - ink(
        drawn(flat, paper, sfreq_hz=1000.0), paper
    )
    top = int(paper.zero_px[lead] - 0.3 * paper.px_per_mv)
    x = int(paper.left_px + at * 9 / 1000 * paper.px_per_s)
    assert more[top + 1 : top + 4, x - 1 : x + 2].max() > 0.2
    assert more[:, : max(0, x - 3)].max(initial=0) < 1e-6 and more[:, x + 4 :].max(initial=0) < 1e-6


def test_columns_of_two_leads_are_not_joined_by_a_line():
    paper = Paper((224, 224), 10.0)
    signal = np.zeros((12, 2500), np.float32)
    signal[3] = 2.0  # aVR beside I
    dark = ink(drawn(signal, paper), paper)
    zero, high = paper.zero_px[0], paper.zero_px[0] - 2.0 * paper.px_per_mv
    edge = round(paper.left_px + 2.5 * paper.px_per_s)
    between = dark[round(high) + 3 : zero - 3, edge - 8 : edge + 8]
    assert between.max() < 1e-6


def test_prints_of_a_batch_and_of_vmap_are_those_of_each_alone():
    paper = Paper((96, 96), 10.0)
    both = jnp.stack([beats(), beats(heights_mv=-np.ones(12))])
    one = functools.partial(draw, paper=paper, channels=STANDARD_ORDER, sfreq_hz=FS_HZ)
    together = jax.jit(one)(both)
    by_row = jax.jit(jax.vmap(lambda x: one(x[None])[0]))(both)
    np.testing.assert_allclose(together, by_row, atol=1e-6)
    np.testing.assert_allclose(together[1], drawn(both[1], paper), atol=1e-6)


def test_gain_and_speed_are_those_asked_for():
    plain, double = Paper((224, 224), 4.0), Paper((224, 224), 4.0, gain_mm_per_mv=20.0)
    assert double.px_per_mv == 2 * plain.px_per_mv and double.px_per_mm == plain.px_per_mm
    fast = Paper((224, 224), 4.0, speed_mm_per_s=50.0)
    assert fast.px_per_mm < plain.px_per_mm and fast.px_per_s > plain.px_per_s
    assert "25 mm/s, 10 mm/mV, 2 pixels a mm" in str(Paper((300, 225), 4.0))


# -- against a drawing of the same layout by matplotlib --------------------------------------------


def by_matplotlib(signal, paper, sfreq_hz, channels):
    """Black traces on white, with the same pen, in the same places."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows, columns = paper.image_size
    figure = plt.figure(figsize=(columns / 100, rows / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)
    axes.axis("off")
    time_s = np.arange(signal.shape[1]) / sfreq_hz
    for strip in paper.strips:
        own = (time_s >= strip.start_s) & (time_s <= strip.stop_s)
        y = paper.zero_px[strip.row] - signal[channels.index(strip.lead)][own] * paper.px_per_mv
        x = paper.left_px + time_s[own] * paper.px_per_s
        axes.plot(x, y, "k", lw=paper.pen_px * 0.72, solid_capstyle="butt")
    out = io.BytesIO()
    figure.savefig(out, format="raw", dpi=100)
    plt.close(figure)
    return 1 - np.frombuffer(out.getvalue(), np.uint8).reshape(rows, columns, 4)[..., 0] / 255


@pytest.mark.parametrize(
    ("paper", "least"), [(PAPERS[0], 0.98), (PAPERS[1], 0.98), (Paper((900, 1600), 10.0), 0.97)]
)
def test_traces_are_those_that_matplotlib_draws(paper, least):
    signal = beats() + 0.05 * np.random.default_rng(0).normal(size=(12, 2500)).astype(np.float32)
    ours = ink(drawn(signal, paper), paper)
    theirs = by_matplotlib(signal, paper, FS_HZ, list(STANDARD_ORDER))
    ours[:, : int(paper.left_px)] = 0
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > least
    assert 0.8 < ours.sum() / theirs.sum() < 1.3


def test_a_real_record_is_drawn_as_matplotlib_draws_it(shared):
    wfdb = pytest.importorskip("wfdb")
    path = shared / "data/ptbxl/records500/00000/00001_hr"
    if not path.with_suffix(".hea").is_file():
        pytest.skip(f"no PTB-XL record {path}")
    record = wfdb.rdrecord(str(path))
    signal = record.p_signal.T.astype(np.float32)
    paper = Paper((384, 384), 10.0)
    ours = ink(drawn(signal, paper, tuple(record.sig_name), 500.0), paper)
    names = [n.replace("AVR", "aVR").replace("AVL", "aVL").replace("AVF", "aVF")
             for n in record.sig_name]  # fmt: skip
    theirs = by_matplotlib(signal, paper, 500.0, names)
    ours[:, : int(paper.left_px)] = 0
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9
