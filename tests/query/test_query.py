"""config.mode=query: the best moments, told and drawn as they are; or one line why not."""

import csv
import json

import numpy as np
import pytest
from etils import epath
from matplotlib.colors import to_hex
from tiny_pretrained import tiny_pretrained
from tiny_shards import write_tiny_shards

from configs import elm_query
from elm_jax import embed
from elm_jax.data.shards import ShardReader
from elm_jax.evals.base import unit_rows
from elm_jax.pretrained import TextTowerMissing, load_pretrained
from elm_jax.query import figures as query_figures
from elm_jax.query.ask import QueryError, query
from elm_jax.query.moments import Moment
from elm_jax.signals.montage import TCP20

TEXT = "Diffuse slowing is present."


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_shards(
        tmp_path_factory.mktemp("query") / "shards", people=3, test_people=2, seconds=30.0
    )


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("model")
    tiny_pretrained(home).save_pretrained(home / "saved")
    return home / "saved"


@pytest.fixture(scope="module")
def silent_folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("silent")
    tiny_pretrained(home, text=False).save_pretrained(home / "saved")
    return home / "saved"


@pytest.fixture(scope="module")
def edf(tmp_path_factory):
    """Forty seconds of 19 electrodes: alpha, then delta from 20 s on."""
    from edfio import Edf, EdfSignal

    rng = np.random.default_rng(0)
    time_s = np.arange(40 * 200) / 200
    rate_hz = np.where(time_s < 20, 10.0, 2.5)
    names = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz".split()
    signals = [
        EdfSignal(
            20 * np.sin(2 * np.pi * rate_hz * time_s + i) + rng.normal(0, 3, len(time_s)),
            200,
            label=f"EEG {name.upper()}-REF",
            physical_dimension="uV",
        )
        for i, name in enumerate(names)
    ]
    path = tmp_path_factory.mktemp("edf") / "one.edf"
    Edf(signals).write(path)
    return path


def config_of(model, data="", texts=(TEXT,), **settings):
    config = elm_query.get_config()
    config.model, config.data.dir, config.evals.rows_per_batch = str(model), str(data), 8
    config.query.texts = tuple(texts)
    for key, value in settings.items():
        config.query[key] = value
    return config


def ask(workdir, *args, **kwargs):
    return query(config_of(*args, **kwargs), epath.Path(workdir))


def table(workdir):
    with open(workdir / "tables" / "query_segments.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def by_hand(folder, shards, text):
    """(recording, start in seconds, similarity) of every window."""
    model = load_pretrained(folder)
    asked = unit_rows(model.encode_text([text]))[0]
    out = []
    for split in ("train", "test"):
        reader = ShardReader(shards, split)
        for row in reader.recordings:
            for piece in row.pieces:
                stored = reader.read(piece.index)
                for k in range(piece.n_samples // 500):
                    values = stored[:, 500 * k : 500 * (k + 1)] / 32 * model.spec.scale
                    vector = model.encode(values[None].astype(np.float32)).projection[0]
                    similarity = float(unit_rows(vector) @ asked)
                    out.append((row.recording, piece.start_s + 5.0 * k, similarity))
    return sorted(out, key=lambda row: -row[2])


def test_the_best_windows_are_those_of_looking_at_each(model_folder, shards, tmp_path):
    ask(tmp_path / "ask", model_folder, shards, join="none", segments=6, plots=0)
    expected = by_hand(model_folder, shards, TEXT)
    rows = table(tmp_path / "ask")
    assert [int(r["rank"]) for r in rows] == [1, 2, 3, 4, 5, 6]
    found = [float(r["similarity"]) for r in rows]
    np.testing.assert_allclose(found, [e[2] for e in expected[:6]], atol=2e-4)
    n = len(expected)
    for row in rows:
        match = [e for e in expected if e[0] == row["recording"] and e[1] == float(row["start_s"])]
        assert len(match) == 1 and match[0][2] == pytest.approx(float(row["similarity"]), abs=2e-4)
    assert float(rows[0]["percentile"]) == pytest.approx(100 * (n - 1) / n, abs=0.01)


def test_each_text_is_a_query_with_its_own_table_and_figures(model_folder, shards, tmp_path):
    texts = (TEXT, "Alpha rhythm is present.")
    content = ask(tmp_path / "ask", model_folder, shards, texts, plots=1, segments=2)
    rows = table(tmp_path / "ask")
    assert {r["query"] for r in rows} == {"1", "2"}
    assert [r["text"] for r in rows if r["query"] == "2"][0] == texts[1]
    drawn = {p.name for p in (tmp_path / "ask" / "figures").iterdir()}
    assert drawn == {"query_1_segment_1.png", "query_2_segment_1.png"}
    assert content["simulated"] and content["windows"] > 0
    saved = json.loads((tmp_path / "ask" / "summary.json").read_text())
    assert saved["texts"] == list(texts) and len(saved["query"]["segments"]) == len(rows)
    assert "report.html" in {p.name for p in (tmp_path / "ask").iterdir()}


def test_a_second_query_embeds_no_window_again(model_folder, shards, tmp_path, monkeypatch):
    first = ask(tmp_path / "a", model_folder, shards, plots=0)

    def never(*args, **kwargs):
        raise AssertionError("embedded again")

    monkeypatch.setattr(embed, "_write_windows", never)
    again = ask(tmp_path / "b", model_folder, shards, plots=0)
    assert again["query"] == first["query"]
    with pytest.raises(AssertionError, match="embedded again"):
        ask(tmp_path / "c", model_folder, shards, plots=0, splits=("test",))


def test_a_contrary_takes_off_what_both_have(model_folder, shards, tmp_path):
    with pytest.raises(QueryError, match="means the same to this model as the query 'Diffuse"):
        ask(tmp_path / "same", model_folder, shards, plots=0, against=TEXT.upper(), join="none")
    contrary = "Alpha rhythm is present."
    ask(tmp_path / "other", model_folder, shards, plots=0, against=contrary, join="none")
    mine, other = (
        {e[:2]: e[2] for e in by_hand(model_folder, shards, t)} for t in (TEXT, contrary)
    )
    for row in table(tmp_path / "other"):
        where = row["recording"], float(row["start_s"])
        expected = mine[where] - other[where]
        assert float(row["similarity"]) == pytest.approx(expected, abs=3e-4)


def test_one_file_is_asked_without_shards_from_its_first_second(model_folder, edf, tmp_path):
    settings = dict(file=str(edf), join="apart", apart_s=5.0, segments=20, plots=1)
    content = ask(tmp_path / "ask", model_folder, **settings)
    rows = table(tmp_path / "ask")
    assert content["windows"] == 8 and sorted(float(r["start_s"]) for r in rows) == [
        0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0,
    ]  # fmt: skip
    encoding = load_pretrained(model_folder).embed(edf)
    asked = unit_rows(load_pretrained(model_folder).encode_text([TEXT]))[0]
    best = int(np.argmax(unit_rows(encoding.projection) @ asked))
    assert float(rows[0]["start_s"]) == encoding.start_s[best]
    assert rows[0]["recording"] == "one.edf"


def test_a_map_of_names_is_used_for_a_file(model_folder, edf, tmp_path):
    (tmp_path / "names.yaml").write_text("EEG FP1-REF: null\n")
    with pytest.raises(ValueError, match="Fp1"):
        ask(tmp_path, model_folder, file=str(edf), rename=str(tmp_path / "names.yaml"))
    (tmp_path / "names.yaml").write_text("- Fp1\n")
    with pytest.raises(ValueError, match="config.query.rename=.* found list"):
        ask(tmp_path, model_folder, file=str(edf), rename=str(tmp_path / "names.yaml"))


@pytest.mark.parametrize("texts", [(), ("",), ("  ",), ("fine", "")])
def test_an_empty_query_is_refused(texts, model_folder, shards, tmp_path):
    with pytest.raises(QueryError, match="the query is empty"):
        ask(tmp_path, model_folder, shards, texts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(join="join"), "config.query.join is 'join'; known"),
        (dict(segments=0), "config.query.segments is 0"),
        (dict(windows=0), "config.query.windows is 0"),
        (dict(page_s=0.0), "config.query.page_s"),
        (dict(against=" "), "the query is empty"),
        (dict(splits=("valid",)), "split 'valid' holds no recordings"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message, model_folder, shards, tmp_path):
    with pytest.raises(ValueError, match=message):
        ask(tmp_path, model_folder, shards, **settings)


def test_what_the_model_cannot_read_is_said_before_anything_is_embedded(
    model_folder, silent_folder, shards, tmp_path, monkeypatch
):
    monkeypatch.setattr(embed, "_write_windows", None)
    with pytest.raises(TextTowerMissing, match="configs/elm_adapt.py"):
        ask(tmp_path, silent_folder, shards)
    with pytest.raises(ValueError, match="tokens"):
        ask(tmp_path, model_folder, shards, ("slowing " * 500,))
    with pytest.raises(QueryError, match="--config.data.dir .* or --config.query.file"):
        ask(tmp_path, model_folder)


def test_recordings_without_a_window_are_nothing_to_look_through(model_folder, tmp_path):
    short = write_tiny_shards(
        tmp_path / "short", people=1, test_people=1, seconds=6.0, window_s=5.0
    )
    for name in ("train", "test"):
        assert ShardReader(short, name).recordings
    ask(tmp_path / "ask", model_folder, short, plots=1)
    assert len(table(tmp_path / "ask")) == 1  # a tenth of all, at least one


# -- figures


def axes_of(**changes):
    moment = Moment(3, 15.0, 0, 10.0, 25.0, 3)
    rng = np.random.default_rng(0)
    signal = rng.normal(0, changes.pop("amplitude_uv", 10.0), (20, 1000)).astype(np.float32)
    page = query_figures.Page(signal + 500, 12.5, 100.0, TCP20)
    start_s = np.asarray([0.0, 5, 10, 15, 20, 40, 45])
    trace = query_figures.Trace(start_s, np.linspace(0, 0.6, 7), 5.0, (0.1, 0.5))
    about = dict(title="slow waves", about="1. r0", simulated=True) | changes
    return query_figures.moment_figure(page, trace, moment, **about).axes


def test_a_page_has_the_montage_in_order_a_scale_bar_and_seconds():
    eeg, below = axes_of()
    assert [t.get_text() for t in eeg.get_yticklabels()] == list(TCP20)
    ticks = eeg.get_yticks()
    steps = -np.diff(ticks)
    assert set(np.round(steps, 6)) == {100.0, 160.0}  # rows 100 uV apart, more between chains
    assert (steps > 150).sum() == 4
    words = {t.get_text() for t in eeg.texts}
    assert {"100 µV", "1 s", "1. r0"} <= words
    assert "slow waves (simulated EEG)" in eeg.get_title(loc="left")
    assert eeg.get_xlim() == (12.5, 22.5)
    figure = eeg.figure
    figure.canvas.draw()
    assert "0:00:15" in [t.get_text() for t in eeg.get_xticklabels()]


def test_waveforms_are_drawn_in_microvolts_around_their_row():
    eeg, _ = axes_of(amplitude_uv=10.0)
    waves = [line for line in eeg.lines if len(line.get_xdata()) == 1000]
    assert len(waves) == 20
    for line, at in zip(waves, eeg.get_yticks(), strict=True):
        assert np.median(line.get_ydata()) == pytest.approx(at, abs=1e-3)  # an offset is taken off
        assert np.std(line.get_ydata()) == pytest.approx(10.0, rel=0.1)


def test_rows_move_apart_where_waves_are_high():
    eeg, _ = axes_of(amplitude_uv=100.0)
    assert any(t.get_text() == "500 µV" for t in eeg.texts)


def test_left_and_right_have_their_colours():
    eeg, _ = axes_of()
    colour = {t.get_text(): to_hex(t.get_color()) for t in eeg.get_yticklabels()}
    assert colour["Fp1-F7"] == colour["P3-O1"] == query_figures.LEFT
    assert colour["F8-T4"] == colour["P4-O2"] == query_figures.RIGHT
    assert colour["C3-Cz"] == colour["Cz-C4"] == query_figures.MIDDLE


def test_similarity_over_time_is_broken_where_the_recording_is():
    _, below = axes_of()
    steps = [p for p in below.patches if hasattr(p, "get_data")]
    assert [len(p.get_data().values) for p in steps] == [5, 2]
    assert steps[0].get_data().edges[-1] == 25.0 and below.get_xlim() == (0.0, 50.0)


def test_a_long_query_is_wrapped_and_never_cut_from_sight():
    eeg, _ = axes_of(title="slow waves over the left temporal region " * 4)
    assert eeg.get_title(loc="left").count("\n") >= 2
