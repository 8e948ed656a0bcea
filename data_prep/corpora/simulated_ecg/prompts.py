"""Zero-shot prompts for simulated ECGs, in wordings that none of their reports uses.

A test says so; the words do occur in English reports, or a text tower learnt from them could not
read them. Keys are classes in the grammar of labels, ``name=value``.
"""

HELD_OUT_PROMPTS: dict[str, tuple[str, ...]] = {
    "superclass=NORM": (
        "This ECG is normal.",
        "Normal sinus rhythm, normal ECG.",
        "The tracing is normal.",
        "No abnormal findings in the tracing.",
    ),
    "superclass=MI": (
        "This ECG is of a myocardial infarction.",
        "Myocardial infarction with Q waves.",
        "A myocardial infarct is seen.",
        "Infarction of the wall, loss of R.",
    ),
    "superclass=STTC": (
        "ST segment and T wave abnormality.",
        "ST depression and inverted T waves.",
        "Non-specific changes of ST and T.",
        "Abnormal repolarization.",
    ),
    "superclass=CD": (
        "A conduction delay is seen.",
        "Bundle branch block with a wide QRS.",
        "Block in the ventricles.",
        "Delayed conduction, block.",
    ),
    "superclass=HYP": (
        "Ventricular hypertrophy is seen.",
        "Hypertrophy with high QRS voltage.",
        "Enlarged left ventricle and left atrium.",
    ),
    "rhythm=SR": ("The rhythm is a regular sinus rhythm.", "A regular rhythm with P waves."),
    "rhythm=SBRAD": ("A slow sinus bradycardia.", "The sinus rhythm is slow."),
    "rhythm=STACH": ("A fast sinus tachycardia.", "The sinus rhythm is fast."),
    "rhythm=SARRH": ("The sinus rhythm is irregular.", "A sinus arrhythmia with breathing."),
    "rhythm=AFIB": (
        "Fibrillation of the atrium.",
        "The rhythm is irregular, without P waves.",
        "The rhythm is atrial fibrillation.",
    ),
    "rhythm=AFLT": ("The rhythm is atrial flutter.", "Atrial flutter waves."),
    "subclass=IMI": ("Myocardial infarction, inferior.", "Infarct in the inferior leads."),
    "subclass=AMI": (
        "Myocardial infarction, anterior and anteroseptal.",
        "Infarct in the anterior leads.",
    ),
    "subclass=CRBBB": ("A complete block of the right bundle branch.", "A complete RBBB."),
    "subclass=CLBBB": ("A complete block of the left bundle branch.", "A complete LBBB."),
    "subclass=_AVB": ("AV block of the first degree.", "The PR interval is prolonged."),
    "subclass=LVH": ("Hypertrophy of the ventricle, left.", "High QRS voltage of LVH."),
}
