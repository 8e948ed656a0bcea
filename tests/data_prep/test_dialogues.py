"""Published questions about ECGs: each layout is read as it is, joins are exact, nobody leaks."""

import collections
import dataclasses
import json

import pyarrow
import pyarrow.parquet
import pytest
from published_talk import talk
from tiny_shards import tiny_spec

from data_prep.csv_tables import read_csv_table
from data_prep.dialogues.__main__ import NAMES, layout_of, main
from data_prep.findings import finding
from data_prep.reports_file import read_reports_file
from data_prep.tables import read_people
from elm_jax.data.dialogues import DialogueError, read_dialogues, recording_indices
from elm_jax.data.manifest import Manifest, PieceRow, RecordingRow, load_recordings


def prepared(directory, corpus, records, *, defects=(), by="person"):
    """A prepared directory without signals. ``records``: (recording, person, split, labels)."""
    rows = [
        RecordingRow(name, person, split, (PieceRow(i, 0.0, 500),), labels=labels)
        for i, (name, person, split, labels) in enumerate(records)
    ]
    directory.mkdir(parents=True)
    lines = [row.to_json() + "\n" for row in rows]
    (directory / "recordings.jsonl").write_text("".join(lines))
    Manifest(
        tiny_spec(), corpus, simulated=False, people={}, split_seed=0, counts={}, storage={},
        statistics={}, code_version="", options={"split_by": by}, defects=tuple(defects),
    ).save(directory)  # fmt: skip
    return directory


@pytest.fixture
def ptbxl(tmp_path):
    """Records 1, 2 (of one person) and 3 in train, 4 in test; 5 was left out."""
    return prepared(
        tmp_path / "prepared" / "ptbxl",
        "ptbxl",
        [
            ("00001", "ptbxl:10", "train", {"ecg_id": 1}),
            ("00002", "ptbxl:10", "train", {"ecg_id": 2}),
            ("00003", "ptbxl:11", "train", {"ecg_id": 3}),
            ("00004", "ptbxl:12", "test", {"ecg_id": 4}),
            ("00127", "ptbxl:13", "test", {"ecg_id": 127}),
        ],
        defects=[finding("records500/00000/00005_hr.hea", "no_deviation", "V1")],
    )


@pytest.fixture
def mimic(tmp_path):
    return prepared(
        tmp_path / "prepared" / "mimic",
        "mimic_iv_ecg",
        [
            ("40689238", "mimic:10000032", "train", {}),
            ("44458630", "mimic:10000032", "train", {}),
            ("41420867", "mimic:10001725", "test", {}),
        ],
    )


@pytest.fixture
def others(tmp_path):
    """Small directories of the other corpora, as they are prepared."""
    folder = tmp_path / "prepared"
    wfdb = [("training/georgia/g1/E00001", "local:E00001", "train", {})]
    return [
        prepared(folder / "code15", "code15", [("2508875", "code:7", "train", {})]),
        prepared(folder / "cpsc", "cpsc2018", [("A0001", "cpsc2018:A0001", "valid", {})]),
        prepared(folder / "csn", "csn", [("JS00001", "csn:JS00001", "train", {})]),
        f"georgia={prepared(folder / 'georgia', 'wfdb_folder', wfdb)}",
    ]


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def question(sample, ids, kind="single-verify", answer=("yes",), **more):
    return {
        "template_id": 26, "question_id": 1709, "sample_id": sample, "question_type": kind,
        "attribute_type": "noise", "question": "Does this ECG show static noise?",
        "answer": list(answer) if isinstance(answer, tuple) else answer, "ecg_id": ids,
        "attribute": ["static noise"],
    } | more  # fmt: skip


def run(name, source, records, out, *more):
    given = [*(source if isinstance(source, list) else [source])]
    records = [*(records if isinstance(records, list) else [records])]
    words = ["--input", *map(str, given), "--records", *map(str, records), "--out", str(out)]
    return main([name, *words, *map(str, more)])


def found(out):
    """Kinds of the findings, and their details."""
    lines = out.with_suffix(".findings.jsonl").read_text().splitlines()
    counted = collections.Counter(json.loads(line)["kind"] for line in lines)
    return counted, " | ".join(json.loads(line)["detail"] for line in lines)


def test_ecg_qa_in_its_published_layout(tmp_path, ptbxl, capsys):
    root = tmp_path / "ecg-qa" / "ecgqa"
    write(root / "ptbxl/template/train/00000.json", [question(0, [1]), question(1, [4])])
    write(root / "ptbxl/paraphrased/valid/00000.json", [question(0, [127], answer="no")])
    write(root / "mimic-iv-ecg/template/train/00000.json", [question(0, [40689238])])
    write(tmp_path / "ecg-qa" / "github_tree.json", {"tree": []})
    out = tmp_path / "qa.jsonl"
    assert run("ecgqa_ptbxl", tmp_path / "ecg-qa", ptbxl, out) == 0
    rows = {row.id: row for row in read_dialogues(out)}
    assert list(rows) == [
        f"ecgqa_ptbxl/{name}"
        for name in ("paraphrased/valid/0", "template/train/0", "template/train/1")
    ]
    row = rows["ecgqa_ptbxl/paraphrased/valid/0"]
    assert (row.corpus, row.recordings, row.people, row.split) == (
        "ptbxl", ("00127",), ("ptbxl:13",), "test",
    )  # fmt: skip
    assert [(turn.role, turn.text) for turn in row.turns] == [
        ("user", "Does this ECG show static noise?"), ("assistant", "no"),
    ]  # fmt: skip
    assert row.answers == ("no",) and row.question_type == "single-verify"
    assert row.published["template_id"] == 26 and row.published_split == "valid"
    said = capsys.readouterr().out
    assert "3 dialogues" in said and "Of the set's own train: 1 in train, 1 in test" in said
    assert run("ecgqa_ptbxl", tmp_path / "ecg-qa", ptbxl, out, "--form", "template") == 0
    assert len(read_dialogues(out)) == 2
    (file,) = (tmp_path / "ecg-qa").rglob("paraphrased/**/*.json")  # named, and of the other form
    assert run("ecgqa_ptbxl", file, ptbxl, out, "--form", "template") == 2
    assert "holds no file of ecgqa_ptbxl" in capsys.readouterr().err


def test_mimics_questions_are_of_studies(tmp_path, mimic):
    root = tmp_path / "ecgqa/mimic-iv-ecg"
    write(root / "template/test/270000.json", [question(7, [41420867], answer=("none",))])
    write(tmp_path / "ecgqa/ptbxl/template/train/0.json", [question(0, [1])])
    assert run("ecgqa_mimic_iv_ecg", tmp_path / "ecgqa", mimic, tmp_path / "qa.jsonl") == 0
    (row,) = read_dialogues(tmp_path / "qa.jsonl")
    assert row.recordings == ("41420867",) and row.split == "test"


def test_a_comparison_of_people_of_two_splits_is_left_out_and_listed(tmp_path, ptbxl):
    kind, pair = "comparison_irrelevant-query", ("qrs duration", "pr interval")
    questions = [question(i, ids, kind, pair) for i, ids in enumerate([[3, 1], [2, 1], [1, 4]])]
    file = write(tmp_path / "template_train.json", questions)
    assert run("ecgqa_ptbxl", file, ptbxl, tmp_path / "qa.jsonl") == 0
    rows = read_dialogues(tmp_path / "qa.jsonl")
    assert [row.recordings for row in rows] == [("00003", "00001"), ("00002", "00001")]
    assert rows[0].people == ("ptbxl:11", "ptbxl:10") and rows[0].answers == pair
    assert rows[0].turns[1].text == "qrs duration; pr interval"
    kinds, detail = found(tmp_path / "qa.jsonl")
    assert kinds == {"dialogue_of_several_splits": 1}
    assert detail == "00001 of ptbxl:10 in train, 00004 of ptbxl:12 in test"


def test_joins_that_fail_are_counted_by_why(tmp_path, ptbxl, capsys):
    broken = [
        question(1, [5]), question(2, [99]), question(3, [1, 2]), question(4, ["1"]),
        question(5, [True]), question(6, 1), question(7, [1], question=None), question("8", [1]),
        question(9, [1], answer=[]), question(10, [1], answer=[1]), question(11, [1], answer=" "),
        question(12, [1], kind="comparison_consecutive-verify"), ["no object"],
    ]  # fmt: skip
    good = question(0, [1])
    file = write(tmp_path / "template_train.json", [good])
    file.write_text(json.dumps([good, *broken[:-1]]))
    assert run("ecgqa_ptbxl", file, ptbxl, tmp_path / "qa.jsonl") == 0
    kinds, detail = found(tmp_path / "qa.jsonl")
    assert kinds == {"dialogue_broken": 10, "record_left_out": 1, "record_not_prepared": 1}
    for part in (
        "ptbxl 5: no_deviation", "ptbxl 99", "expected 1 of a question of type 'single-verify'",
        "'ecg_id': expected a list of numbers, found 1", "'question': expected a text, found null",
        "'sample_id': expected a number, found \"8\"", "expected 2 of a question of type",
        "'answer': expected text or texts, found [1]",
    ):  # fmt: skip
        assert part in detail
    said = capsys.readouterr().out
    assert "10  dialogue_broken: the entry is not as its set is published: left out" in said


def test_nothing_that_can_be_joined_is_an_error_that_says_why(tmp_path, ptbxl, capsys):
    file = write(tmp_path / "template_train.json", [question(0, [98]), question(1, [99])])
    assert run("ecgqa_ptbxl", file, ptbxl, tmp_path / "qa.jsonl") == 2
    said = capsys.readouterr().err
    assert "2 record_not_prepared, such as" in said and "template_train.json:1: ptbxl 98" in said
    assert not list(tmp_path.glob("qa*"))


def test_files_that_say_not_what_they_are_of_are_refused(tmp_path, ptbxl, capsys):
    file = write(tmp_path / "questions.json", [question(0, [1])])
    assert run("ecgqa_ptbxl", file, ptbxl, tmp_path / "qa.jsonl") == 2
    assert "template or paraphrased" in capsys.readouterr().err
    assert run("ecgqa_ptbxl", tmp_path, ptbxl, tmp_path / "qa.jsonl") == 2
    assert "holds no file of ecgqa_ptbxl" in capsys.readouterr().err
    assert run("ecgqa_ptbxl", tmp_path / "gone.json", ptbxl, tmp_path / "qa.jsonl") == 2
    assert "gone.json: no such file" in capsys.readouterr().err


def test_ecg_chats_sets_name_paths_of_mimic(tmp_path, mimic):
    entries = [
        {
            "id": "40689238", "ecg": "files/p1000/p10000032/s40689238/40689238",
            "conversations": talk("<ecg>\nIs there any abnormality?", "A sinus rhythm."),
        },
        {
            "id": "44458630", "ecg": "files/p1000/p10000032/s44458630/44458630",
            "conversations": talk(": What is the rate?\n<ecg>", ": 66 bpm.", ": Is it normal?",
                                  ": No; the note says: low voltages."),
        },
        {
            "id": "40000000", "ecg": "files/p1000/p10000099/s40000000/40000000",
            "conversations": talk("<ecg>", "lost"),
        },
    ]  # fmt: skip
    file = write(tmp_path / "ecg_instruct_45k.json", entries)
    for name in ("ecg_instruct_45k", "pretrain_mimic"):
        assert run(name, file, mimic, tmp_path / "talk.jsonl") == 0
        first, second = read_dialogues(tmp_path / "talk.jsonl", "train")
        assert first.turns[0].text == "Is there any abnormality?" and first.id.startswith(name)
        assert [turn.text for turn in second.turns] == [
            "What is the rate?", "66 bpm.", "Is it normal?", "No; the note says: low voltages.",
        ]  # fmt: skip
        assert second.answers == ("66 bpm.", "No; the note says: low voltages.")
        assert second.question_type is None and second.people == ("mimic:10000032",)
    kinds, detail = found(tmp_path / "talk.jsonl")
    assert kinds == {"dialogue_broken": 1} and "turn 1 (user) says nothing" in detail


def test_pulses_training_set_names_images_of_several_corpora(tmp_path, ptbxl, mimic, others):
    images = {
        "ptb-xl/records500/00000/00001_hr-0.png": ("ptbxl", "00001", "train"),
        "ptb-xl/00127_lr-12.png": ("ptbxl", "00127", "test"),
        "mimic/p1000/p10000032/s40689238/40689238-0.png": ("mimic_iv_ecg", "40689238", "train"),
        "mimic_v4/p1000/p10001725/s41420867/41420867-3.png": ("mimic_iv_ecg", "41420867", "test"),
        "code15_v4/2508875-0.png": ("code15", "2508875", "train"),
        "csn_aug_all_layout_papersize/JS00001-0.jpg": ("csn", "JS00001", "train"),
    }
    entries = [
        {
            "id": str(i), "image": image, "metadata": {"type": "open", "source": "x"},
            "conversations": talk("<image>\nWhat does the image show?", "Nothing."),
        }
        for i, image in enumerate([*images, "books/page-7.png", "ptb-xl/scan.png"])
    ]  # fmt: skip
    file = write(tmp_path / "ECGInstruct.json", entries)
    out = tmp_path / "pulse.jsonl"
    assert run("ecg_instruct_pulse", file, [ptbxl, mimic, *others], out) == 0
    rows = read_dialogues(out)
    assert [(r.corpus, *r.recordings, r.split) for r in rows] == [*images.values()]
    assert rows[0].question_type == "open" and rows[0].published["image"] == next(iter(images))
    assert rows[0].turns[0].text == "What does the image show?"
    assert found(out)[0] == {"record_not_named": 2}
    assert run("ecg_instruct_pulse", file, ptbxl, out, "--image_word", "signal") == 0
    assert read_dialogues(out)[0].turns[0].text == "What does the signal show?"
    kinds, detail = found(out)
    assert kinds["corpus_not_given"] == 4 and "no --records of mimic_iv_ecg" in detail


def test_gems_set_names_signals_of_several_corpora(tmp_path, ptbxl, mimic, others):
    paths = {
        "mimic-iv/files/p1000/p10000032/s44458630/44458630": "44458630",
        "ecg_ptbxl_benchmarking/data/ptbxl/records500/00000/00003_hr": "00003",
        "code15/2508875": "2508875",
    }
    said = {"conversations": talk("<ecg>\n<image>\nInterpret it.", "QRS 90 ms: normal.")}
    entries = [{"id": i, "ecg": path, "image": "x/y.png"} | said for i, path in enumerate(paths)]
    entries.append({"image": "gen_images/mimic_gen/41420867-0.png"} | said)
    write(tmp_path / "ecg_jsons" / "grounding_train_30k.json", entries)
    out = tmp_path / "grounding.jsonl"
    assert run("ecg_grounding", tmp_path / "ecg_jsons", [ptbxl, mimic, *others], out) == 0
    rows = read_dialogues(out)
    assert [row.recordings[0] for row in rows] == [*paths.values(), "41420867"]
    assert rows[0].turns[0].text == "Interpret it." and rows[0].answers == ("QRS 90 ms: normal.",)
    assert rows[3].id == "ecg_grounding/grounding_train_30k/4" and not found(out)[0]


def test_ecg_bench_is_read_as_pulse_publishes_it_and_as_ecg_bench_joins_it(tmp_path, ptbxl, others):
    subsets = {
        "ptb-test": ("images/00003_hr-0.png", "00003"),
        "cpsc-test": ("cpsc/A0001-0.png", "A0001"),
        "csn-test-no-cot": ("csn/JS00001-0.png", "JS00001"),
        "code15-test": ("code15/2508875-0.png", "2508875"),
        "g12-test-no-cot": ("g12/E00001-0.png", "training/georgia/g1/E00001"),
    }
    folder, joined = tmp_path / "ECGBench", []
    for name, (image, _) in subsets.items():
        entry = {"id": "1", "image_path": image, "conversations": talk("<image>\nWhich?", "A")}
        (folder / name).mkdir(parents=True)
        table = pyarrow.Table.from_pylist([entry | {"image": {"bytes": b"png", "path": image}}])
        pyarrow.parquet.write_table(table, folder / name / "test-00000-of-00001.parquet")
        name_of = {"name": name, "file_path": image, "file_name": image.split("/")[-1][:-6]}
        joined.append(name_of | {"conversations": entry["conversations"]})
    joined.append(joined[0] | {"name": "arena"})
    out = tmp_path / "bench.jsonl"
    assert run("ecg_bench_pulse", folder, [ptbxl, *others], out) == 0
    expected = {(name, recording) for name, (_, recording) in subsets.items()}
    rows = read_dialogues(out)
    assert {(row.question_type, *row.recordings) for row in rows} == expected
    assert rows[0].id == "ecg_bench_pulse/code15-test/1" and rows[0].answers == ("A",)
    assert "image" not in rows[0].published
    file = write(tmp_path / "ecg_bench_pulse_datasets.json", joined)
    assert run("ecg_bench_pulse", file, [ptbxl, *others], out) == 0
    assert {(row.question_type, *row.recordings) for row in read_dialogues(out)} == expected
    kinds, detail = found(out)
    assert kinds == {"record_not_named": 1} and "arena" in detail


def test_ecg_bench_of_no_known_subset_is_refused(tmp_path, ptbxl, capsys):
    entry = {"image_path": "00001_hr-0.png", "conversations": talk("What?", "This.")}
    file = write(tmp_path / "some.json", [entry])
    assert run("ecg_bench_pulse", file, ptbxl, tmp_path / "bench.jsonl") == 2
    assert "which subset of ECGBench" in capsys.readouterr().err


def test_what_is_published_twice_comes_once_and_names_are_made_unique(tmp_path, mimic):
    path = "files/p1000/p10000032/s40689238/40689238"
    entries = [
        {"id": name, "ecg": path, "conversations": talk("What?", answer)}
        for name, answer in [
            ("a", "1"),
            ("a", "1"),
            ("a", "2"),
            ("a#2", "3"),
            ("a", "4"),
            ("b", "5"),
        ]
    ]
    file = write(tmp_path / "talk.json", entries)
    assert run("pretrain_mimic", file, mimic, tmp_path / "out.jsonl") == 0
    rows = read_dialogues(tmp_path / "out.jsonl")  # which refuses an id that comes twice
    names = ["a", "a#2", "a#2#2", "a#3", "b"]
    assert [row.id for row in rows] == [f"pretrain_mimic/{name}" for name in names]
    assert found(tmp_path / "out.jsonl")[0] == {"dialogue_repeated": 1, "dialogue_id_repeated": 3}


def test_dialogues_belong_to_the_directory_that_they_were_written_for(tmp_path, ptbxl):
    file = write(tmp_path / "template_train.json", [question(0, [4]), question(1, [1])])
    assert run("ecgqa_ptbxl", file, ptbxl / "manifest.json", tmp_path / "qa.jsonl") == 0
    rows = read_dialogues(tmp_path / "qa.jsonl")
    recordings = load_recordings(ptbxl)
    assert recording_indices(rows, recordings) == [(3,), (0,)]
    moved = [dataclasses.replace(row, split="train") for row in recordings]
    with pytest.raises(DialogueError, match="'00004' of ptbxl:12 in split test; among"):
        recording_indices(rows, moved)
    with pytest.raises(DialogueError, match="it is not there"):
        recording_indices(rows, recordings[:3])


def test_what_is_said_of_recordings_becomes_a_reports_file(tmp_path, ptbxl, mimic, capsys):
    kind = "comparison_irrelevant-query"
    asked = [question(0, [1]), question(1, [1], answer="no"), question(2, [1, 2], kind)]
    file = write(tmp_path / "template_train.json", asked)
    reports = tmp_path / "reports.jsonl"
    assert run("ecgqa_ptbxl", file, ptbxl, tmp_path / "qa.jsonl", "--reports", reports) == 0
    (entry,) = read_reports_file(reports)
    ask = "Does this ECG show static noise?"
    assert entry.recording == "00001" and entry.reports == (f"{ask} yes", f"{ask} no")
    path = "files/p1000/p10000032/s40689238/40689238"
    said = [{"ecg": path, "conversations": talk("Report?", "Sinus rhythm.")}]
    file = write(tmp_path / "pretrain.json", said)
    assert run("pretrain_mimic", file, mimic, tmp_path / "o.jsonl", "--reports", reports) == 0
    assert read_reports_file(reports)[0].reports == ("Sinus rhythm.",)
    both = [ptbxl, mimic]
    assert run("pretrain_mimic", file, both, tmp_path / "o.jsonl", "--reports", reports) == 2
    assert "--records has mimic_iv_ecg, ptbxl; give one" in capsys.readouterr().err


def test_a_table_of_people_makes_the_sets_own_splits_those_of_the_recordings(tmp_path, ptbxl):
    kind = "comparison_irrelevant-query"
    write(tmp_path / "qa/template/train/0.json", [question(0, [4]), question(1, [1, 4], kind)])
    write(tmp_path / "qa/template/test/0.json", [question(0, [1])])
    table = tmp_path / "people.csv"
    out = tmp_path / "qa.jsonl"
    assert run("ecgqa_ptbxl", tmp_path / "qa", ptbxl, out, "--people", table) == 0
    people = read_people(table).table  # as preparing reads it
    assert [tuple(row.values()) for row in people] == [
        ("00001", "ptbxl:10", "test"), ("00002", "ptbxl:10", "test"),
        ("00004", "ptbxl:12", "train"),
    ]  # fmt: skip
    split = {row["person"]: row["split"] for row in people} | {"ptbxl:11": "valid"}
    again = [
        (r.recording, r.person, split.get(r.person, "train"), {}) for r in load_recordings(ptbxl)
    ]
    again = prepared(tmp_path / "again", "ptbxl", again)
    assert run("ecgqa_ptbxl", tmp_path / "qa", again, out) == 0
    assert all(row.split == row.published_split for row in read_dialogues(out))
    assert found(out)[0] == {"dialogue_of_several_splits": 1}


def test_records_that_stand_twice_or_leak_between_directories_are_refused(tmp_path, ptbxl, capsys):
    file = write(tmp_path / "template_train.json", [question(0, [1])])
    twin = prepared(tmp_path / "twin", "ptbxl", [("00001", "ptbxl:10", "train", {"ecg_id": 1})])
    leak = prepared(tmp_path / "leak", "ptbxl", [("00009", "ptbxl:10", "test", {"ecg_id": 9})])
    odd = prepared(tmp_path / "odd", "ptbxl", [("first", "ptbxl:10", "train", {})])
    eeg = prepared(tmp_path / "eeg", "tueg", [("00001", "tuh:1", "train", {})])
    for directories, said in {
        (ptbxl, twin): "ptbxl 1 is recording '00001' of",
        (ptbxl, leak): "ptbxl:10 is in split train of",
        (odd,): "'first' is not called as records of ptbxl are",
        (eeg,): "was prepared as 'tueg', and questions are about ptbxl, mimic_iv_ecg",
        (tmp_path / "gone",): "no such directory",
    }.items():
        assert run("ecgqa_ptbxl", file, [*directories], tmp_path / "qa.jsonl") == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "qa.jsonl").exists()
    ids = [("00001", "ptbxl:10", "train", {}), ("00002", "ptbxl:10", "test", {})]
    by_recording = prepared(tmp_path / "by", "ptbxl", ids, by="recording")  # said when preparing
    assert run("ecgqa_ptbxl", file, by_recording, tmp_path / "qa.jsonl") == 0


def test_every_name_has_a_layout_and_options_of_others_are_mistakes(tmp_path, capsys):
    assert [layout_of(name).name for name in NAMES] == [*NAMES]
    words = ["--input", "a", "--records", "b", "--out"]
    for name, more, said in (
        ("pretrain_mimic", ["c.jsonl", "--form", "template"], "--form says nothing of pretrain"),
        ("pretrain_mimic", ["c.json"], "expected a name that ends in .jsonl"),
    ):
        with pytest.raises(SystemExit):
            main([name, *words, *more])
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("form", ["template", "paraphrased"])
def test_of_the_real_questions_every_one_is_joined_or_listed(tmp_path, shared, form):
    table = read_csv_table(shared / "data/ptbxl/ptbxl_database.csv")
    directory = prepared(
        tmp_path / "ptbxl",
        "ptbxl",
        [
            (
                f"{int(row['ecg_id']):05d}", f"ptbxl:{int(float(row['patient_id']))}",
                {"9": "valid", "10": "test"}.get(row["strat_fold"], "train"), {},
            )
            for row in table.rows
        ],
    )  # fmt: skip
    out = tmp_path / "qa.jsonl"
    assert run("ecgqa_ptbxl", shared / "data/ecgqa", directory, out, "--form", form) == 0
    rows = read_dialogues(out)
    kinds = collections.Counter(row.question_type for row in rows)
    assert kinds == {"single-verify": 413, "comparison_irrelevant-query": 152}
    assert found(out)[0] == {"dialogue_of_several_splits": 72}
    recording_indices(rows, load_recordings(directory))
