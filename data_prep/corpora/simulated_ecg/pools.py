"""The sentences of simulated reports, German and English, by what they say.

None of them is of PTB-XL's reports; they never hold the wordings of ``prompts``: those are for
asking, not for learning.
"""

GERMAN = {
    "SR": (
        "Sinusrhythmus.", "Regelmäßiger Sinusrhythmus.", "Sinusrhythmus mit {hf}/min.",
        "Sinusrhythmus, HF {hf}.", "Normofrequenter Sinusrhythmus.",
    ),
    "SBRAD": (
        "Sinusbradykardie.", "Sinusbradykardie mit {hf}/min.", "Bradykarder Sinusrhythmus.",
        "Langsamer Sinusrhythmus, HF {hf}.",
    ),
    "STACH": (
        "Sinustachykardie.", "Sinustachykardie mit {hf}/min.", "Tachykarder Sinusrhythmus.",
        "Schneller Sinusrhythmus, HF {hf}.",
    ),
    "SARRH": (
        "Sinusarrhythmie.", "Respiratorische Sinusarrhythmie.",
        "Sinusrhythmus, mit der Atmung unregelmäßig.", "Arrhythmischer Sinusrhythmus.",
    ),
    "AFIB": (
        "Vorhofflimmern.", "Absolute Arrhythmie bei Vorhofflimmern.",
        "Vorhofflimmern, mittlere Kammerfrequenz {hf}/min.", "Keine P-Wellen, Vorhofflimmern.",
    ),
    "AFLT": (
        "Vorhofflattern.", "Vorhofflattern mit Kammerfrequenz um {hf}/min.",
        "Flatterwellen in II, III, aVF.", "Vorhofflattern, wechselnde Überleitung.",
    ),
    "NORM": (
        "Normales EKG.", "Sonst normales EKG.", "Unauffälliges EKG.", "EKG im Normbereich.",
        "Kein pathologischer Befund.", "Altersentsprechendes, normales EKG.",
    ),
    "IMI": (
        "Inferiorer Infarkt.", "Hinterwandinfarkt.", "Q-Zacken inferior: Infarkt.",
        "Infarkt der Hinterwand, II, III, aVF.", "QRS abnormal, inferiorer Myokardinfarkt.",
    ),
    "ILMI": (
        "Inferolateraler Infarkt.", "Infarkt der Hinter- und Seitenwand.",
        "Q-Zacken inferior und lateral: Infarkt.", "QRS abnormal, inferolateraler Myokardinfarkt.",
    ),
    "AMI": (
        "Anteriorer Infarkt.", "Vorderwandinfarkt.", "R-Verlust in V2 bis V4: Infarkt.",
        "Infarkt der Vorderwand.", "QRS abnormal, anteriorer Myokardinfarkt.",
    ),
    "ASMI": (
        "Anteroseptaler Infarkt.", "Septaler Vorderwandinfarkt.", "QS in V1 bis V3: Infarkt.",
        "Infarkt von Vorderwand und Septum.", "QRS abnormal, anteroseptaler Myokardinfarkt.",
    ),
    "ALMI": (
        "Anterolateraler Infarkt.", "Infarkt der Vorder- und Seitenwand.",
        "Q-Zacken in I, aVL, V4 bis V6: Infarkt.", "Großer anterolateraler Myokardinfarkt.",
    ),
    "LMI": (
        "Lateraler Infarkt.", "Seitenwandinfarkt.", "Q-Zacken in I und aVL: lateraler Infarkt.",
    ),
    "acute": (
        "ST-Hebung, frisches Stadium.", "Akutes Stadium mit ST-Hebungen.",
        "Frischer Infarkt mit Hebung der ST-Strecke.",
    ),
    "recent": (
        "Zwischenstadium mit T-Negativierung.", "T negativ, subakutes Stadium.",
        "Nicht mehr frisch, terminal negatives T.",
    ),
    "old": ("Alter unbestimmt.", "Älterer Infarkt.", "Narbenstadium."),
    "NDT": (
        "Unspezifisch abnormes T.", "T flach.", "Abgeflachte T-Wellen.",
        "Unspezifische T-Veränderungen.",
    ),
    "NST_": (
        "Unspezifische ST-Veränderungen.", "Geringe ST-Senkung, unspezifisch.",
        "ST leicht gesenkt.",
    ),
    "ISC_": (
        "ST- und T-Veränderungen wie bei Ischämie.", "T abnorm, Verdacht auf Ischämie.",
        "Erregungsrückbildung gestört, Ischämie möglich.",
    ),
    "ISCAL": (
        "T negativ in V3 bis V6: anterolaterale Ischämie.",
        "Anterolaterale Ischämie mit T-Negativierung.",
        "ST-Senkung und T-Inversion anterolateral, wie bei Ischämie.",
    ),
    "ISCIN": (
        "T negativ in II, III, aVF: inferiore Ischämie.", "Inferiore Ischämie.",
        "ST-Senkung und T-Inversion inferior, wie bei Ischämie.",
    ),
    "LNGQT": ("QT-Verlängerung.", "QT-Zeit verlängert.", "Verlängerte QT-Dauer."),
    "CRBBB": (
        "Rechtsschenkelblock.", "Kompletter Rechtsschenkelblock.",
        "RSB, QRS verbreitert mit R' in V1.", "Vollständiger Block des rechten Schenkels.",
    ),
    "IRBBB": (
        "Inkompletter Rechtsschenkelblock.", "Unvollständiger Rechtsschenkelblock.",
        "RSR' in V1, inkompletter RSB.",
    ),
    "CLBBB": (
        "Linksschenkelblock.", "Kompletter Linksschenkelblock.",
        "LSB mit breitem, gekerbtem QRS.", "Vollständiger Block des linken Schenkels.",
    ),
    "LAFB": (
        "Linksanteriorer Hemiblock.", "LAHB.", "Hemiblock links anterior, überdrehter Linkstyp.",
    ),
    "IVCD": (
        "Intraventrikuläre Leitungsstörung.", "Unspezifischer intraventrikulärer Block.",
        "QRS verbreitert, unspezifische Leitungsstörung.",
    ),
    "1AVB": (
        "AV-Block ersten Grades.", "AV-Block I.", "PQ-Zeit verlängert ({pr} ms), AV-Block I.",
        "Verlängerte Überleitung: AV-Block ersten Grades.",
    ),
    "LVH": (
        "Linkshypertrophie.", "Linksventrikuläre Hypertrophie.",
        "Hohe Amplituden, Zeichen der Linkshypertrophie.", "Voltage-Zeichen der LVH.",
        "Hypertrophie des linken Ventrikels.",
    ),
    "RVH": (
        "Rechtshypertrophie.", "Rechtsventrikuläre Hypertrophie.",
        "Zeichen der Rechtsherzbelastung, Hypertrophie.",
    ),
    "LAO/LAE": (
        "P-sinistroatriale.", "P verbreitert: linker Vorhof vergrößert.",
        "Vergrößerung des linken Vorhofs.",
    ),
    "strain": (
        "ST-Senkung und T negativ lateral bei Hypertrophie.",
        "Linkshypertrophie mit Erregungsrückbildungsstörung.",
        "Strain: gesenktes ST, T-Inversion in V5 und V6.",
    ),
    "PVC": (
        "Ventrikuläre Extrasystole(n).", "VES.", "Ventrikuläre Extrasystolen, {n} im Streifen.",
    ),
    "PAC": (
        "Supraventrikuläre Extrasystole(n).", "SVES.",
        "Supraventrikuläre Extrasystolen, {n} im Streifen.",
    ),
    "LAD": ("Linkstyp.",), "ALAD": ("Überdrehter Linkstyp.",), "RAD": ("Rechtstyp.",),
    "ARAD": ("Überdrehter Rechtstyp.",), "MID": ("Indifferenztyp.", "Lagetyp indifferent."),
    "baseline": ("Nulllinie schwankt.",), "static": ("Verzittert.", "Muskelartefakte."),
    "burst": ("Bewegungsartefakt.",),
}  # fmt: skip

ENGLISH = {
    "SR": (
        "Sinus rhythm.", "Regular sinus rhythm.", "Sinus rhythm at {hf} bpm.",
        "Normal sinus rhythm, rate {hf}.",
    ),
    "SBRAD": (
        "Sinus bradycardia.", "Sinus bradycardia at {hf} bpm.", "Slow sinus rhythm, rate {hf}.",
    ),
    "STACH": (
        "Sinus tachycardia.", "Sinus tachycardia at {hf} bpm.", "Fast sinus rhythm, rate {hf}.",
    ),
    "SARRH": (
        "Sinus arrhythmia.", "Irregular sinus rhythm with breathing.",
        "Respiratory sinus arrhythmia.",
    ),
    "AFIB": (
        "Atrial fibrillation.", "Atrial fibrillation, ventricular rate {hf}.",
        "Irregular rhythm without P waves: atrial fibrillation.",
    ),
    "AFLT": (
        "Atrial flutter.", "Atrial flutter with a ventricular rate of {hf}.",
        "Flutter waves in the inferior leads.",
    ),
    "NORM": (
        "Normal ECG.", "Otherwise normal ECG.", "ECG within normal limits.", "A normal tracing.",
        "No abnormal findings in this ECG.", "This is a normal ECG for the age.",
    ),
    "IMI": (
        "Inferior myocardial infarction.", "Q waves in II, III and aVF: inferior infarct.",
        "Infarction of the inferior wall.", "Inferior infarct.",
    ),
    "ILMI": (
        "Inferolateral myocardial infarction.", "Inferolateral infarct.",
        "Infarction of the inferior and lateral walls, with Q waves.",
    ),
    "AMI": (
        "Anterior myocardial infarction.", "Anterior infarct.",
        "Loss of R in the anterior leads: infarction.", "Infarction of the anterior wall.",
    ),
    "ASMI": (
        "Anteroseptal myocardial infarction.", "Anteroseptal infarct.",
        "QS in V1 to V3: anteroseptal infarction.", "Infarction of septum and anterior wall.",
    ),
    "ALMI": (
        "Anterolateral myocardial infarction.", "Anterolateral infarct.",
        "Q waves in I, aVL and V4 to V6: anterolateral infarction.",
    ),
    "LMI": ("Lateral myocardial infarction.", "Q waves in I and aVL: lateral infarct."),
    "acute": (
        "ST elevation, acute stage.", "Acute, with elevated ST segments.",
        "Recent onset with ST elevation.",
    ),
    "recent": ("Inverted T waves, subacute stage.", "Subacute with T inversion."),
    "old": ("Age undetermined.", "Old infarction.", "A scar is seen."),
    "NDT": (
        "Non-specific T abnormality.", "Flat T waves.", "T wave changes, non-specific.",
    ),
    "NST_": (
        "Non-specific ST changes.", "Slight ST depression.", "Minor depression of the ST segment.",
    ),
    "ISC_": (
        "ST and T wave changes, ischemia possible.", "Abnormal ST and T as in ischemia.",
        "Repolarization abnormality, consistent with ischemia.",
    ),
    "ISCAL": (
        "Inverted T waves in V3 to V6: anterolateral ischemia.",
        "Anterolateral ischemia with ST depression.", "Anterolateral T inversion, ischemic.",
    ),
    "ISCIN": (
        "Inverted T waves in II, III and aVF: inferior ischemia.",
        "Inferior ischemia with ST depression.",
    ),
    "LNGQT": ("Prolonged QT.", "The QT interval is prolonged.", "Long QT interval."),
    "CRBBB": (
        "Right bundle branch block.", "Complete right bundle branch block.",
        "RBBB with a wide QRS.", "Wide QRS with R' in V1: right bundle branch block.",
    ),
    "IRBBB": (
        "Incomplete right bundle branch block.", "RSR' in V1, incomplete RBBB.",
    ),
    "CLBBB": (
        "Left bundle branch block.", "Complete left bundle branch block.",
        "LBBB with a wide, notched QRS.", "Wide QRS: left bundle branch block.",
    ),
    "LAFB": (
        "Left anterior fascicular block.", "LAFB with left axis deviation.",
        "Left anterior hemiblock.",
    ),
    "IVCD": (
        "Intraventricular conduction delay.", "Non-specific intraventricular block, wide QRS.",
        "Delayed conduction in the ventricles.",
    ),
    "1AVB": (
        "First degree AV block.", "Prolonged PR interval ({pr} ms), first degree AV block.",
        "AV conduction is delayed: first degree AV block.",
    ),
    "LVH": (
        "Left ventricular hypertrophy.", "High voltage, LVH.",
        "QRS voltage meets criteria for left ventricular hypertrophy.",
        "Hypertrophy of the left ventricle.",
    ),
    "RVH": ("Right ventricular hypertrophy.", "Hypertrophy of the right ventricle."),
    "LAO/LAE": (
        "Left atrial enlargement.", "Wide P wave: enlarged left atrium.",
        "The left atrium is enlarged.",
    ),
    "strain": (
        "ST depression and T inversion in lateral leads with hypertrophy.",
        "Left ventricular hypertrophy with strain.", "Strain pattern in V5 and V6.",
    ),
    "PVC": (
        "Premature ventricular complexes.", "Ventricular premature beats, {n} in this strip.",
        "Ventricular ectopy.",
    ),
    "PAC": (
        "Premature atrial complexes.", "Atrial premature beats, {n} in this strip.",
    ),
    "LAD": ("Left axis.", "Left axis deviation."), "ALAD": ("Marked left axis deviation.",),
    "RAD": ("Right axis deviation.",), "ARAD": ("Marked right axis deviation.",),
    "MID": ("Normal axis.",),
    "baseline": ("Baseline wander.",), "static": ("Muscle artifact.",),
    "burst": ("Movement artifact.",),
}  # fmt: skip
