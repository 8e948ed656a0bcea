"""Fetching ECG corpora: what stopped goes on, what is wrong is said and leaves nothing behind."""

import hashlib
import json
import string
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_files import publish

from data_prep import download
from data_prep.downloads import DOWNLOADS, base, download_class, github, physionet, zenodo
from data_prep.downloads.base import DownloadError
from data_prep.downloads.by_application import ByApplication

PTBXL = {
    "LICENSE.txt": b"CC BY 4.0",
    "ptbxl_database.csv": b"ecg_id,patient_id\n1,15709.0\n",
    "records100/00000/00001_lr.dat": b"low" * 40000,
    "records100/00000/00001_lr.hea": b"00001_lr 12 100 1000\n",
    "records100/01000/01001_lr.hea": b"01001_lr 12 100 1000\n",
    "records500/00000/00001_hr.dat": b"high" * 9000,
}
ROOT = "/files/ptb-xl/1.0.3"
DAT = "records100/00000/00001_lr.dat"


def write(folder, files):
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_project(folder, files):
    """A PhysioNet project: its files and their list, as PhysioNet writes it."""
    write(folder, files)
    lines = [f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in files.items()]
    (folder / "SHA256SUMS.txt").write_text("".join(lines))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """PTB-XL as PhysioNet has it, on this machine; ``server.folder`` is what is published."""
    write_project(tmp_path / "published" / ROOT[1:], PTBXL)
    monkeypatch.setattr(base.time, "sleep", lambda seconds: server.slept.append(seconds))
    with publish(tmp_path / "published") as server:
        server.folder, server.slept = tmp_path / "published", []
        monkeypatch.setattr(physionet.PhysioNet, "base_url", f"{server.url}/files")
        yield server


@pytest.fixture
def to(tmp_path):
    return tmp_path / "to"


def fetch(to, *more, name="ptbxl"):
    return download.main([name, "--to", str(to), *more])


def have(to):
    return {p.relative_to(to).as_posix(): p.read_bytes() for p in to.rglob("*") if p.is_file()}


def requests_of(server, name):
    return [wanted for path, wanted in server.asked if path == f"{ROOT}/{name}"]


def test_the_list_comes_first_then_one_rate_and_what_is_there_is_not_asked_again(
    server, to, capsys
):
    assert fetch(to, "--records", "100") == 0
    wanted = {k: v for k, v in PTBXL.items() if not k.startswith("records500")}
    assert server.asked[0] == (f"{ROOT}/SHA256SUMS.txt", None)
    assert {k: v for k, v in have(to).items() if k != "SHA256SUMS.txt"} == wanted
    assert "Next:  python -m data_prep.prepare ptbxl --input" in capsys.readouterr().out
    server.asked.clear()
    assert fetch(to) == 0
    assert [path for path, _ in server.asked] == [f"{ROOT}/records500/00000/00001_hr.dat"]


def test_a_file_that_stopped_half_way_goes_on_where_it_stopped(server, to):
    server.cut[f"{ROOT}/{DAT}"] = 100_000
    assert fetch(to) == 0
    assert requests_of(server, DAT) == [None, "bytes=65536-"]
    assert (to / DAT).read_bytes() == PTBXL[DAT] and server.slept == [2.0]
    assert not list(to.rglob("*.part"))


def test_what_a_killed_command_left_goes_on_in_the_next(server, to):
    write(to, {f"{DAT}.part": PTBXL[DAT][:7000]})
    assert fetch(to) == 0
    assert requests_of(server, DAT) == ["bytes=7000-"]
    assert (to / DAT).read_bytes() == PTBXL[DAT]


@pytest.mark.parametrize("left", [b"other" * 100, b"longer" * 90000, PTBXL[DAT] + b"!"])
def test_what_is_left_of_another_file_is_thrown_away_and_fetched_anew(server, to, left):
    write(to, {f"{DAT}.part": left})
    assert fetch(to) == 0
    assert requests_of(server, DAT) == [f"bytes={len(left)}-", None]
    assert (to / DAT).read_bytes() == PTBXL[DAT]


def test_a_server_that_knows_no_ranges_sends_all_of_it_and_that_is_what_is_kept(server, to):
    server.without_ranges.add(f"{ROOT}/{DAT}")
    write(to, {f"{DAT}.part": PTBXL[DAT][:7000]})
    assert fetch(to) == 0 and (to / DAT).read_bytes() == PTBXL[DAT]


def test_a_file_that_was_damaged_here_is_fetched_again(server, to, capsys):
    assert fetch(to) == 0
    (to / DAT).write_bytes(PTBXL[DAT][:-1] + b"?")
    assert fetch(to, "--dry_run") == 0
    assert "1 broken, 5 there" in capsys.readouterr().out
    server.asked.clear()
    assert fetch(to) == 0 and len(server.asked) == 1 and (to / DAT).read_bytes() == PTBXL[DAT]


def test_another_file_than_the_list_says_is_an_error_and_leaves_nothing(server, to, capsys):
    (server.folder / ROOT[1:] / DAT).write_bytes(b"something else")
    assert fetch(to) == 2
    said = capsys.readouterr().err
    assert f"{DAT} could not be fetched (what came is not what was published" in said
    assert hashlib.sha256(b"something else").hexdigest() in said and "wget -r" in said
    assert len(requests_of(server, DAT)) == 3
    assert not (to / DAT).exists() and not (to / f"{DAT}.part").exists()


@pytest.mark.parametrize(("status", "said"), [(403, "refuses it (403"), (404, "is not there")])
def test_a_refusal_is_not_tried_again(server, to, capsys, status, said):
    server.answers[f"{ROOT}/{DAT}"] = [(status, {})]
    assert fetch(to) == 2 and said in capsys.readouterr().err
    assert len(requests_of(server, DAT)) == 1 and server.slept == []


def test_a_busy_server_is_asked_again_when_it_wants(server, to):
    server.answers[f"{ROOT}/{DAT}"] = [(503, {"Retry-After": "17"}), (500, {})]
    assert fetch(to) == 0 and server.slept == [17.0, 4.0]


def test_a_page_in_place_of_the_list_is_no_list_and_is_not_kept(server, to, capsys):
    (server.folder / ROOT[1:] / "SHA256SUMS.txt").write_text("<html>Please log in</html>")
    assert fetch(to) == 2
    assert "SHA256SUMS.txt:1: expected a SHA-256 digest" in capsys.readouterr().err
    assert not to.exists()


@pytest.mark.parametrize("path", ["../outside.hea", "/etc/passwd", "a/../../b", "a\\b"])
def test_a_list_cannot_lead_out_of_the_folder(path):
    with pytest.raises(DownloadError, match="no path below its folder"):
        physionet.read_sums(f"{'0' * 64} {path}\n".encode(), "list")


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(string.ascii_letters + "0_-. é", min_size=1).filter(str.strip).map("x/{}y".format),
        st.binary(),
        min_size=1,
    ),
    st.sampled_from([" ", "  ", " *"]),
)
def test_a_list_of_digests_is_read_as_it_was_written(files, between):
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    lines = [f"{digest}{between}{name}\n" for name, digest in digests.items()]
    assert physionet.read_sums("".join(lines).encode(), "list") == digests


def test_a_dry_run_writes_nothing(server, to, capsys):
    assert fetch(to, "--dry_run", "--records", "500") == 0
    said = capsys.readouterr().out
    assert "3 missing" in said and "Nothing was fetched" in said and not to.exists()


def test_only_what_fits_comes_and_the_tables(server, to, capsys):
    assert fetch(to, "--only", "records100/01000/*") == 0
    assert {*have(to)} == {
        "SHA256SUMS.txt", "LICENSE.txt", "ptbxl_database.csv", "records100/01000/01001_lr.hea",
    }  # fmt: skip
    assert fetch(to, "--only", "records100/99000/*", "--dry_run") == 2
    said = capsys.readouterr().err
    assert "--only records100/99000/*: none of 6 published files fits" in said and DAT in said


def test_without_a_network_it_is_said_how_else_to_get_the_files(to, capsys, monkeypatch):
    monkeypatch.setattr(base.time, "sleep", lambda _: None)
    monkeypatch.setattr(physionet.PhysioNet, "base_url", "http://127.0.0.1:1")
    assert fetch(to, name="csn") == 2
    said = capsys.readouterr().err
    assert "is physionet.org reachable?" in said
    assert f"wget -r -N -c -np -nH --cut-dirs=3 -P {to} https://physionet.org/files/ecg-arr" in said


def test_of_the_challenge_only_the_records_of_cpsc_come(server, to):
    files = {
        f"training/{name}.hea": name.encode()
        for name in ("cpsc_2018/g1/A0001", "cpsc_2018_extra/g1/Q0001", "georgia/g1/E00001")
    }
    write_project(server.folder / "files/challenge-2020/1.0.2", files | {"LICENSE.txt": b"free"})
    assert fetch(to, name="cpsc2018") == 0
    assert {*have(to)} == {"SHA256SUMS.txt", "LICENSE.txt", "training/cpsc_2018/g1/A0001.hea"}
    assert fetch(to, "--cpsc_part", "extra", "--dry_run", name="cpsc2018") == 0
    assert fetch(to, "--cpsc_part", "both", name="cpsc2018") == 0
    assert (to / "training/cpsc_2018_extra/g1/Q0001.hea").exists()
    assert not (to / "training/georgia").exists()


def test_options_of_other_corpora_are_mistakes(to, capsys):
    for words in (
        ["csn", "--records", "100"],
        ["ptbxl", "--cpsc_part", "both"],
        ["ptbxl", "--nights", "1"],
    ):
        with pytest.raises(SystemExit):
            download.main([*words, "--to", str(to)])
        assert f"{words[1]} says nothing of {words[0]}" in capsys.readouterr().err


def test_what_of_mimic_is_open_is_fetched_and_what_is_not_is_named(server, to, capsys):
    files = {
        "record_list.csv": b"subject_id,study_id,file_name,ecg_time,path\n",
        "files/p1000/p10000032/s40689238/40689238.hea": b"40689238 12 500 5000\n",
        "files/p1001/p10010000/s40000000/40000000.hea": b"40000000 12 500 5000\n",
    }
    write_project(server.folder / "files/mimic-iv-ecg/1.0", files)
    assert fetch(to, "--only", "files/p1000/*", name="mimic_iv_ecg") == 0
    said = capsys.readouterr().out
    assert "credentialed: python -m data_prep.download mimic_iv says how" in said
    assert (to / "files/p1000/p10000032/s40689238/40689238.hea").exists()
    assert (to / "record_list.csv").exists() and not (to / "files/p1001").exists()


@pytest.mark.parametrize(
    ("name", "said"), [("mimic_iv", "citi-course"), ("tuh_eeg", "send it as it says")]
)
def test_what_is_given_on_application_is_not_asked_for_but_explained(
    server, to, capsys, name, said
):
    assert fetch(to, name=name) == 2
    told = capsys.readouterr().err
    assert "does not log in anywhere" in told and said in told and str(to) in told
    assert server.asked == [] and not to.exists()


@pytest.mark.parametrize("name", sorted(DOWNLOADS))
def test_every_corpus_says_how_it_comes_without_this_program_and_what_follows(name):
    what = download_class(name)()
    assert what.name == name and what.source
    told = what.by_hand.format(to="DIR") + what.next_command.format(to="DIR")
    assert told.count("DIR") >= 2 or isinstance(what, ByApplication)


@pytest.fixture
def record(server, monkeypatch):
    """CODE-15 % as Zenodo has it, with two parts."""
    folder = server.folder / "api/records/4916206"
    files = {"exams.csv": b"exam_id,age\n1169160,38\n"}
    for part in (0, 1):
        path = server.folder / "zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr(f"exams_part{part}.hdf5", b"tracings" * (500 + part))
        files[f"exams_part{part}.zip"] = path.read_bytes()
    entries = []
    for name, data in files.items():
        write(folder, {f"files/{name}/content": data})
        entries.append(
            {
                "key": name, "size": len(data), "checksum": f"md5:{hashlib.md5(data).hexdigest()}",
                "links": {"self": f"{server.url}/api/records/4916206/files/{name}/content"},
            }
        )  # fmt: skip
    (folder / "record").write_text(json.dumps({"id": 4916206, "files": entries}))
    url = f"{server.url}/api/records/4916206/record"
    monkeypatch.setattr(zenodo.Code15, "record_url", url)
    return folder


def test_zips_are_unpacked_deleted_and_not_fetched_again(server, record, to, capsys):
    assert fetch(to, "--only", "exams_part0.zip", name="code15") == 0
    assert {*have(to)} == {
        "zenodo_record.json", "unpacked.json", "exams.csv", "exams_part0.hdf5",
    }  # fmt: skip
    server.asked.clear()
    assert fetch(to, name="code15") == 0
    assert [p for p, _ in server.asked] == ["/api/records/4916206/files/exams_part1.zip/content"]
    assert (to / "exams_part1.hdf5").read_bytes() == b"tracings" * 501
    (to / "exams_part1.hdf5").write_bytes(b"tracing?" * 501)
    capsys.readouterr()
    assert fetch(to, "--dry_run", name="code15") == 0
    said = capsys.readouterr().out
    assert "1 broken, 2 there" in said and "  exams_part1.zip: not as published: again\n" in said
    assert fetch(to, name="code15") == 0
    assert (to / "exams_part1.hdf5").read_bytes() == b"tracings" * 501


def test_a_zip_that_came_whole_before_a_stop_is_only_unpacked(server, record, to):
    zipped = (record / "files/exams_part0.zip/content").read_bytes()
    write(to, {"exams_part0.zip": zipped})
    assert fetch(to, "--only", "exams_part0.zip", name="code15") == 0
    assert not any("part0" in path for path, _ in server.asked)
    assert (to / "exams_part0.hdf5").exists() and not (to / "exams_part0.zip").exists()


def test_a_zip_that_is_damaged_as_published_or_leads_elsewhere_is_an_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("a.hdf5", b"tracings" * 100)
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b"tracings", b"tracing?", 1))
    with pytest.raises(ValueError, match="Bad CRC-32"):
        zenodo.unpack(tmp_path / "a.zip", tmp_path / "to")
    assert not (tmp_path / "to" / "a.hdf5").exists()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as zipped:
        zipped.writestr("../b.hdf5", b"")
    with pytest.raises(DownloadError, match="no path below its folder"):
        zenodo.unpack(tmp_path / "b.zip", tmp_path / "to")


def test_questions_come_by_gits_own_digests(server, to, monkeypatch, capsys):
    files = {
        "README.md": b"# ECG-QA\n",
        "ecgqa/ptbxl/template/train/00000.json": b"[]",
        "ecgqa/mimic-iv-ecg/template/train/00000.json": b"[ ]",
        "llm_modeling/llm_modeling.py": b"print()",
    }
    write(server.folder / "raw", files)
    tree = [
        {"path": name, "type": "blob", "sha": hashlib.sha1(b"blob %d\0" % len(d) + d).hexdigest()}
        for name, d in files.items()
    ]
    tree.append({"path": "ecgqa", "type": "tree", "sha": "0" * 40})
    write(server.folder, {"tree": json.dumps({"tree": tree, "truncated": False}).encode()})
    monkeypatch.setattr(github.EcgQa, "tree_url", f"{server.url}/tree")
    monkeypatch.setattr(github.EcgQa, "raw_url", f"{server.url}/raw")
    assert fetch(to, "--only", "ecgqa/ptbxl/*", name="ecgqa") == 0
    assert {*have(to)} == {
        "github_tree.json", "README.md", "ecgqa/ptbxl/template/train/00000.json",
    }  # fmt: skip
    assert "python -m data_prep.dialogues ecgqa_ptbxl" in capsys.readouterr().out
    with pytest.raises(DownloadError, match="not the whole tree"):
        github.read_tree(json.dumps({"tree": tree, "truncated": True}).encode(), "list")
    with pytest.raises(DownloadError, match="expected GitHub's list"):
        github.read_tree(b'{"message": "API rate limit exceeded"}', "list")
