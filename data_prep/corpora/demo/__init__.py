"""The demo corpus: simulated people, real EDF files, reports in TUH's form.

It exists so that the whole path from EDF files to a trained model can be run, tested and looked
at without any data. It is a *simulation*, and is called so in the EDF headers, in the reports
file, in the first line of every report and in the manifest; figures measured on it say whether
the program works, not how well it would do on people.

Findings: a posterior alpha rhythm that blocks with open eyes, blinks, drowsiness, sleep with
spindles and vertex waves, generalized or focal (left, right) slowing, focal sharp waves, 3 Hz
spike and wave, excess beta, artifact. What makes a recording *abnormal* is slowing or frequent
discharges; drowsiness, sleep, beta and artifact occur in normal and abnormal ones alike.
"""

from data_prep.corpora.demo.corpus import Demo
from data_prep.corpora.demo.prompts import HELD_OUT_PROMPTS
from data_prep.corpora.demo.write import write_demo_corpus

__all__ = ["HELD_OUT_PROMPTS", "Demo", "write_demo_corpus"]
