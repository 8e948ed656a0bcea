"""Fetching published corpora: what is there stays, what is broken is replaced, nothing is half."""

import functools
import hashlib
import http.server
import threading

import pytest

from data_prep import download
from data_prep.downloads import base, sleep_physionet

NAMES = ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf", "SC4002E0-PSG.edf", "SC4002EC-Hypnogram.edf")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and keeps what was asked for."""

    asked: list = []  # noqa: RUF012

    def do_GET(self):  # noqa: N802
        """Notes the name."""
        self.asked.append(self.path.rpartition("/")[2])
        super().do_GET()

    def log_message(self, *args):
        """Says nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of two small nights in place of PhysioNet's, with their table; the names asked."""
    folder = tmp_path / "published"
    folder.mkdir()
    lines = ["subject,night,record type,age,sex,lights off,sha,fname"]
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 100)
        digest = hashlib.sha1((folder / name).read_bytes()).hexdigest()
        lines.append(f"0,{name[5]},PSG,33,female,00:38:00,{digest},{name}".replace(
            "PSG,", "Hypnogram," if "Hypno" in name else "PSG,", 1))  # fmt: skip
    table = tmp_path / "age_records.csv"
    table.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("mne.datasets.sleep_physionet.age.AGE_SLEEP_RECORDS", str(table))
    rows = [dict(zip(lines[0].split(","), x.split(","), strict=True)) for x in lines[1:]]
    monkeypatch.setattr(sleep_physionet, "published_table", lambda: rows)
    monkeypatch.setattr(base.time, "sleep", lambda _: None)
    Quiet.asked.clear()
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{http_server.server_port}"
        monkeypatch.setattr(sleep_physionet.SleepPhysionet, "base_url", url)
        yield folder
        http_server.shutdown()


def fetch(to, *more):
    return download.main(["sleep_physionet", "--to", str(to), *more])


def test_what_is_missing_is_fetched_and_what_is_there_is_not_asked_again(server, tmp_path, capsys):
    to = tmp_path / "to"
    assert fetch(to, "--nights", "1") == 0
    got = to / "physionet-sleep-data"
    assert sorted(p.name for p in got.iterdir()) == sorted(NAMES[:2])
    said = capsys.readouterr()
    assert "Next:  python -m data_prep.prepare sleep_physionet --input" in said.out and not said.err
    Quiet.asked.clear()
    assert fetch(to) == 0 and sorted(Quiet.asked) == sorted(NAMES[2:])
    Quiet.asked.clear()
    assert fetch(to) == 0 and not Quiet.asked


def test_a_file_that_is_not_as_published_is_fetched_again(server, tmp_path, capsys):
    to = tmp_path / "to"
    assert fetch(to) == 0
    (to / "physionet-sleep-data" / NAMES[0]).write_bytes(b"cut")
    assert fetch(to, "--dry_run") == 0
    assert "1 broken, 3 there" in (said := capsys.readouterr().out) and "Nothing was" in said
    assert (to / "physionet-sleep-data" / NAMES[0]).read_bytes() == b"cut"
    Quiet.asked.clear()
    assert fetch(to) == 0 and Quiet.asked == [NAMES[0]]


def test_what_comes_otherwise_than_published_is_an_error_and_leaves_nothing(
    server, tmp_path, capsys
):
    (server / NAMES[0]).write_bytes(b"something else")
    assert fetch(tmp_path / "to") == 2
    assert "what came is not what was published" in capsys.readouterr().err
    assert len(Quiet.asked) == 3
    assert not (tmp_path / "to" / "physionet-sleep-data" / NAMES[0]).exists()


def test_without_a_network_it_is_said_how_else_to_get_the_files(
    server, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sleep_physionet.SleepPhysionet, "base_url", "http://127.0.0.1:1")
    assert fetch(tmp_path / "to", "--nights", "2") == 2
    said = capsys.readouterr().err
    assert "is physionet.org reachable?" in said and "wget -r" in said
    assert f"python -m data_prep.download sleep_physionet --to {tmp_path / 'to'} --nights 2" in said


def test_people_who_are_not_in_the_study_are_a_mistake(tmp_path, capsys):
    assert fetch(tmp_path / "to", "--sleep_people", "0-82", "--dry_run") == 2
    assert "78 people, numbered 0 to 82 without 39, 68, 69, 78, 79" in capsys.readouterr().err
    assert fetch(tmp_path / "to", "--sleep_people", "13,36", "--dry_run") == 0
    assert "4 files of physionet.org" in capsys.readouterr().out and not (tmp_path / "to").exists()
