import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.corpora.base import CorpusError
from data_prep.corpora.ptbxl import class_labels, read_rows, read_statements
from data_prep.corpora.simulated_ecg import HELD_OUT_PROMPTS
from data_prep.corpora.simulated_ecg.exams import Infarction, draw_exams
from data_prep.corpora.simulated_ecg.people import draw_patient
from data_prep.corpora.simulated_ecg.pools import ENGLISH, GERMAN
from data_prep.corpora.simulated_ecg.simulate import LEADS, SFREQ_HZ, one_beat, simulate
from data_prep.corpora.simulated_ecg.statements import BY_CODE, COLUMNS
from data_prep.corpora.simulated_ecg.wording import write_report
from data_prep.corpora.simulated_ecg.write import Settings, main, write_ecgs
from data_prep.prepare import main as prepare_main
from elm_jax.data.manifest import Manifest, load_recordings

FEW = Settings(people=4, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ecg") / "wfdb"
    write_ecgs(path, FEW, workers=0)
    return path


@pytest.fixture(scope="module")
def exams():
    return draw_exams(400, 0)


@pytest.fixture(scope="module")
def healthy():
    """A man of fifty without any finding, whose heart lies as the model has it."""
    exam = draw_exams(3, 0)[0]
    patient = dataclasses.replace(
        draw_patient(0, 0, ill=False), age=50, sex="male", gain=1.0, frontal_deg=0.0,
        horizontal_deg=0.0, electrode_gains=(1.0,) * 6, pr_s=0.16, qrs_stretch=1.0, qtc_s=0.4,
        p_gain=1.0, t_gain=1.0, early_repolarisation_mv=0.0,
    )  # fmt: skip
    return dataclasses.replace(
        exam, patient=patient, rhythm="SR", rate_bpm=70.0, ectopic=None, ectopic_beats=0,
        infarction=None, conduction=None, pr_extra_s=0.0, hypertrophy=None, enlargement=0.0,
        strain=False, left_atrium=False, repolarisation=None, severity=0.0, noise=(),
    )  # fmt: skip


def beat(exam, **changes):
    """A function: lead, from and to in milliseconds from the begin of QRS on -> the samples."""
    time_s = np.arange(-0.35, 0.65, 1 / SFREQ_HZ)
    leads = one_beat(dataclasses.replace(exam, **changes), time_s)

    def samples(lead, first_ms, last_ms):
        inside = (time_s >= first_ms / 1000) & (time_s <= last_ms / 1000)
        return leads[LEADS.index(lead)][inside]

    return samples


def distances_s(exam, **changes):
    """From QRS to QRS of the simulated signal."""
    leads = simulate(dataclasses.replace(exam, **changes), 0).leads_mv
    speed = np.sqrt(np.square(np.diff(leads, axis=1)).sum(0))
    speed = np.convolve(speed, np.ones(40) / 40, "same")
    peaks = [
        i for i in range(speed.size)
        if speed[i] == speed[max(i - 120, 0) : i + 120].max() and speed[i] > 0.4 * speed.max()
    ]  # fmt: skip
    return np.diff(peaks) / SFREQ_HZ


QRS, T, P = (0, 150), (230, 420), (-320, -20)


@pytest.mark.parametrize("people", [-1, 0, 2])
def test_too_few_people_for_three_splits_are_refused(people, tmp_path, capsys):
    with pytest.raises(CorpusError, match="three or more"):
        Settings(people=people)
    assert main(["--out", str(tmp_path / "x"), "--people", str(people)]) == 2
    assert "three or more" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_the_same_seed_gives_the_same_bytes_another_seed_other_ones(folder, tmp_path):
    write_ecgs(tmp_path / "again", FEW, workers=0)
    write_ecgs(tmp_path / "other", Settings(people=4, seed=2), workers=0)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert len(files) > 12
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()
    other = (tmp_path / "other" / "ptbxl_database.csv").read_text()
    assert other != (folder / "ptbxl_database.csv").read_text()


def test_what_is_there_is_kept_and_never_mixed(folder, tmp_path):
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    write_ecgs(folder, FEW, workers=0)
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == times
    with pytest.raises(CorpusError, match="holds simulated ECGs of"):
        write_ecgs(folder, Settings(people=5, seed=1), workers=0)
    (tmp_path / "A0001.hea").write_text("mine")
    with pytest.raises(CorpusError, match=r"A0001\.hea is not of the simulated ECGs"):
        write_ecgs(tmp_path, FEW, workers=0)


def test_a_dry_run_and_one_part_of_many_write_nothing(tmp_path, capsys):
    words = ["simulated_ecg", "--out", str(tmp_path / "out"), "--demo_people", "4"]
    for more, message in (
        (["--dry_run"], "a dry run writes nothing"),
        (["--part", "1/2"], r"simulated_ecg\.write --out .*ecg_wfdb_4people_seed0 --people 4"),
    ):
        assert prepare_main(words + more) == 2
        assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_files_are_those_of_ptbxl_and_say_that_they_are_simulated(folder, shared):
    real = shared / "data" / "ptbxl"
    with (
        (real / "ptbxl_database.csv").open(encoding="utf-8", newline="") as theirs,
        (folder / "ptbxl_database.csv").open(encoding="utf-8", newline="") as ours,
    ):
        table = csv.DictReader(ours)
        assert next(csv.reader(theirs)) == table.fieldnames
        rows = list(table)
    first = (real / "scp_statements.csv").read_text(encoding="utf-8").splitlines()[0]
    assert tuple(first.split(",")) == COLUMNS
    assert json.loads((folder / "simulated_ecg.json").read_text())["simulated"] is True
    wfdb = pytest.importorskip("wfdb")
    for row in rows:
        assert row["device"] == "SIMULATED"
        for name, rate_hz in (("filename_lr", 100), ("filename_hr", 500)):
            record = wfdb.rdrecord(str(folder / row[name]), physical=False)
            assert record.sig_name == list(LEADS) and record.fs == rate_hz
            assert record.d_signal.shape == (10 * rate_hz, 12)
            assert record.calc_checksum() == record.checksum
            assert record.comments == ["SIMULATED ECG, of no real person"]


def test_prepared_it_is_a_simulated_corpus_with_the_labels_of_ptbxl(tmp_path):
    out = tmp_path / "out"
    assert prepare_main(["simulated_ecg", "--out", str(out), "--demo_people", "4"]) == 0
    manifest = Manifest.load(out)
    assert manifest.simulated and manifest.spec.modality == "ecg"
    assert manifest.options["people"] == 4 and manifest.options["version"] >= 1
    rows, drawn = load_recordings(out), draw_exams(4, 0)
    assert {row.recording for row in rows} == {f"{exam.ecg_id:05d}" for exam in drawn}
    assert {row.split for row in rows} == {"train", "valid", "test"}
    for row in rows:
        exam = drawn[int(row.recording) - 1]
        assert row.person == f"simulated_ecg:{exam.patient_id}"
        assert row.labels["superclass"] == list(exam.superclasses())
        assert row.labels["rhythm"] == [exam.rhythm]
        assert (row.labels["sex"], row.labels["age"]) == (exam.patient.sex, exam.patient.age)
        assert len(row.reports) == 1 and row.reports[0]


def test_all_codes_are_statements_of_the_file_and_read_back(folder):
    rows, statements = read_rows(folder), read_statements(folder)
    assert set(statements) == set(BY_CODE)
    for row, exam in zip(rows, draw_exams(FEW.people, FEW.seed), strict=True):
        assert row["scp_codes"] == exam.scp_codes()
        assert class_labels(row["scp_codes"], statements)["superclass"] == list(exam.superclasses())


def test_people_keep_their_fold_and_folds_hold_every_class(exams):
    folds = {}
    for exam in exams:
        folds.setdefault(exam.patient_id, set()).add(exam.fold)
    assert all(len(own) == 1 for own in folds.values()) and len(folds) == 400
    sizes = [sum(own == {k} for own in folds.values()) for k in range(1, 11)]
    assert sizes == [40] * 10
    tested = [exam.superclasses() for exam in exams if exam.fold > 8]
    for name in ("NORM", "MI", "STTC", "CD", "HYP"):
        assert 0.1 < np.mean([name in classes for classes in tested]) < 0.6
    assert any(len(classes) > 1 for classes in tested)
    # A larger corpus begins with the same people.
    assert draw_exams(3, 0) == [e for e in exams if e.patient.number < 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 25))
def test_a_normal_ecg_has_no_other_diagnosis_and_every_ecg_one_rhythm(seed, people):
    for exam in draw_exams(people, seed):
        codes = exam.scp_codes()
        diagnoses = {c for c in codes if BY_CODE[c].superclass}
        assert sum(BY_CODE[c].rhythm for c in codes) == 1
        assert ("NORM" in codes) == (not exam.ill) and ("NORM" not in codes or len(diagnoses) == 1)
        assert exam.ill == bool(diagnoses - {"NORM"}) or exam.rhythm in ("AFIB", "AFLT")
        assert not (exam.conduction == "CLBBB" and exam.infarction)


def test_leads_obey_einthoven_and_goldberger(exams):
    noisy = next(exam for exam in exams if len(exam.noise) > 1)
    lead = dict(zip(LEADS, simulate(noisy, 0).leads_mv, strict=True))
    np.testing.assert_allclose(lead["I"] + lead["III"], lead["II"], atol=1e-9)
    np.testing.assert_allclose(lead["AVR"] + lead["AVL"] + lead["AVF"], 0, atol=1e-9)


def test_a_healthy_ecg_has_waves_of_the_usual_size(healthy):
    leads = beat(healthy)
    assert 0.7 < leads("II", *QRS).max() < 1.6 and 0.1 < leads("II", *T).max() < 0.6
    assert 0.05 < leads("II", *P).max() < 0.25
    assert leads("V1", *QRS).min() < -0.7 and leads("V5", *QRS).max() > 0.9
    r = [leads(f"V{i}", *QRS).max() for i in range(1, 6)]
    assert r == sorted(r)  # R grows towards the apex
    assert abs(leads("II", 120, 150)).max() < 0.05  # ST is level
    assert 0 < simulate(healthy, 0).axis_deg < 90


@pytest.mark.parametrize(
    "code, seen_in, not_in",
    [("IMI", ("II", "III", "AVF"), ("V6",)), ("ASMI", ("V1", "V2", "V3"), ("II", "V6"))],
)
def test_an_infarction_is_seen_in_its_territory(code, seen_in, not_in, healthy):
    plain = beat(healthy)
    acute, recent, old = (
        beat(healthy, infarction=Infarction(code, stage, 0.9))
        for stage in ("acute", "recent", "old")
    )
    for name in seen_in:
        assert acute(name, 110, 150).mean() > plain(name, 110, 150).mean() + 0.15
        assert recent(name, *T).min() < min(plain(name, *T).min() - 0.1, -0.1)
        assert old(name, 0, 24).min() < plain(name, 0, 24).min() - 0.12  # Q
    for name in not_in:
        assert abs(acute(name, 110, 150).mean() - plain(name, 110, 150).mean()) < 0.12


def test_blocks_widen_qrs_and_have_their_forms(healthy):
    plain, right, left = (beat(healthy, conduction=c) for c in (None, "CRBBB", "CLBBB"))

    def lasts_ms(leads):
        speed = np.sqrt(sum(np.diff(leads(name, 0, 200)) ** 2 for name in LEADS))
        return 1000 / SFREQ_HZ * np.flatnonzero(speed > 0.08 * speed.max())[-1]

    assert lasts_ms(plain) < 100 < 120 < min(lasts_ms(right), lasts_ms(left))
    assert right("V1", 60, 150).max() > 0.4 > plain("V1", *QRS).max()  # R'
    assert right("V6", 60, 150).min() < -0.2  # a slurred S
    assert left("V1", *QRS).max() < 0.1 and left("V6", *QRS).min() > -0.05  # QS; no Q
    assert left("V6", *T).min() < -0.2 < 0.2 < left("V1", *T).max()  # T turns away
    assert simulate(dataclasses.replace(healthy, conduction="LAFB"), 0).axis_deg < -30


def test_hypertrophy_is_large_and_strain_turns_lateral_t(healthy):
    plain = beat(healthy)
    large = beat(healthy, hypertrophy="LVH", enlargement=0.8)
    strained = beat(healthy, hypertrophy="LVH", enlargement=0.8, strain=True)

    def sokolow_mv(leads):
        return leads("V5", *QRS).max() - leads("V1", *QRS).min()

    assert sokolow_mv(plain) < 3.5 < sokolow_mv(large)
    assert large("V5", *T).max() > 0.15 and strained("V5", *T).min() < -0.1
    atrium = beat(healthy, left_atrium=True)
    assert atrium("V1", *P).min() < 2 * plain("V1", *P).min() < 0
    right = beat(healthy, hypertrophy="RVH", enlargement=0.8)
    assert right("V1", *QRS).max() > -right("V1", *QRS).min()


def test_changes_of_st_and_t_are_where_they_are_called(healthy):
    plain = beat(healthy)
    lateral = beat(healthy, repolarisation="ISCAL", severity=0.9)
    assert lateral("V4", *T).min() < -0.1 and lateral("III", *T).min() > -0.1
    inferior = beat(healthy, repolarisation="ISCIN", severity=0.9)
    assert inferior("AVF", *T).min() < -0.1 and inferior("V4", *T).min() > -0.1
    flat = beat(healthy, repolarisation="NDT", severity=0.9)
    assert abs(flat("V4", *T)).max() < 0.25 * plain("V4", *T).max()
    long = beat(healthy, repolarisation="LNGQT", severity=0.9)
    assert long("V4", 420, 520).max() > 5 * plain("V4", 420, 520).max()


def test_rhythms_and_intervals_are_what_they_are_called(healthy):
    steady = distances_s(healthy)
    irregular = distances_s(healthy, rhythm="AFIB", rate_bpm=80.0)
    assert 0.75 < steady.mean() < 0.95 and steady.std() < 0.1 < irregular.std()
    assert len(distances_s(healthy, rhythm="STACH", rate_bpm=120.0)) in range(17, 21)
    assert not beat(healthy, rhythm="AFIB")("II", *P).any()
    plain, late = beat(healthy), beat(healthy, pr_extra_s=0.1)
    at = [np.argmax(leads("II", *P)) / SFREQ_HZ for leads in (plain, late)]
    assert at[0] - at[1] == pytest.approx(0.1, abs=0.003)
    early = distances_s(healthy, ectopic="PVC", ectopic_beats=1)
    assert early.min() < 0.8 * np.median(early)  # a beat too early, and a pause
    assert early.max() > 1.15 * np.median(early)


def test_reports_say_what_was_simulated_in_two_languages_and_many_wordings(exams):
    reports = [write_report(exam, "MID", 0) for exam in exams]
    others = [write_report(exam, "MID", 1) for exam in exams]
    assert sum(a == b for a, b in zip(reports, others, strict=True)) < 0.2 * len(reports)
    assert len(set(reports)) > 0.8 * len(reports)
    assert set(GERMAN) == set(ENGLISH) and set(GERMAN) >= {c for e in exams for c in _said(e)}
    words = {
        "MI": r"infar", "HYP": r"hypertroph|lvh|atri|vorhof|rechtsherz|strain",
        "CD": r"block|leitungsst|lahb|rsb|lsb|conduction|rbbb|lbbb|lafb",
        "NORM": r"normal|unauffällig|normbereich|kein patholog|no abnormal",
    }  # fmt: skip
    for exam, report in zip(exams, reports, strict=True):
        for name, pattern in words.items():
            if name in exam.superclasses():
                assert re.search(pattern, report.lower()), (name, report)
        assert "infar" not in report.lower() or exam.infarction, report
    german = [
        r
        for r in reports
        if re.search(r"rhythmus|brady|tachyk|vorhof|flatter|arrhythmie", r.lower())
    ]
    assert 0.55 < len(german) / len(reports) < 0.85
    assert any(r == r.lower() and not r.endswith(".") for r in german)  # as PTB-XL has them


def _said(exam):
    return [exam.rhythm, *(c for c, likelihood in exam.scp_codes().items() if likelihood)]


def test_no_report_uses_a_prompts_wording_but_all_of_its_words(exams):
    reports = [write_report(exam, "MID", 0).lower() for exam in exams if exam.fold <= 8]
    words = set(re.findall(r"[\w']+", " ".join(reports)))
    assert {key for key in HELD_OUT_PROMPTS if key.startswith("superclass")} == {
        f"superclass={name}" for name in ("NORM", "MI", "STTC", "CD", "HYP")
    }
    for key, prompts in HELD_OUT_PROMPTS.items():
        name, _, value = key.partition("=")
        known = {
            "superclass": {s.superclass for s in BY_CODE.values()},
            "subclass": {s.subclass for s in BY_CODE.values()},
            "rhythm": {s.code for s in BY_CODE.values() if s.rhythm},
        }
        assert value in known[name]
        for prompt in prompts:
            bare = prompt.lower().rstrip(".")
            assert not any(bare in report for report in reports), prompt
            assert not (missing := set(re.findall(r"[\w']+", bare)) - words), (prompt, missing)


def test_amplitudes_alone_do_not_tell_the_classes():
    """As 60 amplitude statistics do on PTB-XL (about 0.78), far from all that can be known."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import StandardScaler

    exams = draw_exams(250, 0)
    x = np.stack([simulate(exam, 0).leads_mv[:, ::5] for exam in exams])
    stats = [x.mean(-1), x.std(-1), x.min(-1), x.max(-1), np.abs(x).mean(-1)]
    features = StandardScaler().fit_transform(np.concatenate(stats, axis=1))
    train = np.array([exam.fold <= 7 for exam in exams])
    scores = []
    for name in ("NORM", "MI", "STTC", "CD", "HYP"):
        y = np.array([name in exam.superclasses() for exam in exams])
        model = LogisticRegression(C=0.1, max_iter=500).fit(features[train], y[train])
        scores.append(roc_auc_score(y[~train], model.decision_function(features[~train])))
    assert 0.7 < np.mean(scores) < 0.93, scores
