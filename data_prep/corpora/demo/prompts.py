"""Zero-shot prompts for the demo corpus, in wordings that none of its reports uses.

A test says so; their words do occur in reports, or a text tower learnt from them could not read
them. Finding (a label of the corpus) -> sentences for it and against it.
"""

HELD_OUT_PROMPTS = {
    "abnormal": {
        "positive": (
            "This recording is abnormal.", "The EEG of this patient is abnormal.",
            "Abnormal findings in this recording.", "The EEG shows an abnormal background.",
        ),
        "negative": (
            "This recording is normal.", "The EEG of this patient is normal.",
            "Normal findings in this recording.", "The EEG shows a normal background.",
        ),
    },
    "alpha_rhythm": {
        "positive": (
            "A reactive posterior dominant alpha rhythm was seen.",
            "There is a well formed alpha rhythm over the posterior regions.",
        ),
        "negative": (
            "The posterior rhythm is slow or absent.", "Disorganized slow background rhythm.",
        ),
    },
    "drowsiness": {
        "positive": (
            "The patient is drowsy.", "Drowsiness with slow rolling eye movements was seen.",
        ),
        "negative": ("The patient is awake.", "Wakefulness was recorded."),
    },
    "spindles": {
        "positive": ("Sleep spindles were recorded.", "The patient is in stage 2 sleep."),
        "negative": ("No sleep was recorded.", "The patient is awake."),
    },
    "generalized_slowing": {
        "positive": (
            "The background shows generalized slowing.",
            "Diffuse theta and delta slowing was seen.",
        ),
        "negative": ("The background shows no slowing.", "There is no diffuse slow activity."),
    },
    "focal_slowing_left": {
        "positive": (
            "The background shows focal slowing on the left.",
            "Left focal theta and delta slowing was seen.",
        ),
        "negative": ("The background shows no slowing.", "There is no slow activity on the left."),
    },
    "focal_slowing_right": {
        "positive": (
            "The background shows focal slowing on the right.",
            "Right focal theta and delta slowing was seen.",
        ),
        "negative": ("The background shows no slowing.", "There is no slow activity on the right."),
    },
    "sharp_waves": {
        "positive": (
            "Focal sharp waves were recorded.", "There are frequent focal epileptiform discharges.",
        ),
        "negative": ("No sharp waves were recorded.", "There are no epileptiform discharges."),
    },
    "spike_wave": {
        "positive": (
            "Generalized spike and wave discharges were recorded.",
            "There are bursts of 3 Hz generalized spike and wave.",
        ),
        "negative": (
            "No spike and wave discharges were recorded.", "There are no epileptiform discharges.",
        ),
    },
    "beta_excess": {
        "positive": (
            "An excess of beta activity was seen.", "Prominent frontocentral beta was recorded.",
        ),
        "negative": ("No excess of beta activity was seen.", "There is no prominent beta."),
    },
    "artifact": {
        "positive": ("Artifact was recorded.", "There is prominent artifact in the record."),
        "negative": ("No artifact was recorded.", "The record is without artifact."),
    },
}  # fmt: skip
