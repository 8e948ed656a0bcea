"""Zero-shot tasks: every class by itself, their mean, whom it counts, and what cannot be asked."""

import csv
import json
import math

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score
from tiny_shards import tiny_spec

from elm_jax.data.manifest import PieceRow, RecordingRow
from elm_jax.data.pipeline import Windows
from elm_jax.data.text import TextTable
from elm_jax.evals.base import Encoded, EvalData
from elm_jax.evals.scores import with_interval
from elm_jax.evals.zero_shot.eval import ZeroShot
from elm_jax.evals.zero_shot.prompt_files import load_questions, shipped, shipped_task
from elm_jax.evals.zero_shot.questions import PromptError
from elm_jax.evals.zero_shot.tasks import VARIANTS, parse_task

CLASSES = ("A", "B", "C", "D")
TASK = {"t": {"task": "codes", "classes": {c: [f"{c} is seen"] for c in CLASSES}}}
TASKS = ("ptbxl_super", "ptbxl_sub", "ptbxl_form", "ptbxl_rhythm", "cpsc2018", "csn")


class CodedData(EvalData):
    """Recordings of two windows; a window leans to the texts of the codes its recording has."""

    def __init__(self, codes, *, recordings_each=1, **labels):
        class Manifest:
            simulated, spec = True, tiny_spec().replace(modality="ecg", resample="polyphase")

        self.manifest, self._require_whole, self._rows_per_batch = Manifest, None, 4
        self._table = self.table
        self.rows = [
            RecordingRow(
                f"r{i:03d}", f"x:p{i // recordings_each:03d}", "test",
                (PieceRow(i, 0.0, 1000),), (),
                {k: v[i] for k, v in labels.items()} | ({} if own is None else {"codes": own}),
            )
            for i, own in enumerate(codes)
        ]  # fmt: skip
        self.windows = lambda split: Windows.of(self.rows, 500)

    def recordings(self, split):
        return self.rows

    def table(self, texts):
        emb = [[float(text.startswith(c)) for c in CLASSES] + [0.1] for text in texts]
        return TextTable(tuple(texts), {"text_emb": np.asarray(emb, np.float32)})

    def encoded(self, predict, split):
        windows = self.windows(split)
        x = np.random.default_rng(0).normal(0, 1, (len(windows), 5)).astype(np.float32)
        for i, r in enumerate(windows.recording):
            for code in set(self.rows[r].labels.get("codes", ())) & set(CLASSES):
                x[i, CLASSES.index(code)] += 0.8
        return Encoded(x, x, windows.recording)


def predict(batch):
    return {"text_projection": batch["text_emb"]}


def some_codes(n=60, seed=0):
    """A and B often, C of seven recordings, D of four; some have nothing, or are missing."""
    rng = np.random.default_rng(seed)
    codes = [[c for c in "AB" if rng.random() < 0.4] for _ in range(n)]
    for i in range(7):
        codes[5 * i].append("C")
    for i in range(4):
        codes[7 * i + 1].append("D")
    codes[2], codes[3] = None, []
    return codes


def run(data, **settings):
    given = {"split": "test", "label": "t", "prompts": TASK, "calibration_split": ""}
    evaluate = ZeroShot(**(given | settings))
    evaluate.check(data)
    return evaluate(predict, data)


def by_hand(data):
    """Truth and mean cosine ``[n, k]`` of the recordings that have the label."""
    x = data.encoded(predict, "test").projection.astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    text = np.eye(4, 5)
    text[:, 4] = 0.1
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    cosine = (x @ text.T).reshape(-1, 2, 4).mean(axis=1)
    use = [i for i, row in enumerate(data.rows) if "codes" in row.labels]
    truth = np.asarray([[float(c in data.rows[i].labels["codes"]) for c in CLASSES] for i in use])
    people = np.asarray([data.rows[i].person for i in use])
    return truth, cosine[use], people


def area(truth, score):
    """Mann and Whitney's statistic from ranks."""
    positives, n = truth.sum(), len(truth)
    return (rankdata(score)[truth == 1].sum() - positives * (positives + 1) / 2) / (
        positives * (n - positives)
    )


def rows_of(result, table):
    return {row.get("class", row.get("prompts")): row for row in result.tables[table]}


def test_a_class_is_scored_by_its_mean_cosine_and_the_mean_is_over_those_with_enough_people():
    data = CodedData(some_codes())
    result = run(data)
    truth, cosine, _ = by_hand(data)
    expected = [roc_auc_score(truth[:, k], cosine[:, k]) for k in range(4)]
    rows = rows_of(result, "classes")
    for k, name in enumerate(CLASSES):
        assert rows[name]["auroc"] == pytest.approx(expected[k], abs=1e-4)
        assert rows[name]["positives"] == truth[:, k].sum() and rows[name]["chance"] == 0.5
        assert rows[name]["positives"] + rows[name]["negatives"] == 59
    assert [rows[c]["in_mean"] for c in CLASSES] == [True, True, True, False]
    (row,) = result.tables["tasks"]
    assert row["macro_auroc"] == pytest.approx(np.mean(expected[:3]), abs=1e-4)
    assert (row["classes"], row["of"], row["recordings"], row["not_scored"]) == (3, 4, 59, 1)
    assert result.scalars["t_macro_auroc"] == row["macro_auroc"]
    assert result.scores[0]["t=A"] == pytest.approx(cosine[0, 0], abs=1e-5)
    assert len(result.scores) == 60


def test_people_are_drawn_once_for_all_classes_and_a_class_that_a_draw_lacks_is_left_out_of_it():
    data = CodedData(some_codes(seed=1), recordings_each=12)
    row = rows_of(run(data), "tasks")[""]
    truth, cosine, people = by_hand(data)

    lost = []

    def mean_of_defined(*columns):
        both = [(t, s) for t, s in zip(columns[:3], columns[3:], strict=True) if 0 < t.mean() < 1]
        lost.append(3 - len(both))
        return np.mean([area(t, s) for t, s in both])

    columns = (*truth[:, :3].T, *cosine[:, :3].T)
    found = with_interval(mean_of_defined, people, *columns)
    assert row["people"] == 5 and 0 < np.mean(lost) < 0.2  # C is of three people's recordings
    for name, value in zip(("", "_low", "_high"), found, strict=True):
        assert row[f"macro_auroc{name}"] == pytest.approx(value, abs=1e-4)


def test_recordings_with_none_of_the_classes_are_negatives_or_are_left_out_as_in_merl():
    codes = some_codes()
    data = CodedData(codes)
    empty = sum(c is not None and not c for c in codes)
    left = run(data, no_class="left_out").tables["tasks"][0]
    assert left["recordings"] == 59 - empty and left["not_scored"] == 1 + empty
    assert run(data, no_class="negative").tables["tasks"][0]["recordings"] == 59
    with pytest.raises(ValueError, match="no_class is 'drop'; known"):
        run(data, no_class="drop")
    with pytest.raises(ValueError, match="min_positives is 0"):
        run(data, min_positives=0)


def test_how_many_a_class_needs_can_be_said_and_a_task_without_such_a_class_has_no_mean():
    data = CodedData(some_codes())
    assert run(data, min_positives=4).tables["tasks"][0]["classes"] == 4
    result = run(data, min_positives=50)
    assert result.tables["tasks"][0]["macro_auroc"] is None and not result.scalars
    assert "no class has 50 recordings of split 'test' with it" in result.notes[0]
    assert not result.figures


def test_variants_of_texts_are_side_by_side_in_one_table_and_one_figure():
    classes = {c: {"short": [f"{c} short"], "enriched": [f"{c} a", f"{c} b"]} for c in CLASSES}
    prompts = {"t": {"task": "codes", "classes": classes}}
    result = run(CodedData(some_codes()), prompts=prompts, variants=VARIANTS)
    assert set(rows_of(result, "tasks")) == {"short", "enriched"}
    assert {"t_short_macro_auroc", "t_enriched_macro_auroc_low"} <= set(result.scalars)
    (figure,) = result.figures.values()
    axes = figure.axes[0]
    assert "zero_shot_t" in result.figures and "(simulated ECG)" in axes.get_title(loc="left")
    shown = {tick.get_text() for tick in axes.get_yticklabels()}
    assert "C (7)" in shown and "mean" in shown and not any(s.startswith("D") for s in shown)
    assert "1 classes of fewer than 5" in axes.get_xlabel()
    with pytest.raises(PromptError, match=r"no texts \['long'\]; those are short, enriched"):
        run(CodedData(some_codes()), prompts=prompts, variants=("long",))


def test_questions_and_tasks_of_one_run_share_a_row_of_scores_and_the_label_may_be_a_task():
    ill = [int(bool(c)) for c in some_codes()]
    prompts = TASK | {"ill": {"positive": ["A", "B"], "negative": ["C"]}}
    other = {"u": {"task": "nothing", "classes": {"A": ["A"]}}}
    result = run(CodedData(some_codes(), ill=ill), prompts=prompts | other)
    assert {"findings", "tasks", "classes"} <= set(result.tables)
    assert {"ill", "t=A", "u=A", "recording", "person"} <= set(result.scores[0])
    notes = "\n".join(result.notes)
    assert "u: no recording of split 'test' has a label 'nothing' (labels: codes, ill)" in notes
    assert "no question asked here" not in notes
    assert [row["task"] for row in result.tables["tasks"]] == ["t"]


def test_a_list_of_values_is_no_answer_to_a_question_with_one_and_the_way_is_told():
    question = {"codes": {"A": ["A"], "B": ["B"]}}
    with pytest.raises(PromptError, match="is a list of values.*'task: codes'"):
        run(CodedData(some_codes()), prompts=question, calibration_split="")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"task": "x"}, "'classes' must map names to texts"),
        ({"task": "", "classes": {"A": ["a"]}}, "'task' must name a label"),
        ({"task": "x", "classes": {"A": []}}, "class 'A': a class needs texts"),
        ({"task": "x", "classes": {"A": "a"}}, "expected a list of texts, found 'a'"),
        ({"task": "x", "classes": {"A": {"short": []}}}, "a class needs texts"),
        ({"task": "x", "classes": {"A": ["a", " A "]}}, "is there twice"),
        ({"task": "x", "classes": {1: ["a"]}}, "the class 1 must be text; put it in quotes"),
        ({"task": "x", "classes": {"A": {"shorts": ["a"]}}}, r"unknown \['shorts'\]"),
        ({"task": "x", "classes": {"A": ["a"]}, "templates": []}, r"unknown \['templates'\]"),
        (
            {"task": "x", "classes": {"A": {"short": ["a"]}, "B": {"enriched": ["b"]}}},
            r"class 'A': has no \['enriched'\], which other classes have",
        ),
        (
            {"task": "x", "classes": {"A": {"short": ["a"], "prompts": ["b"]}}},
            "give 'prompts' or variants, not both",
        ),
        (
            {"task": "x", "classes": {"A": ["a"], "B": {"values": ["b", "a"], "prompts": ["c"]}}},
            "the value 'a' is of 'A' and of 'B'",
        ),
        ({"task": "x", "classes": {"A": {"values": "a", "prompts": ["c"]}}}, "must be a list"),
    ],
)
def test_a_task_that_cannot_be_asked_is_refused(content, told):
    with pytest.raises(PromptError, match=told):
        parse_task("t", content, "config")


def test_merls_file_of_texts_speaks_for_a_task_by_the_names_that_it_has(tmp_path):
    texts = {"NORM": "normal ecg, sinus", "MI": "infarction", "STTC": "st", "CD": "x", "HYP": "h"}
    path = tmp_path / "CKEPE_prompt.json"
    path.write_text(json.dumps(texts | {"AVB": "of another task"}))
    found = load_questions({}, (f"ptbxl_super={path}", "ptbxl_super"), variants=("enriched",))
    assert list(found) == ["ptbxl_super_enriched", "ptbxl_super_CKEPE_prompt"]
    worded = found["ptbxl_super_CKEPE_prompt"]
    assert worded.classes[0].prompts == ("normal ecg, sinus",) and worded.label == "superclass"
    assert worded.labels == found["ptbxl_super_enriched"].labels
    with pytest.raises(PromptError, match=r"no text for \['NST_', .*'WPW'\] of the task"):
        load_questions({}, (f"ptbxl_sub={path}",))
    with pytest.raises(PromptError, match="there is no task 'sleep'; shipped: cpsc2018, csn, ptb"):
        load_questions({}, (f"sleep={path}",))
    with pytest.raises(PromptError, match="'ptbxl_super_CKEPE_prompt', which is there"):
        load_questions({}, (f"ptbxl_super={path}",) * 2)
    mine = {"t": {"task": "codes", "classes": {"A": {"values": ["mi"], "prompts": ["one"]}}}}
    reworded = load_questions(mine, (f"t={path}",))["t_CKEPE_prompt"]  # by one of its values
    assert reworded.classes[0].prompts == ("infarction",)


def test_shipped_tasks_have_the_published_classes_and_both_kinds_of_texts():
    counts = dict(zip(TASKS, (5, 23, 19, 12, 9, 38), strict=True))
    asked = load_questions({}, TASKS, variants=VARIANTS)
    assert len(asked) == 12 and set(TASKS) <= set(shipped())
    for name, n in counts.items():
        short, enriched = asked[f"{name}_short"], asked[f"{name}_enriched"]
        assert len(short.classes) == len(set(short.class_names)) == n
        assert short.labels == enriched.labels == shipped_task(name).labels
        for one, other in zip(short.classes, enriched.classes, strict=True):
            assert not set(one.prompts) & set(other.prompts)
        texts = [p for task in (short, enriched) for c in task.classes for p in c.prompts]
        assert not any("EEG" in text for text in texts)
        assert all(p[0].isupper() and p[-1] == "." for c in enriched.classes for p in c.prompts)


def test_ptbxl_tasks_are_those_of_its_table_of_statements(shared):
    with open(shared / "data" / "ptbxl" / "scp_statements.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    published = {
        "ptbxl_super": {r["diagnostic_class"] for r in rows if r["diagnostic"] == "1.0"},
        "ptbxl_sub": {r["diagnostic_subclass"] for r in rows if r["diagnostic"] == "1.0"},
        "ptbxl_form": {r[""] for r in rows if r["form"] == "1.0"},
        "ptbxl_rhythm": {r[""] for r in rows if r["rhythm"] == "1.0"},
    }
    for name, codes in published.items():
        assert {c.values[0] for c in shipped_task(name).classes} == codes


def test_a_recording_without_windows_has_no_score_and_nobody_is_scored_for_it():
    data = CodedData(some_codes())
    short = data.rows[0]
    data.rows[0] = RecordingRow(
        short.recording, short.person, "test", (PieceRow(0, 0.0, 100),), (), short.labels
    )
    data.windows = lambda split: Windows.of(data.rows, 500)
    result = run(data)
    assert result.tables["tasks"][0]["not_scored"] == 2
    assert math.isnan(result.scores[0]["t=A"])
