"""Files of events hold whatever somebody wrote: what is read is right, the rest is refused."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.corpora.event_files import (
    EventsError,
    find_sibling,
    from_json,
    read_csv_bi,
    read_rec,
    to_json,
)

CODES = {1: "spsw", 6: "bckg"}
LABELS = ("bckg", "seiz")
HEADER = "channel,start_time,stop_time,label,confidence\n"
ANY = st.one_of(
    st.binary(max_size=200),
    st.text("0123456789.,-e\n\r\"# abckgseizinf\x00\x0c", max_size=200).map(str.encode),
    st.text("0123456789.,-\n\" bckg", max_size=200).map(lambda text: (HEADER + text).encode()),
)  # fmt: skip
# The file is written anew for every example.
AGAIN = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@AGAIN
@given(data=ANY)
def test_whatever_a_file_holds_gives_sound_events_or_one_kind_of_error(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    for read in (lambda: read_rec(path, CODES), lambda: read_csv_bi(path, LABELS)):
        try:
            found = read()
        except EventsError as error:
            assert len(str(error)) < 120
            continue
        assert list(found.events) == sorted(set(found.events))
        for event in found.events:
            assert math.isfinite(event.start_s) and event.stop_s > max(event.start_s, 0)
            assert event.label in {*CODES.values(), *LABELS}
        assert from_json(to_json(found.events)) == list(found.events)


@AGAIN
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 99_999_999), st.integers(1, 9_999_999), st.sampled_from(LABELS)),
        max_size=8,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_in_the_published_form_is_read_as_it_is(tmp_path, rows, end):
    times = [(a / 1e4, (a + long) / 1e4, label) for a, long, label in rows]
    lines = ["# version = csv_v1.0.0", "# duration = 9.50 secs", HEADER.strip()]
    lines += [f"TERM,{a:.4f},{b:.4f},{label},1.0000" for a, b, label in times]
    path = tmp_path / "x.csv_bi"
    path.write_bytes("".join(line + end for line in lines).encode())
    found = read_csv_bi(path, LABELS)
    assert [(e.start_s, e.stop_s, e.label) for e in found.events] == sorted(set(times))
    assert found.duration_s == 9.5 and not found.odd


def test_a_quote_that_is_never_closed_does_not_swallow_lines(tmp_path):
    (tmp_path / "x").write_text(f'{HEADER}"TERM,0,1,bckg,1\nTERM,1,2,seiz,1\n')
    with pytest.raises(EventsError, match="line 2: expected 5 cells"):
        read_csv_bi(tmp_path / "x", LABELS)


def test_the_file_of_the_very_name_goes_before_one_in_other_capitals(tmp_path):
    recording = tmp_path / "a.edf"
    assert find_sibling(recording, ".rec") is None
    (tmp_path / "A.REC").touch()
    assert find_sibling(recording, ".rec") == tmp_path / "A.REC"
    (tmp_path / "a.rec").touch()
    assert find_sibling(recording, ".rec") == tmp_path / "a.rec"
