"""BCI Competition IV, data set 2b: imagery of left or right hand, three derivations (9 people).

    B0101T.gdf B0102T.gdf B0103T.gdf     sessions 1 to 3: classes in the table of events (769, 770)
    B0104E.gdf B0105E.gdf                sessions 4 and 5: cues of unknown class (783), classes in
    B0104E.mat B0105E.mat                the files of true labels (``classlabel``, 1 or 2)

At 250 Hz. What the files call C3, Cz and C4 are bipolar derivations over those places, whose
electrodes were set a little otherwise for each person (Leeb et al. 2008). They are stored as they
are: a mean over the three, which the papers subtract, would be no reference. Three channels of the
eyes are left out. Sessions, windows and splits: see ``data_prep.corpora.bcic``.
"""

import re

from data_prep.corpora.bcic import BcicSessions

CHANNELS = ("C3", "Cz", "C4")


class Bcic2b(BcicSessions):
    """Two classes; published splits: see ``data_prep.corpora.bcic``."""

    name = "bcic2b"
    institution = "bcic2b"
    example = "B0101T.gdf"
    published = {
        "signal": "eegpt", "channels": ",".join(CHANNELS), "montage": "electrodes",
        "lowpass_hz": 38.0,
    }  # fmt: skip
    session_name = re.compile(r"(?P<person>B0[1-9])(?P<session>0[1-5][TE])", re.IGNORECASE)
    cues = {769: "left_hand", 770: "right_hand"}
    classes = {word: number for number, word in enumerate(cues.values())}

    def electrodes(self, labels: list[str]) -> dict[str, str | None]:
        """By name: ``EEG:C3`` and the like."""
        ends = {label: re.split(r"[:-]", label)[-1].upper() for label in labels}
        found = {label: e for label, end in ends.items() for e in CHANNELS if e.upper() == end}
        if sorted(found.values()) != sorted(CHANNELS):
            raise ValueError(f"expected the channels {', '.join(CHANNELS)}, each once")
        return dict.fromkeys(labels, None) | found
