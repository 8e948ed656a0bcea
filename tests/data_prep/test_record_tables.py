import collections
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.corpora.record_tables import MOST_LISTED, Tally, number_in, read_rows
from data_prep.findings import count_kinds


@given(st.lists(st.sampled_from(["row_doubled", "row_missing"]), max_size=90))
def test_a_tally_counts_all_and_lists_the_first_of_each_kind(kinds):
    tally = Tally()
    for i, kind in enumerate(kinds):
        tally.add("table.csv", kind, f"number {i}", f"file {i}")
    found = tally.findings()
    assert count_kinds(found) == collections.Counter(kinds)
    for kind in set(kinds):
        of_kind = [f for f in found if f["kind"] == kind]
        more = kinds.count(kind) - MOST_LISTED
        assert len(of_kind) == min(kinds.count(kind), MOST_LISTED + 1)
        assert of_kind[0]["detail"] == f"number {kinds.index(kind)}"
        if more > 0:
            assert of_kind[-1]["detail"] == f"and {more} more like the {MOST_LISTED} above"


@pytest.mark.parametrize(
    "text, value",
    [
        *[("63", 63), ("63.0", 63), ("1e2", 100), ("-0.5", -0.5), ("", None), ("nan", None)],
        *[("inf", None), ("101", None), ("sixty", None), ("6_3", None)],
    ],
)
def test_a_cell_is_a_number_within_its_range_or_none(text, value):
    found = number_in(text, -1, 100)
    assert found == value and type(found) is type(value)


def test_rows_are_read_one_after_another_and_never_held(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(
        "\ufeffid, other ,text\n" + "".join(f"{i},x,{'y' * 90}\n" for i in range(20000))
    )
    tracemalloc.start()
    last = None
    for row in read_rows(path, ("id", "text"), "a long table"):
        last = row
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (last["id"], last.line) == ("19999", 20001) and peak < 500_000
    with pytest.raises(KeyError):
        last["other"]  # nobody asked for it
