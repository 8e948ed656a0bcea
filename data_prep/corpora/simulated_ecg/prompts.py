"""Zero-shot prompts for simulated ECGs, in wordings that none of their reports uses.

A test says so; their words do occur in reports, or a text tower learnt from them could not read
them. Keys are classes in the grammar of labels, ``name=value``; each has English prompts, and
German ones at last.
"""

HELD_OUT_PROMPTS: dict[str, tuple[str, ...]] = {
    "superclass=NORM": (
        "This ECG is normal.", "Normal sinus rhythm, normal ECG.", "The tracing is normal.",
        "No abnormal findings in the tracing.", "Unauffälliges, normales EKG.",
    ),
    "superclass=MI": (
        "This ECG is of a myocardial infarction.", "Myocardial infarction with Q waves.",
        "A myocardial infarct is seen.", "Myokardinfarkt mit Q-Zacken.", "Infarkt, QRS abnormal.",
    ),
    "superclass=STTC": (
        "ST and T wave abnormality.", "T waves inverted, ST depression.", "ST and T: ischemia.",
        "T negativ, Ischämie.", "Unspezifische ST- und T-Veränderungen.",
    ),
    "superclass=CD": (
        "A bundle branch block is seen.", "Block with a wide QRS.", "AV block, branch block.",
        "Leitungsstörung, QRS verbreitert.", "Block des Schenkels, QRS verbreitert.",
    ),
    "superclass=HYP": (
        "Ventricular hypertrophy is seen.", "Hypertrophy with high QRS voltage.",
        "Enlarged left ventricle and left atrium.", "Hohe Amplituden bei Hypertrophie.",
        "Hypertrophie des Ventrikels, Voltage-Zeichen.",
    ),
    "rhythm=SR": (
        "The rhythm is a regular sinus rhythm.", "Normofrequenter, regelmäßiger Sinusrhythmus.",
    ),
    "rhythm=SBRAD": ("The rhythm is a sinus bradycardia.", "Langsamer, bradykarder Sinusrhythmus."),
    "rhythm=STACH": ("The rhythm is a sinus tachycardia.", "Tachykarder, Sinustachykardie."),
    "rhythm=SARRH": (
        "The sinus rhythm is irregular.", "Sinusarrhythmie, unregelmäßig mit der Atmung.",
    ),
    "rhythm=AFIB": (
        "Irregular atrial fibrillation.", "The rhythm is atrial fibrillation.",
        "Absolute Arrhythmie, keine P-Wellen.",
    ),
    "rhythm=AFLT": ("The rhythm is atrial flutter.", "Vorhofflattern mit Überleitung."),
    "subclass=IMI": ("Myocardial infarction, inferior.", "Myokardinfarkt inferior."),
    "subclass=AMI": (
        "Myocardial infarction, anterior and anteroseptal.", "Myokardinfarkt der Vorderwand.",
    ),
    "subclass=CRBBB": (
        "A block of the right bundle branch.",
        "Block des rechten Schenkels, QRS verbreitert.",
    ),
    "subclass=CLBBB": (
        "A block of the left bundle branch.",
        "Block des linken Schenkels, QRS verbreitert.",
    ),
    "subclass=_AVB": ("AV block of the first degree.", "Überleitung verlängert, AV-Block."),
    "subclass=LVH": (
        "Hypertrophy of the ventricle, left.", "Linkshypertrophie mit Voltage-Zeichen.",
    ),
}  # fmt: skip
