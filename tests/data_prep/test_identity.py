IDENTITY = {
    "patient": "MRN771234 F 02-MAY-1951 Jane_Q_Doeberger",
    "recording": "Startdate 03-MAR-2011 EXAM9917 DrStrangepork Nihon9000",
    "date": "03.03.11",
    "transducer": "AgAgCl electrode of Doeberger",
    "prefilter": "HP:0.1Hz ward Elmstreet",
    "annotation": "Patient Doeberger called 555-0199, seizure?",
}
TOKENS = [
    "MRN771234", "MAY-1951", "1951", "Jane", "Doeberger", "MAR-2011", "EXAM9917", "Strangepork",
    "Nihon9000", "03.03.11", "2011", "AgAgCl", "Elmstreet", "555-0199", "seizure", "called",
]  # fmt: skip


def find(text):
    return [token for token in TOKENS if token.lower().encode() in text.lower()]


def test_no_identity_of_a_header_or_annotation_is_written_or_said(
    run, tmp_path, write_edf, contents, capfd
):
    edf = tmp_path / "edf"
    for i in range(3):
        path = write_edf(edf / f"r{i}.edf", seed=i, **IDENTITY)
        assert len(find(path.read_bytes())) == len(TOKENS)
    # Damaged ones too: error messages are where headers leak.
    good = (edf / "r0.edf").read_bytes()
    (edf / "date.edf").write_bytes(good.replace(b"03.03.11", b"99.99.99"))
    (edf / "short.edf").write_bytes(good[:-700])
    (edf / "header.edf").write_bytes(good[: 256 * 21])
    (edf / "number.edf").write_bytes(good[:236] + b"Doeberge" + good[244:])
    (edf / "minmax.edf").write_bytes(good.replace(b"-3276.8", b"Jane   ", 1))
    assert run("edf_folder --workers 1", input=edf, out=tmp_path / "out") == 0
    assert run("edf_folder --dry_run", input=edf) == 0
    said = capfd.readouterr()
    assert find((said.out + said.err).encode()) == []
    for name, data in contents(tmp_path / "out").items():
        assert find(data) == [], name
        assert find(name.encode()) == []
