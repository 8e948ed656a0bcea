"""Parts of published dialogues: texts, turns, names of records, lists of entries."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_talk import talk

from data_prep.dialogues.base_records import BaseRecord, Unusable, record_of_path
from data_prep.dialogues.entries import entries_of
from data_prep.dialogues.published import conversation, plain, signal_for_image, texts_of
from elm_jax.data.dialogues import DialogueError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("yes", ("yes",)),
        (["yes"], ("yes",)),
        ([*"What is it?"], ("What is it?",)),
        ([*"no"], ("no",)),
        (["A"], ("A",)),
        (["lead I", "lead II"], ("lead I", "lead II")),
        (["A", "lead I"], ("A", "lead I")),
    ],
)
def test_a_text_is_not_split_into_characters_and_one_that_was_becomes_a_text(value, expected):
    assert texts_of(value, "answer") == expected


@pytest.mark.parametrize("value", [None, 3, [], [1], "", ["aa", " "], ["A", "F"], {"a": 1}])
def test_what_is_no_text_or_could_be_two_is_refused(value):
    with pytest.raises(Unusable):
        texts_of(value, "answer")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "expected turns, found null"),
        ("What?", "expected turns"),
        ([{"from": "human"}], "value of turn 1: expected text or texts, found null"),
        ([{"value": "What?"}], "'from': expected a role, found nothing among ['value']"),
        (talk("What?"), "the assistant last"),
        (talk("What?", "This", "And?"), "the assistant last"),
        (talk("This", "What?", roles=("gpt", "human")), "user and assistant in turn"),
        (talk("What?", "This", roles=("human", "narrator")), "unknown role 'narrator'"),
        ([], "user and assistant in turn"),
        (talk("<image>", "This"), "turn 1 (user) says nothing"),
    ],
)
def test_turns_that_are_no_dialogue_are_said_to_be_none(value, said):
    with pytest.raises(Unusable) as error:
        conversation(value, "conversations")
    assert said in str(error.value)


def test_roles_of_other_sets_are_known_and_a_system_turn_may_come_first():
    said = [
        {"from": "system", "value": "Be brief."},
        *talk("What?", "This.", roles=("User", "GPT")),
    ]
    turns, answers = conversation(said, "conversations")
    assert [turn.role for turn in turns] == ["system", "user", "assistant"]
    assert answers == ("This.",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ecg>\nWhat?", "What?"),
        ("What?\n<image>", "What?"),
        ("< IMAGE >What?", "What?"),
        (": Yes: it is", "Yes: it is"),
        ("assistant: : Yes", "Yes"),
        ("A: sinus rhythm", "A: sinus rhythm"),
        ("Compare <ecg> and <ecg>.", "Compare\nand\n."),
        ("imagery", "imagery"),
    ],
)
def test_markers_and_speakers_go_and_nothing_else(text, expected):
    assert plain(text) == expected


def test_an_image_becomes_a_signal_as_a_word_only():
    assert signal_for_image("Image of an image; imagery") == "Signal of an signal; imagery"


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="<:：", exclude_categories=["Cs"])))
def test_texts_without_markers_stay_as_they_are(text):
    assert plain(text) == text.strip()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 21837), st.sampled_from(["", "_lr", "_hr"]), st.integers(0, 99))
def test_every_way_to_name_a_record_of_ptbxl_is_the_same_record(ecg_id, rate, page):
    record = BaseRecord("ptbxl", str(ecg_id))
    folder = f"records500/{ecg_id // 1000:02d}000"
    assert record_of_path(f"ptb-xl/{folder}/{ecg_id:05d}{rate}-{page}.png") == record
    assert (
        record_of_path(f"ecg_ptbxl_benchmarking/data/ptbxl/{folder}/{ecg_id:05d}{rate}") == record
    )
    assert record_of_path(f"{ecg_id:05d}{rate}", "ptbxl") == record


@pytest.mark.parametrize("path", ["", "/", "a.png", "ptb-xl/scan.png", "mimic/4068923-0.png"])
def test_a_path_that_names_no_record_is_refused(path):
    with pytest.raises(Unusable):
        record_of_path(path)


def test_lists_are_read_entry_by_entry_whatever_their_layout(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.dialogues.entries._CHUNK_CHARS", 7)
    values = [{"a": [1, "]}, {\\"], "ü": None}, {}, {"b": {"c": "x" * 50}}]
    for text in (
        json.dumps(values),
        json.dumps(values, indent=4),
        f"\ufeff {json.dumps(values)}\n",
    ):
        (tmp_path / "a.json").write_text(text, encoding="utf-8")
        assert [*entries_of(tmp_path / "a.json")] == [*enumerate(values, 1)]
    (tmp_path / "a.json").write_text("[]")
    assert [*entries_of(tmp_path / "a.json")] == []
    lines = "\n\n".join(map(json.dumps, values))
    (tmp_path / "a.jsonl").write_text(lines)
    assert [*entries_of(tmp_path / "a.jsonl")] == [(1, values[0]), (3, values[1]), (5, values[2])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}', "a.json:1: expected a list of objects: '['"),
        ('[{"a": 1},\n 3]', "a.json:2: expected a list of objects: '{', found '3]'"),
        ('[{"a": 1}\n {"b": 2}]', "a.json:2: expected ',', found"),
        ('[{"a": 1},\n{"b": 2', "a.json:2: entry 2 is damaged, or the file is cut"),
        ('[{"a": 1}', "a.json:1: expected ',', found ''"),
        ('[{"a": 1},]', "expected a list of objects: '{', found ']'"),
        ('[{"a": 1}] x', "expected nothing after the list"),
        ("", "expected a list of objects: '['"),
        ("<html>", "expected a list of objects: '[', found '<html>'"),
    ],
)
def test_a_damaged_list_is_said_to_be_damaged_and_where(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DialogueError) as error:
        list(entries_of(tmp_path / "a.json"))
    assert said in str(error.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"a": "\xff\xfe"}]')
    (tmp_path / "a.parquet").write_bytes(b"PAR0")
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": \n')
    (tmp_path / "a.csv").write_text("a\n1\n")
    for name, said in {
        "a.json": "expected UTF-8 text", "a.parquet": "not a Parquet file",
        "a.jsonl": "a.jsonl:2: not JSON", "a.csv": "expected .json, .jsonl, .parquet",
    }.items():  # fmt: skip
        with pytest.raises(DialogueError, match=said):
            list(entries_of(tmp_path / name))
