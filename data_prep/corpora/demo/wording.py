"""Reports of the simulated recordings: TUH's headings, many wordings, only what was simulated.

A sentence is drawn from a pool for each finding and filled with the numbers that the simulation
used. History and medication are drawn without looking at the findings. The pools never hold
the wordings of ``prompts``: those are for asking, not for learning.
"""

import random

from data_prep.corpora.demo.exams import Exam, Slowing

COMPLAINTS = (
    "new onset seizures", "a single episode of loss of consciousness", "spells of staring",
    "headaches", "syncope", "dizziness", "memory complaints", "a family history of epilepsy",
    "episodes of confusion", "a fall two weeks ago", "migraine", "known epilepsy",
)  # fmt: skip
HISTORY = (
    "{age} year old {hand} handed {man} with {complaint}.",
    "{age} year old {man} referred for {complaint}.",
    "This is {a} {age} year old {man} with {complaint}.",
    "The patient is a {age} year old {hand} handed {man} with {complaint}.",
)
HISTORY_MORE = (
    "The last event was {weeks} weeks ago.", "There is no prior EEG for comparison.",
    "Past history of hypertension.", "No history of head injury.", "Birth was uneventful.",
)  # fmt: skip
DRUGS = (
    "Keppra", "Dilantin", "Lamictal", "Tegretol", "Depakote", "Aspirin", "Metformin", "Lisinopril",
    "Zoloft", "Topamax",
)  # fmt: skip
INTRODUCTION = (
    "Digital video EEG was performed using the standard 10-20 system of electrode placement with "
    "1 channel of EKG.",
    "A routine EEG was recorded in the laboratory with the 10-20 system and one EKG channel.",
    "Digital EEG with 19 scalp electrodes of the 10-20 system.",
)

ALPHA = (
    "In wakefulness, there is a {hz} Hz posterior dominant rhythm of {uv} uV.",
    "The posterior dominant rhythm is {hz} Hz, {uv} uV, and attenuates with eye opening.",
    "A reactive alpha rhythm of {hz} Hz is present over the posterior regions.",
    "The background in wakefulness is well organized with a {hz} Hz alpha rhythm.",
    "Well formed posterior alpha activity at {hz} Hz, amplitude {uv} uV, symmetric.",
    "There is an occipital alpha rhythm at {hz} Hz which is reactive to eye opening.",
)
ALPHA_SLOWED = (
    "The posterior rhythm is slow at {hz} Hz.",
    "In wakefulness, the posterior dominant rhythm is slowed to {hz} Hz.",
    "A poorly organized posterior rhythm of {hz} Hz and {uv} uV is seen.",
    "The background rhythm reaches only {hz} Hz posteriorly.",
)
ALPHA_ABSENT = (
    "No posterior dominant rhythm is seen.",
    "A posterior dominant rhythm is absent.",
    "The background is disorganized, without an alpha rhythm.",
)
BLINKS = (
    "Eye blinks are seen over the frontal electrodes.",
    "Blinks are present frontally when the eyes are open.",
)
DROWSINESS = (
    "Drowsiness is marked by slow rolling eye movements.",
    "The patient becomes drowsy, with slow eye movements.",
    "Drowsiness was recorded.",
    "In drowsiness the alpha rhythm drops out and some theta appears.",
)
SLEEP = (
    "Sleep spindles and vertex waves are seen in stage 2 sleep.",
    "Stage 2 sleep was reached, with symmetric spindles.",
    "Spindles and vertex waves mark stage 2 sleep.",
    "The patient falls asleep; vertex waves and sleep spindles occur.",
)
NO_SLEEP = ("Sleep was not recorded.", "No sleep was seen.", "Stage 2 sleep was not reached.")
GENERALIZED = (
    "There is {grade} generalized slowing in the theta and delta range.",
    "The background is diffusely slow with {theta} Hz theta and {delta} Hz delta activity.",
    "{Grade} diffuse slowing of the background is present{course}.",
    "Generalized {delta} to {theta} Hz slow activity of {uv} uV is seen{course}.",
    "Theta and delta slowing is seen over both hemispheres{course}.",
)
FOCAL = (
    "There is {grade} focal slowing in the {side} {region} region.",
    "Focal {delta} Hz delta activity is seen over the {side} {region} region{course}.",
    "Polymorphic delta and theta slowing over the {side} {region} area, up to {uv} uV.",
    "{Side} {region} slowing at {delta} to {theta} Hz is present{course}.",
    "Slow activity is maximal on the {side}, in the {region} region.",
)
SHARP = (
    "Frequent sharp waves are seen in the {side} {region} region, maximal at {electrode}.",
    "There are {side} {region} sharp waves with phase reversal at {electrode}.",
    "Focal epileptiform discharges occur over the {side} {region} region about every {every} "
    "seconds.",
    "Sharp waves of {uv} uV followed by slow waves are present at {electrode}.",
)
SPIKE_WAVE = (
    "Bursts of generalized {hz} Hz spike and wave discharges are seen, maximal frontally.",
    "There are generalized spike and wave discharges at {hz} Hz lasting about {burst} seconds.",
    "Generalized {hz} Hz spike and slow wave bursts of up to {uv} uV recur every {every} seconds.",
    "Frequent bursts of frontally maximal spike and wave at {hz} Hz.",
)
NO_DISCHARGES = (
    "No epileptiform discharges were seen.", "There were no sharp waves or spikes.",
    "No spike and wave activity occurred.", "Epileptiform activity was not seen.",
)  # fmt: skip
NO_SLOWING = (
    "There is no focal slowing.", "No slowing was seen.",
    "There is no asymmetry and no slow activity.",
)  # fmt: skip
BETA = (
    "There is excess beta activity at {hz} Hz over the frontocentral regions.",
    "Beta activity of {uv} uV is in excess frontally.",
    "Prominent {hz} Hz beta activity is seen frontally and centrally.",
)
ARTIFACT = {
    "muscle": (
        "Muscle artifact is prominent over the temporal regions.",
        "The record is partly obscured by muscle artifact.",
        "Bursts of temporal and frontal EMG artifact are seen.",
    ),
    "electrode": (
        "Electrode artifact is present at one electrode.",
        "Repeated electrode pops are seen.",
    ),
    "movement": (
        "Movement artifact is seen at times.",
        "There is artifact from body movement.",
    ),
}

NORMAL = (
    "Normal EEG {state}.", "This is a normal EEG {state}.", "Normal {adj} EEG.",
    "This {adj} EEG is normal.", "This EEG is within normal limits {state}.",
    "Normal EEG for age.", "Normal routine EEG, {adj}.", "EEG within normal limits for age.",
    "Normal record {state}.", "Normal study.", "This is a normal {adj} recording.",
    "A normal tracing {state}.", "Normal background {state}.",
)  # fmt: skip
NORMAL_MORE = (
    "No focal or epileptiform features.", "The background is normal.",
    "The EEG shows a normal pattern.", "Normal background rhythms for the age of the patient.",
    "Findings are normal throughout.",
)  # fmt: skip
NORMAL_CORRELATION = (
    "No seizures or epileptiform discharges were recorded.", "This is a normal study.",
    "A normal EEG does not exclude epilepsy.", "The record is entirely normal.",
    "The normal findings do not rule out a seizure disorder.",
)  # fmt: skip
ABNORMAL = (
    "Abnormal EEG due to {reason}.", "This is an abnormal EEG {state} because of {reason}.",
    "Abnormal {adj} EEG with {reason}.", "This EEG is abnormal due to {reason}.",
    "Abnormal EEG {state}: {reason}.", "{Grade} abnormal EEG, with {reason}.",
    "Abnormal EEG for age due to {reason}.", "Abnormal record with {reason}.",
    "This {adj} EEG is abnormal because of {reason}.", "Abnormal study due to {reason}.",
    "An abnormal tracing {state} with {reason}.", "Abnormal background with {reason}.",
)  # fmt: skip
ABNORMAL_MORE = (
    "This is an abnormal EEG.", "The background is abnormal.", "Findings are abnormal throughout.",
    "Abnormal study.", "The EEG shows an abnormal pattern.",
    "This EEG is abnormal for the age of the patient.",
)  # fmt: skip
CORRELATION = {
    "generalized": (
        "These abnormal findings suggest a diffuse disturbance of brain function.",
        "Generalized slowing supports a {grade} encephalopathy.",
        "The abnormal slowing is nonspecific and may be toxic or metabolic.",
    ),
    "focal": (
        "The focal slowing suggests a structural abnormality on the {side}.",
        "These findings are abnormal and support a {side} hemisphere lesion.",
        "Focal slowing on the {side} calls for imaging.",
    ),
    "sharp": (
        "The sharp waves suggest a focal mechanism for epilepsy on the {side}.",
        "This abnormal finding supports a focal seizure disorder.",
    ),
    "spike_wave": (
        "The discharges support a primary generalized epilepsy.",
        "This abnormal finding is consistent with generalized epilepsy.",
    ),
}


def write_report(exam: Exam, seed: int) -> str:
    """The report of one exam, with a first line that says it is simulated.

    That line stands before the first heading, so that segmentation leaves it out.
    """
    rng = random.Random(f"{seed}/{exam.recording}")
    sections = {
        "CLINICAL HISTORY": _history(rng, exam),
        "MEDICATIONS": [_medication(rng)],
        "INTRODUCTION": [rng.choice(INTRODUCTION)] if rng.random() < 0.6 else [],
        "DESCRIPTION OF THE RECORD": _description(rng, exam),
        "HR": [f"{exam.heart_rate_bpm} bpm."],
        "IMPRESSION": _impression(rng, exam),
        "CLINICAL CORRELATION": _correlation(rng, exam),
    }
    text = "\n\n".join(f"{name}: {' '.join(lines)}" for name, lines in sections.items() if lines)
    return f"Simulated EEG and report, of no real person.\n\n{text}\n"


def _number(value: float) -> str:
    return f"{value:g}"


def _history(rng: random.Random, exam: Exam) -> list[str]:
    line = rng.choice(HISTORY).format(
        a="an" if exam.age == 18 or 80 <= exam.age < 90 else "a",
        age=exam.age,
        man={"M": "man", "F": "woman"}[exam.sex],
        hand=rng.choice(("right", "right", "right", "left")),
        complaint=rng.choice(COMPLAINTS),
    )
    more = rng.choice(HISTORY_MORE).format(weeks=rng.randint(2, 9))
    return [line, more] if rng.random() < 0.5 else [line]


def _medication(rng: random.Random) -> str:
    drugs = rng.sample(DRUGS, rng.randint(0, 3))
    return ", ".join(drugs) + "." if drugs else rng.choice(("None.", "No medications."))


def _description(rng: random.Random, exam: Exam) -> list[str]:
    alpha = ALPHA_ABSENT if not exam.alpha_uv else ALPHA if exam.alpha_hz >= 8 else ALPHA_SLOWED
    lines = [rng.choice(alpha).format(hz=_number(exam.alpha_hz), uv=_number(exam.alpha_uv))]
    lines += _pathology(rng, exam)
    if exam.beta:
        uv, hz = _number(exam.beta.amplitude_uv), _number(exam.beta.rate_hz)
        lines.append(rng.choice(BETA).format(hz=hz, uv=uv))
    if exam.drowsiness:
        # What drops out has to be there first.
        lines.append(rng.choice(DROWSINESS if alpha is ALPHA else DROWSINESS[:-1]))
    if exam.sleep or rng.random() < 0.4:
        lines.append(rng.choice(SLEEP if exam.sleep else NO_SLEEP))
    if not (exam.sharp_waves or exam.spike_wave) and rng.random() < 0.5:
        lines.append(rng.choice(NO_DISCHARGES))
    if not exam.slowing and not exam.spike_wave and rng.random() < 0.5:
        lines.append(rng.choice(NO_SLOWING))
    if exam.artifact:
        lines.append(rng.choice(ARTIFACT[exam.artifact]))
    elif rng.random() < 0.3:
        lines.append(rng.choice(BLINKS))
    return lines


def _pathology(rng: random.Random, exam: Exam) -> list[str]:
    lines = []
    if exam.slowing:
        generalized = exam.slowing.side == "generalized"
        pool = rng.sample(GENERALIZED if generalized else FOCAL, rng.randint(1, 2))
        lines += [line.format(**_slowing_words(exam.slowing)) for line in pool]
    if exam.sharp_waves:
        found = exam.sharp_waves
        lines.append(
            rng.choice(SHARP).format(
                side=found.side,
                region=found.region,
                electrode="/".join(found.electrodes),
                every=_number(found.every_s),
                uv=_number(found.amplitude_uv),
            )
        )
    if exam.spike_wave:
        found = exam.spike_wave
        values = {"hz": found.rate_hz, "uv": found.amplitude_uv, "every": found.every_s}
        values["burst"] = found.burst_s
        words = {name: _number(value) for name, value in values.items()}
        lines += [line.format(**words) for line in rng.sample(SPIKE_WAVE, rng.randint(1, 2))]
    return lines


def _slowing_words(slowing: Slowing) -> dict[str, str]:
    course = ", continuously" if slowing.continuous else ", intermittently"
    return {
        "side": slowing.side, "Side": slowing.side.capitalize(), "region": slowing.region,
        "grade": slowing.grade, "Grade": slowing.grade.capitalize(), "course": course,
        "delta": _number(slowing.delta_hz), "theta": _number(slowing.theta_hz),
        "uv": _number(slowing.amplitude_uv),
    }  # fmt: skip


def _state_words(exam: Exam) -> dict[str, str]:
    if exam.sleep:
        return {"state": "in wakefulness and sleep", "adj": "awake and asleep"}
    if exam.drowsiness:
        return {"state": "in wakefulness and drowsiness", "adj": "awake and drowsy"}
    return {"state": "in wakefulness", "adj": "awake"}


def _reasons(rng: random.Random, exam: Exam) -> list[str]:
    reasons = []
    if exam.slowing and exam.slowing.side == "generalized":
        reasons.append(rng.choice(("generalized slowing", "diffuse slowing", "background slowing")))
    elif exam.slowing:
        words = _slowing_words(exam.slowing)
        pool = ("focal {side} {region} slowing", "{side} {region} slowing", "slowing on the {side}")
        reasons.append(rng.choice(pool).format(**words))
    if exam.sharp_waves:
        found = exam.sharp_waves
        reasons.append(f"{found.side} {found.region} sharp waves")
    if exam.spike_wave:
        reasons.append("generalized spike and wave discharges")
    return reasons


def _impression(rng: random.Random, exam: Exam) -> list[str]:
    words = _state_words(exam)
    if not exam.abnormal:
        lines = [rng.choice(NORMAL).format(**words)]
        return lines + ([rng.choice(NORMAL_MORE)] if rng.random() < 0.6 else [])
    words["reason"] = " and ".join(_reasons(rng, exam))
    words["Grade"] = exam.slowing.grade.capitalize() + "ly" if exam.slowing else "Clearly"
    lines = [rng.choice(ABNORMAL).format(**words)]
    return lines + ([rng.choice(ABNORMAL_MORE)] if rng.random() < 0.6 else [])


def _correlation(rng: random.Random, exam: Exam) -> list[str]:
    if not exam.abnormal:
        return [rng.choice(NORMAL_CORRELATION)]
    lines = []
    if exam.slowing:
        kind = "generalized" if exam.slowing.side == "generalized" else "focal"
        lines.append(rng.choice(CORRELATION[kind]).format(**_slowing_words(exam.slowing)))
    if exam.sharp_waves:
        lines.append(rng.choice(CORRELATION["sharp"]).format(side=exam.sharp_waves.side))
    if exam.spike_wave:
        lines.append(rng.choice(CORRELATION["spike_wave"]))
    return lines
