"""Reports of simulated ECGs: only what was simulated, two languages, as in PTB-XL mostly German.

A sentence is drawn from a pool for each finding. A part of the German reports is written as PTB-XL
has most of its own: small letters, no full stops, one finding after another.
"""

import random

from data_prep.corpora.simulated_ecg.exams import Exam
from data_prep.corpora.simulated_ecg.pools import ENGLISH, GERMAN

ENGLISH_SHARE = 0.3
_TERSE_SHARE = 0.35  # of the German ones
_STRAIN = "strain"


def write_report(exam: Exam, axis: str, seed: int) -> str:
    """The report of one exam.

    Args:
      exam: what was simulated.
      axis: the axis of QRS, as PTB-XL's column ``heart_axis`` says it ("MID", "LAD", ...).
      seed: another one has other wordings.
    """
    rng = random.Random(f"{seed}/{exam.ecg_id}/report")
    english = rng.random() < ENGLISH_SHARE
    pools = ENGLISH if english else GERMAN
    numbers = {
        "hf": round(exam.rate_bpm),
        "pr": 10 * round(100 * (exam.patient.pr_s + exam.pr_extra_s)),
        "n": exam.ectopic_beats,
    }
    lines = [rng.choice(pools[topic]).format(**numbers) for topic in _topics(rng, exam, axis)]
    if not english and rng.random() < _TERSE_SHARE:
        return " ".join(line.rstrip(".") for line in lines).lower()
    return " ".join(lines)


def _topics(rng: random.Random, exam: Exam, axis: str) -> list[str]:
    """What is said, in order: rhythm, axis, extrasystoles, diagnoses, the tracing's quality."""
    topics = [exam.rhythm]
    if axis != "MID" or rng.random() < 0.15:
        topics.append(axis)
    if exam.ectopic:
        topics.append(exam.ectopic)
    said = [code for code, likelihood in exam.scp_codes().items() if likelihood]
    if exam.strain:
        # One sentence for both, where there is one.
        said.remove("ISC_")
        said[said.index("LVH")] = _STRAIN if rng.random() < 0.5 else "LVH"
        said += [_STRAIN] if _STRAIN not in said else []
    if rng.random() < 0.3:
        rng.shuffle(said)
    for code in said:
        topics.append(code)
        if exam.infarction and code == exam.infarction.code:
            topics.append(exam.infarction.stage)
    # Not every reader mentions it.
    topics += [kind for kind in exam.noise if rng.random() < 0.5]
    return topics
