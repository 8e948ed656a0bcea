"""Data that is given to people, not to programs: how to get it."""

import argparse

from data_prep.downloads.base import Download, DownloadError, RemoteFile


class ByApplication(Download):
    """Data that somebody has to apply for.

    Attributes:
      steps: what to do; ``{to}`` is the folder.
    """

    steps = ""

    def files(self, args: argparse.Namespace) -> list[RemoteFile]:
        """Nothing that a program may fetch.

        Raises:
          DownloadError: always; it says how to apply.
        """
        raise DownloadError(
            f"{self.name} is given on application ({self.source}); this program does not log in "
            f"anywhere.\n{self.steps.format(to=args.to)}"
        )


class MimicIv(ByApplication):
    """MIMIC-IV's clinical tables and notes, which MIMIC-IV-ECG's tables lead to."""

    name = "mimic_iv"
    source = "physionet.org, credentialed"
    steps = (
        "  1. Make an account at https://physionet.org/register/\n"
        "  2. Apply to be credentialed at https://physionet.org/settings/credentialing/ (a "
        "reference is asked for)\n"
        "  3. Complete the CITI course 'Data or Specimens Only Research' and hand in its report: "
        "https://physionet.org/about/citi-course/\n"
        "  4. Sign the data use agreement at the end of https://physionet.org/content/mimiciv/ "
        "(notes: https://physionet.org/content/mimic-iv-note/)\n"
        "  5. wget -r -N -c -np --user USER --ask-password -P {to} "
        "https://physionet.org/files/mimiciv/VERSION/\n"
        "The ECGs themselves, their list and the machine's reports are open: "
        "python -m data_prep.download mimic_iv_ecg --to DIR"
    )


class Tuh(ByApplication):
    """Temple University Hospital's EEG corpora: TUEG, TUAB, TUEV, TUSZ."""

    name = "tuh_eeg"
    source = "Neural Engineering Data Consortium"
    steps = (
        "  1. Fill in and sign the form at "
        "https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ and send it as it says\n"
        "  2. The answer names an account for rsync over ssh, and the command for each corpus: run "
        "it with the folder {to}\n"
        "  3. python -m data_prep.prepare tueg --input {to} --out DIR   (or tuab, tuev, tusz)"
    )
