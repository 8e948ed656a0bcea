"""BCI Competition IV, data set 2a: imagery of left hand, right hand, feet or tongue (9 people).

    A01T.gdf ... A09T.gdf      session T: classes in the table of events (769 to 772)
    A01E.gdf ... A09E.gdf      session E: cues of unknown class (783), classes in
    A01E.mat ... A09E.mat      the files of true labels (``classlabel``, 1 to 4)

22 electrodes against the left mastoid at 250 Hz, 288 trials a session in 6 runs. The files name
five of the electrodes; the others follow from the positions in the data set's description (Brunner
et al. 2008, figure 3). Three channels of the eyes are left out. Sessions, windows and splits: see
``data_prep.corpora.bcic``.
"""

import re

from data_prep.corpora.bcic import BcicSessions

CHANNELS = (
    "Fz", "FC3", "FC1", "FCz", "FC2", "FC4",
    "C5", "C3", "C1", "Cz", "C2", "C4", "C6",
    "CP3", "CP1", "CPz", "CP2", "CP4",
    "P1", "Pz", "P2", "POz",
)  # fmt: skip
_NAMED = ("Fz", "C3", "Cz", "C4", "Pz")


class Bcic2a(BcicSessions):
    """Four classes; published splits: see ``data_prep.corpora.bcic``."""

    name = "bcic2a"
    institution = "bcic2a"
    example = "A01T.gdf"
    published = {"signal": "eegpt", "channels": ",".join(CHANNELS), "lowpass_hz": 38.0}
    session_name = re.compile(r"(?P<person>A0[1-9])(?P<session>[TE])", re.IGNORECASE)
    cues = {769: "left_hand", 770: "right_hand", 771: "feet", 772: "tongue"}
    classes = {word: number for number, word in enumerate(cues.values())}

    def electrodes(self, labels: list[str]) -> dict[str, str | None]:
        """By position; those that the file names must be where they are expected."""
        eeg = [label for label in labels if not label.upper().startswith("EOG")]
        named = {i: label.split("-")[-1] for i, label in enumerate(eeg)}
        misplaced = [e for e in _NAMED if named.get(CHANNELS.index(e), "").upper() != e.upper()]
        if len(eeg) != len(CHANNELS) or misplaced:
            raise ValueError(
                f"expected {len(CHANNELS)} channels of EEG with {', '.join(_NAMED)} at their "
                f"places, found {len(eeg)}" + (f", not {', '.join(misplaced)}" if misplaced else "")
            )
        others = dict.fromkeys((label for label in labels if label not in eeg), None)
        return others | dict(zip(eeg, CHANNELS, strict=True))
