"""Nights of Sleep-EDF Expanded's cassette study, by ``mne.datasets.sleep_physionet``."""

import argparse
import pathlib
import re

from data_prep.corpora.sleep_physionet import published_table
from data_prep.downloads.base import Download, DownloadError, RemoteFile

# The folder that mne makes in the one that it is given.
_FOLDER = "physionet-sleep-data"


class SleepPhysionet(Download):
    """A recording and a hypnogram a night: 48 MB, 153 nights of 78 people in all.

    Attributes:
      base_url: of the files; empty for PhysioNet's.
    """

    name = "sleep_physionet"
    source = "physionet.org"
    by_hand = (
        f"wget -r -N -c -np -nH --cut-dirs=4 -P {{to}}/{_FOLDER} "
        "https://physionet.org/files/sleep-edfx/1.0.0/sleep-cassette/"
    )
    base_url = ""
    options = ("sleep_people", "nights")
    next_command = "python -m data_prep.prepare sleep_physionet --input {to} --out DIR"

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """The files of the people and nights that are asked for.

        Raises:
          DownloadError: somebody who was not in the study.
        """
        table = published_table()
        known = {int(row["subject"]) for row in table}
        if unknown := sorted(set(args.sleep_people) - known):
            raise DownloadError(
                f"--sleep_people {unknown[0]}: the study has {len(known)} people, numbered "
                f"{min(known)} to {max(known)} without "
                f"{', '.join(map(str, sorted(set(range(max(known))) - known))) or 'a gap'}"
            )
        people, nights = set(args.sleep_people) or known, set(args.nights) or {1, 2}
        return [
            RemoteFile(f"{_FOLDER}/{row['fname']}", row["sha"])
            for row in table
            if int(row["subject"]) in people and int(row["night"]) in nights
        ]

    def fetch(self, file: RemoteFile, folder: pathlib.Path) -> None:
        """Fetches the night that the file is of; ``mne`` checks it, and skips what is there."""
        import pooch
        from mne.datasets.sleep_physionet.age import BASE_URL, fetch_data

        (folder / file.path).unlink(missing_ok=True)  # it takes what is there as it is
        pooch.get_logger().setLevel("WARNING")  # our own line is enough
        name = re.fullmatch(r"SC4(\d\d)(\d).*", pathlib.PurePosixPath(file.path).name)
        fetch_data(
            [int(name[1])], [int(name[2])], folder, base_url=self.base_url or BASE_URL,
            on_missing="ignore", verbose="ERROR",
        )  # fmt: skip
