import numpy as np
import pytest

from elm_jax.data.labels import LabelError, label_names, window_labels
from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows

ROWS = [
    RecordingRow(
        "a",
        "x:a",
        "train",
        (PieceRow(0, 0.0, 500, {"event_class": 4}), PieceRow(1, 3.0, 500, {"event_class": 0})),
        (),
        {"abnormal": 1, "event_class": 9, "sex": "F"},
    ),
    # Pieces need not be labelled, nor numbered as they are listed.
    RecordingRow("b", "x:b", "train", (PieceRow(3, 0.0, 1100), PieceRow(2, 20.0, 499))),
    RecordingRow("c", "x:c", "train", (PieceRow(4, 0.0, 500),), (), {"event_class": None}),
    RecordingRow("d", "x:d", "train", (PieceRow(5, 0.0, 500),), (), {"event_class": 7}),
]
WINDOWS = Windows.of(ROWS, 500)


def test_an_events_label_stands_before_its_recordings():
    found = window_labels(ROWS, WINDOWS, "event_class")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [4, 0, np.nan, np.nan, np.nan, 7])


def test_a_recordings_label_is_every_windows():
    expected = [1, 1, np.nan, np.nan, np.nan, np.nan]
    np.testing.assert_array_equal(window_labels(ROWS, WINDOWS, "abnormal"), expected)


def test_words_stay_words_and_absent_ones_are_none():
    assert window_labels(ROWS, WINDOWS, "sex").tolist() == ["F", "F", None, None, None, None]


def test_a_label_that_nobody_has_is_an_error_that_lists_those_there_are():
    with pytest.raises(LabelError, match="'pathology'; known: abnormal, event_class, sex"):
        window_labels(ROWS, WINDOWS, "pathology")
    assert label_names(ROWS[1:2]) == ()


def test_pieces_keep_their_labels_in_the_list_and_rows_without_any_read_as_before():
    assert [RecordingRow.from_json(row.to_json()) for row in ROWS] == ROWS
    old = '{"recording": "a", "person": "x:a", "split": "test", "pieces": [[0, 1.5, 500]], '
    row = RecordingRow.from_json(old + '"reports": [], "labels": {}}')
    assert row.pieces == (PieceRow(0, 1.5, 500),)
    assert '"pieces": [[0, 1.5, 500]]' in row.to_json()
