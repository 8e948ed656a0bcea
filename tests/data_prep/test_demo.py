import argparse
import dataclasses
import json
import re

import numpy as np
import pytest

from data_prep.corpora.base import CorpusError
from data_prep.corpora.demo import HELD_OUT_PROMPTS, Demo, write_demo_corpus
from data_prep.corpora.demo.exams import PATHOLOGIES, draw_exams, person_code
from data_prep.corpora.demo.simulate import SFREQ_HZ, simulate
from data_prep.corpora.demo.wording import write_report
from elm_jax.data.sections import segment_report, split_sentences

PEOPLE = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo")
    write_demo_corpus(path, people=PEOPLE, seed=1)
    return path


def lines_of(folder):
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def exams():
    return draw_exams(96, 0)


@pytest.fixture(scope="module")
def reports(exams):
    return [write_report(exam, 0) for exam in exams]


def test_the_same_seed_gives_the_same_bytes_another_seed_other_ones(folder, tmp_path):
    write_demo_corpus(tmp_path / "again", people=PEOPLE, seed=1)
    write_demo_corpus(tmp_path / "other", people=PEOPLE, seed=2)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()
    first = next(f for f in files if f.suffix == ".edf")
    assert (tmp_path / "other" / first).read_bytes() != (folder / first).read_bytes()


def test_what_is_there_is_kept_and_never_mixed(folder, tmp_path):
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*.edf")}
    write_demo_corpus(folder, people=PEOPLE, seed=1)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.edf")} == times
    with pytest.raises(CorpusError, match="holds a demo corpus of"):
        write_demo_corpus(folder, people=PEOPLE, seed=2)
    (tmp_path / "mine.edf").write_bytes(b"0")
    with pytest.raises(CorpusError, match=r"mine\.edf is not of the demo corpus"):
        write_demo_corpus(tmp_path, people=PEOPLE, seed=1)
    with pytest.raises(ValueError, match="two or more"):
        draw_exams(1, 0)


def test_files_are_edf_in_tuhs_layout_and_say_that_they_are_simulated(folder):
    import mne

    for line in lines_of(folder):
        assert re.fullmatch(
            r"edf/000/([a-z]{8})/s(\d{3})_2000/01_tcp_ar/\1_s\2_t000\.edf", line["file"]
        )
        assert line["simulated"] is True and line["report"].startswith("Simulated EEG")
        header = (folder / line["file"]).read_bytes()[:256]
        assert header.count(b"SIMULATED") == 2
        raw = mne.io.read_raw_edf(folder / line["file"], verbose="error")
        assert raw.info["sfreq"] == SFREQ_HZ and 70 <= raw.times[-1] <= 100
        assert {"EEG FP1-REF", "EEG T6-REF", "EEG A1-REF", "EEG EKG1-REF", "PHOTIC-REF"} <= set(
            raw.ch_names
        )
        typical_uv = 1e6 * np.std(raw.get_data(["EEG C3-REF", "EEG O1-REF"]), axis=1)
        assert (typical_uv > 5).all() and (typical_uv < 60).all()


def test_the_pipeline_takes_every_file(folder, tmp_path):
    from elm_jax.signals.pipeline import ELM_SPEC, PrepOptions

    corpus = Demo()
    args = argparse.Namespace(input=folder, out=tmp_path, demo_people=PEOPLE, demo_seed=1)
    sources = corpus.sources(args)
    assert corpus.simulated and len(sources) == len(lines_of(folder))
    assert {s.split for s in sources} == {"train", "test"}
    assert all(s.person.startswith("demo:") and len(s.reports) == 1 for s in sources)
    assert {"abnormal", "spindles", "age", "sex"} <= set(sources[0].labels)
    assert not {"split", "report", "file", "simulated"} & set(sources[0].labels)
    pieces, judgement = corpus.pieces(sources[0], ELM_SPEC, PrepOptions())
    assert judgement.usable and not judgement.defects
    assert len(pieces) == 1 and pieces[0].signal.shape[1] >= 6000


def test_without_an_input_folder_it_writes_beside_the_output(tmp_path):
    args = argparse.Namespace(input=None, out=tmp_path / "out", demo_people=2, dry_run=True)
    with pytest.raises(CorpusError, match="a dry run writes nothing"):
        Demo().sources(args)
    assert not list(tmp_path.iterdir())
    args.dry_run = False
    (source, *_) = Demo().sources(args)
    assert source.path.is_file() and source.path.is_relative_to(tmp_path)
    assert not (tmp_path / "out").exists()


def test_people_of_the_two_splits_differ_and_both_hold_every_finding(exams):
    people = {split: {e.person for e in exams if e.split == split} for split in ("train", "test")}
    assert len(people["train"]) == 64 and len(people["test"]) == 32
    assert not people["train"] & people["test"]
    for split in people:
        labels = [e.labels() for e in exams if e.split == split]
        share = {name: np.mean([row[name] for row in labels]) for name in labels[0]}
        assert 0.4 < share["abnormal"] < 0.6
        assert all(0.03 < value < 0.97 for value in share.values()), share
    assert len(set(exams)) == len(exams) == len({e.recording for e in exams})
    assert 32 // 2 % len(PATHOLOGIES) == 0


def test_person_codes_count_up_as_tuhs_do():
    assert [person_code(i) for i in (0, 25, 26)] == ["aaaaaaaa", "aaaaaaaz", "aaaaaaba"]


def test_no_report_uses_a_prompts_wording_but_all_of_its_words(exams, reports):
    sentences = {s.lower() for r in reports for s in split_sentences(r)}
    sentences |= {s.lower() for r in reports for s in segment_report(r, mode="sentence")}
    train = [r for e, r in zip(exams, reports, strict=True) if e.split == "train"]
    words = set(re.findall(r"[a-z0-9]+", " ".join(train).lower()))
    assert set(HELD_OUT_PROMPTS) == set(exams[0].labels())
    for prompt in (
        p for sides in HELD_OUT_PROMPTS.values() for side in sides.values() for p in side
    ):
        bare = prompt.lower().rstrip(".")
        assert not any(bare in sentence for sentence in sentences), prompt
        assert not (missing := set(re.findall(r"[a-z0-9]+", bare)) - words), (prompt, missing)


def body(report, headings):
    return " ".join(segment_report(report, mode="report", headings=headings)).lower()


def test_reports_state_what_was_simulated_and_nothing_else(exams, reports):
    found = ["DESCRIPTION", "IMPRESSION", "CORRELATION"]
    # A word that every wording of a finding has, and that is nowhere else but in a negation.
    words = {
        "spindles": r"spindles", "drowsiness": r"drows", "spike_wave": r"spike and (slow )?wave",
        "generalized_slowing": r"generalized (slowing|[\d.]+ to)|diffuse|both hemispheres",
        "sharp_waves": r"sharp waves|focal epileptiform", "beta_excess": r"beta",
        "artifact": r"artifact|electrode pops",
    }  # fmt: skip
    for exam, report in zip(exams, reports, strict=True):
        text = re.sub(
            r"(?<![\w])(no|not|without|there (is|were) no) [^.]*\.", "", body(report, found)
        )
        for name, pattern in words.items():
            assert bool(re.search(pattern, text)) == exam.labels()[name], (name, report)
        for side in ("left", "right"):
            sides = {s.side for s in (exam.slowing, exam.sharp_waves) if s}
            assert (side in text) == (side in sides), report
        verdict = body(report, ["IMPRESSION"])
        assert ("abnormal" in verdict) == exam.abnormal
        assert f"{exam.age} year old" in report and f"{exam.heart_rate_bpm} bpm" in report
        if exam.alpha_uv:
            assert exam.alpha_uv > 0 and "posterior dominant rhythm is absent" not in text


def test_history_and_medication_do_not_know_the_findings(exams):
    healthy, ill = exams[0], next(e for e in exams if e.abnormal)
    as_ill = dataclasses.replace(healthy, slowing=ill.slowing)
    for heading in ("HISTORY", "MEDICATIONS"):
        assert body(write_report(healthy, 0), [heading]) == body(write_report(as_ill, 0), [heading])


def power(x, low_hz, high_hz):
    spectrum = np.abs(np.fft.rfft(x - x.mean())) ** 2
    freq_hz = np.fft.rfftfreq(x.size, 1 / SFREQ_HZ)
    return spectrum[(freq_hz >= low_hz) & (freq_hz < high_hz)].sum()


def test_alpha_is_posterior_and_focal_slowing_is_on_its_side(exams):
    normal = next(e for e in exams if not e.abnormal and e.artifact is None)
    signal = simulate(normal, 0)
    at = (normal.alpha_hz - 1, normal.alpha_hz + 1)
    assert power(signal["O1"], *at) > 10 * power(signal["FP1"], *at)
    for side, here, there in (("left", "T3", "T4"), ("right", "T4", "T3")):
        focal = [e for e in exams if e.slowing and e.slowing.side == side and not e.artifact]
        ratio = [
            power(s[here], 1, 8) / power(s[there], 1, 8) for e in focal for s in [simulate(e, 0)]
        ]
        assert np.median(ratio) > 1.5
    for exam in exams[:6]:
        assert all(
            np.isfinite(x).all() and np.abs(x).max() < 3000 for x in simulate(exam, 0).values()
        )
