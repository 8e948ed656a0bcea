"""Files of dialogues: what was written is read back, and what is not whole is refused by line."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.dialogues import (
    Dialogue,
    DialogueError,
    Turn,
    iterate_dialogues,
    read_dialogues,
    recording_indices,
    what_is_wrong,
)
from elm_jax.data.manifest import RecordingRow

WHOLE = Dialogue(
    "qa/1", "qa", "ptbxl", ("00001", "00002"), ("ptbxl:10", "ptbxl:11"), "train",
    (Turn("user", "Which?"), Turn("assistant", "the second")), ("the second",), "comparison",
    "test", {"template_id": 7, "attribute": None},
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
SAID = TEXT.filter(str.strip)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(SAID, SAID), min_size=1, max_size=3),
    st.booleans(),
    st.lists(TEXT, min_size=1, max_size=2, unique=True),
    st.sampled_from(["train", "valid", "test"]),
    st.none() | TEXT,
)
def test_what_was_written_is_read_back(pairs, system, recordings, split, kind):
    turns = [Turn("system", "Be brief.")] if system else []
    for question, answer in pairs:
        turns += [Turn("user", question), Turn("assistant", answer)]
    dialogue = Dialogue(
        "a", "b", "c", tuple(recordings), ("x:1",) * len(recordings), split, tuple(turns),
        tuple(answer for _, answer in pairs), kind, None, {"k": [1, None]},
    )  # fmt: skip
    line = dialogue.to_json()
    assert "\n" not in line and Dialogue.from_json(line, source="file:1") == dialogue


def test_a_split_is_read_alone_and_one_by_one(tmp_path):
    path = tmp_path / "qa.jsonl"
    lines = [WHOLE.to_json(), WHOLE.to_json().replace("qa/1", "qa/2").replace('"train"', '"test"')]
    path.write_text("\n".join(lines) + "\n")
    assert [d.id for d in read_dialogues(path)] == ["qa/1", "qa/2"]
    assert [d.id for d in read_dialogues(path, "test")] == ["qa/2"]
    assert next(iterate_dialogues(path)) == WHOLE
    with pytest.raises(DialogueError, match="known: \\('train', 'valid', 'test'\\)"):
        read_dialogues(path, "dev")
    path.write_text("\n".join([lines[0]] * 2))
    with pytest.raises(DialogueError, match="qa.jsonl:2: id 'qa/1' comes twice"):
        read_dialogues(path)
    with pytest.raises(DialogueError, match="no such file"):
        read_dialogues(tmp_path / "gone.jsonl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": 1}, "'id' is '1'; expected text"),
        ({"recordings": "00001"}, "'recordings' is '00001'; expected a list of texts"),
        ({"recordings": []}, "'people' is"),
        ({"people": ["ptbxl:10"]}, "one for each of the recordings"),
        ({"people": [10, 11]}, "'people' is '[10, 11]'; expected a list of texts"),
        ({"split": "dev"}, "'split' is 'dev'; expected one of"),
        ({"answers": "yes"}, "'answers' is 'yes'; expected a list of texts"),
        ({"published_split": "dev"}, "'published_split' is 'dev'; expected one of"),
        ({"question_type": 3}, "'question_type' is '3'; expected text"),
        ({"published": []}, "'published' is '[]'; expected an object"),
        ({"turns": [{"role": "user"}]}, "expected a list of objects of 'role' and 'text'"),
        ({"turns": [{"role": "user", "text": "Which?"}]}, "the assistant last"),
        ({"turns": []}, "user and assistant in turn"),
        ({"turns": None}, "'turns' is 'None'"),
        ({"extra": 1}, "lacks [], has unknown ['extra']"),
    ],
)
def test_a_line_that_is_not_whole_is_refused_by_its_number(tmp_path, change, said):
    values = json.loads(WHOLE.to_json()) | change
    (tmp_path / "qa.jsonl").write_text(f"{WHOLE.to_json()}\n{json.dumps(values)}\n")
    with pytest.raises(DialogueError) as error:
        read_dialogues(tmp_path / "qa.jsonl")
    assert "qa.jsonl:2: " in str(error.value) and said in str(error.value)


@pytest.mark.parametrize("line", ["", "[]", "{", '"text"', "{}"])
def test_what_is_no_object_is_refused(line):
    with pytest.raises(DialogueError, match="^file:1: "):
        Dialogue.from_json(line, source="file:1")


def test_of_turns_it_is_said_what_is_wrong():
    user, assistant = Turn("user", "Which?"), Turn("assistant", "this")
    assert what_is_wrong([user, assistant, user, assistant]) == ""
    assert what_is_wrong([Turn("system", "x"), user, assistant]) == ""
    assert "unknown role 'gpt'" in what_is_wrong([user, Turn("gpt", "this")])
    assert "turn 2 (assistant) says nothing" in what_is_wrong([user, Turn("assistant", " ")])
    for turns in ([user, user, assistant], [user, Turn("system", "x"), assistant], [assistant]):
        assert "user and assistant in turn" in what_is_wrong(turns)


def test_recordings_are_found_in_their_order_and_must_be_the_same_peoples():
    rows = [
        RecordingRow(name, person, "train", ())
        for name, person in (("00002", "ptbxl:11"), ("x", "y:1"), ("00001", "ptbxl:10"))
    ]
    assert recording_indices([WHOLE, WHOLE], rows) == [(2, 0), (2, 0)]
    with pytest.raises(DialogueError, match="qa.jsonl: dialogue 'qa/1' is about recording '00002'"):
        recording_indices([WHOLE], rows[1:], source="qa.jsonl")
    with pytest.raises(DialogueError, match="ptbxl:11 in train, ptbxl:11 in train"):
        recording_indices([WHOLE], [*rows, rows[0]])
