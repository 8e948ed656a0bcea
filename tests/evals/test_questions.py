"""Questions in words: every form is read, and what cannot be asked is named."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.manifest import RecordingRow
from elm_jax.evals.zero_shot.prompt_files import load_questions, shipped
from elm_jax.evals.zero_shot.questions import PromptError, Question, parse_question

YES_NO = {"positive": ["Slowing is seen."], "negative": ["No slowing is seen."]}


def rows(*values, name="q"):
    return [
        RecordingRow(f"r{i}", f"p{i}", "test", (), (), {} if v is None else {name: v})
        for i, v in enumerate(values)
    ]


def test_a_finding_has_its_positive_class_second_whatever_the_order():
    for content in (YES_NO, dict(reversed(YES_NO.items()))):
        question = parse_question("q", content, "config")
        assert question.class_names == ("negative", "positive") and question.yes_no
        assert question.classes[1].prompts == ("Slowing is seen.",)
    np.testing.assert_array_equal(question.answers(rows(1, "no", None)), [1, 0, np.nan])


def test_more_classes_are_named_by_the_labels_values():
    content = {"awake": ["Awake."], "drowsy": ["Drowsy."], "2": ["Stage 2 sleep."]}
    question = parse_question("q", content, "config")
    found = question.answers(rows("Drowsy", " awake", 2, 2.0, None, ""))
    np.testing.assert_array_equal(found, [1, 0, 2, 2, np.nan, np.nan])
    with pytest.raises(PromptError, match=r"'q' of recording 'r1' is 'REM', which is no class"):
        question.answers(rows("awake", "REM"))


def test_templates_take_every_word_and_ranges_take_numbers():
    content = {
        "label": "age",
        "templates": ["EEG of {article} {finding}.", "{finding}, awake."],
        "ignore": ["unknown"],
        "classes": {
            "adult": {"words": {"article": ["an"], "finding": ["adult", "grown-up"]}, "below": 65},
            "old": {"words": {"article": ["an"], "finding": ["old person"]}, "from": 65},
        },
    }
    question = parse_question("age_group", content, "x.yaml")
    assert question.classes[0].prompts == (
        "EEG of an adult.", "EEG of an grown-up.", "Adult, awake.", "Grown-up, awake.",
    )  # fmt: skip
    found = question.answers(rows(18, "64.9", 65, "unknown", None, name="age"))
    np.testing.assert_array_equal(found, [0, 0, 1, np.nan, np.nan])
    with pytest.raises(PromptError, match="'old' .*no class|is 'old', which is no"):
        question.answers(rows("old", name="age"))


def full(**classes):
    return {"templates": ["There is {finding}."], "classes": classes}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"positive": ["a"]}, "'positive' and 'negative', found {'positive': 1}"),
        ({"positive": ["a"], "normal": ["b"]}, "'positive' and 'negative'"),
        ({"only": ["a"]}, r"two or more classes, found \['only'\]"),
        ({}, "two or more classes"),
        ({"a": ["x"], "b": []}, "class 'b': a class needs prompts"),
        ({"a": ["x"], "b": ["y", "  "]}, r"class 'b': prompts: text 2 of 2 is '  '.*not be empty"),
        ({"a": ["x"], "b": "y"}, "class 'b': prompts: expected a list of texts, found 'y'"),
        ({"a": ["x"], "b": [True]}, "put it in quotes"),
        ({"a": ["x"], False: ["y"]}, "the class False must be text; put it in quotes"),
        ({"a": ["x", "y", "X"], "b": ["z"]}, "class 'a'.*'X' is there twice"),
        ({"a": ["x"], "b": ["y", "X"]}, "'X' is there twice, in 'a' and 'b'"),
        (full(a={"words": ["x"]}, b={"words": ["y", "x"]}), "'There is x.' is there twice, in 'a'"),
        (full(a={"words": ["x", "x"]}, b={"words": ["y"]}), "class 'a'.*'x' is there twice"),
        (full(a={"words": ["x"]}, b={"words": {"side": ["y"]}}), r"needs words for \['finding'\]"),
        (full(a={"words": ["x"]}, b={"prompt": ["y"]}), r"class 'b': unknown \['prompt'\]"),
        (full(a={"words": ["x"]}, b={"words": ["y"], "values": ["A"]}), r"values \['a'\] are of"),
        ({"templates": ["Nothing."], "classes": {"a": {"words": ["x"]}, "b": ["y"]}}, "no slot"),
        ({"classes": {"a": {"words": ["x"]}, "b": ["y"]}}, "words need 'templates'"),
        ({"classes": {"a": ["x"], "b": ["y"]}, "lable": "z"}, r"unknown \['lable'\]"),
        (
            {"classes": {"a": {"prompts": ["x"], "below": 9}, "b": {"prompts": ["y"], "from": 8}}},
            "ranges of 'a' and 'b' overlap",
        ),
        ({"classes": {"a": ["x"], "b": {"prompts": ["y"], "from": 3, "below": 3}}}, "is empty"),
        (["x", "y"], "expected classes"),
    ],
)
def test_what_cannot_be_asked_is_named(content, told):
    with pytest.raises(PromptError, match=f"(?s)x.yaml: question 'q'.*{told}"):
        parse_question("q", content, "x.yaml")


@given(
    st.lists(st.text("ab ", max_size=4), max_size=4),
    st.lists(st.text("ab ", max_size=4), max_size=4),
)
@settings(max_examples=150, deadline=None)
def test_classes_are_distinct_and_not_empty_or_an_error_says_why(first, second):
    try:
        question = parse_question("q", {"a": first, "b": second}, "config")
    except PromptError as error:
        assert "question 'q'" in str(error)
        return
    prompts = [p.lower() for c in question.classes for p in c.prompts]
    assert len(set(prompts)) == len(prompts) and all(prompts)
    assert all(c.prompts for c in question.classes)


# -- files --------------------------------------------------------------------------------------


def test_yaml_and_json_of_a_users_give_the_same_questions(tmp_path):
    content = {"slow": YES_NO, "state": {"awake": ["Awake."], "asleep": ["Asleep."]}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.yaml").write_text(
        "slow:\n  positive: [Slowing is seen.]\n  negative: [No slowing is seen.]\n"
        "state:\n  awake: [Awake.]\n  asleep: [Asleep.]\n",
        encoding="utf-8-sig",
    )
    found = [load_questions({}, [str(tmp_path / f"a.{kind}")]) for kind in ("yaml", "json")]
    assert found[0] == found[1] and list(found[0]) == ["slow", "state"]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.yaml", "q: {a: [x], b: [y], a: [z]}", "'a' is there twice"),
        ("a.yaml", "q: {a: [x], b: [y]}\nq: {a: [x], b: [z]}", "'q' is there twice"),
        ("a.json", '{"q": {"a": ["x"], "b": ["y"], "b": ["z"]}}', "'b' is there twice"),
        ("a.yaml", "q: [unclosed", "a.yaml: "),
        ("a.json", '{"q": ', "a.json: "),
        ("a.yaml", "", "expected questions by name, found NoneType"),
        ("a.yaml", "- x", "expected questions by name, found list"),
        ("a.yaml", "q: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    ],
)
def test_a_damaged_or_dangerous_file_is_refused(tmp_path, name, text, told):
    (tmp_path / name).write_text(text)
    with pytest.raises(PromptError, match=told):
        load_questions({}, [str(tmp_path / name)])


def test_sources_of_questions_are_named_where_they_fail(tmp_path):
    with pytest.raises(PromptError, match="'sleeep' is neither a path .*normal_abnormal.*sleep"):
        load_questions({}, ["sleeep"])
    with pytest.raises(PromptError, match="expected a list"):
        load_questions({}, "sleep")
    with pytest.raises(PromptError, match="no questions: give 'prompts'"):
        load_questions({})
    with pytest.raises(FileNotFoundError):
        load_questions({}, [str(tmp_path / "none.yaml")])


def test_a_question_in_own_words_takes_the_place_of_the_shipped_one(tmp_path):
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"sleep": YES_NO}))
    wanted = load_questions({"sleep": YES_NO})["sleep"]
    for found in (
        load_questions({"sleep": YES_NO}, ["sleep"]),
        load_questions({}, ["sleep", str(own)]),
        load_questions({}, [str(own), "sleep"]),
    ):
        assert found["sleep"] == wanted
        assert set(found) == set(load_questions({}, ["sleep"]))
    with pytest.raises(PromptError, match="question 'sleep' is in .*own.json and in config"):
        load_questions({"sleep": YES_NO}, [str(own)])
    with pytest.raises(
        PromptError, match="question 'sleep' is in .*sleep.yaml and in .*sleep.yaml"
    ):
        load_questions({}, ["sleep", "sleep"])


def test_the_shipped_sets_cover_the_findings_of_reports():
    found = load_questions({}, shipped())
    questions = {name: asked for name, asked in found.items() if isinstance(asked, Question)}
    wanted = {
        "abnormal", "slowing", "generalized_slowing", "focal_slowing_left", "slowing_distribution",
        "epileptiform", "sharp_waves", "spike_wave", "seizure", "sleep", "drowsiness", "state",
        "medication_effect", "artifact", "artifact_kind", "age_group", "sex",
    }  # fmt: skip
    assert wanted <= set(questions)
    assert len({len(c.prompts) for c in questions["abnormal"].classes}) == 1
    assert len(questions["abnormal"].classes[0].prompts) >= 20
    for question in questions.values():
        for c in question.classes:
            assert len(c.prompts) >= 3
            for prompt in c.prompts:
                assert prompt[0].isupper() and prompt.endswith(".") and "{" not in prompt
    people = questions["age_group"].answers(rows(3, 15, 40, 80, name="age"))
    np.testing.assert_array_equal(people, [0, 1, 2, 3])
    sexes = questions["sex"].answers(rows("F", "male", "f", name="sex"))
    np.testing.assert_array_equal(sexes, [0, 1, 0])
