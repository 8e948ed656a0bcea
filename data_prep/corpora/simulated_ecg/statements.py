"""The statements that simulated ECGs can have: PTB-XL's codes, described in words of our own.

Codes, and what is a diagnosis of which class, are those of PTB-XL (Wagner et al. 2020), after
SCP-ECG (EN 1064); its fields of other nomenclatures stay empty.
"""

import dataclasses

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


@dataclasses.dataclass(frozen=True)
class Statement:
    """One line of ``scp_statements.csv``.

    Attributes:
      code: as "IMI".
      description: in words.
      superclass: of a diagnosis, one of :data:`SUPERCLASSES`; "" for others.
      subclass: of a diagnosis.
      form: whether it says something of the form of the waves.
      rhythm: whether it says something of the rhythm.
      category: what group of statements it is of, in words.
    """

    code: str
    description: str
    superclass: str = ""
    subclass: str = ""
    form: bool = False
    rhythm: bool = False
    category: str = ""


def _of(superclass: str, category: str, *rows: tuple[str, str, str]) -> list[Statement]:
    return [Statement(c, words, superclass, sub, category=category) for c, sub, words in rows]


_FORMS = {
    "ABQRS": "QRS of abnormal form", "QWAVE": "pathological Q waves",
    "STE_": "elevation of ST", "STD_": "depression of ST",
    "INVT": "T waves upside down", "LOWT": "T waves of low amplitude",
    "VCLVH": "QRS voltages as in left ventricular hypertrophy",
    "HVOLT": "QRS of high voltage", "LVOLT": "QRS of low voltage",
    "PVC": "ventricular extrasystole", "PAC": "atrial extrasystole",
}  # fmt: skip
_RHYTHMS = {
    "SR": "sinus rhythm", "SBRAD": "slow sinus rhythm (bradycardia)",
    "STACH": "fast sinus rhythm (tachycardia)", "SARRH": "irregular sinus rhythm (arrhythmia)",
    "AFIB": "atrial fibrillation", "AFLT": "atrial flutter",
}  # fmt: skip

STATEMENTS = (
    Statement("NORM", "ECG without a finding", "NORM", "NORM", category="normal or abnormal"),
    *_of(
        "MI", "infarction of the myocardium",
        ("IMI", "IMI", "infarction of the inferior wall"),
        ("ILMI", "IMI", "infarction of the inferior and lateral walls"),
        ("AMI", "AMI", "infarction of the anterior wall"),
        ("ASMI", "AMI", "infarction of the anterior wall and the septum"),
        ("ALMI", "AMI", "infarction of the anterior and lateral walls"),
        ("LMI", "LMI", "infarction of the lateral wall"),
    ),
    *_of(
        "STTC", "changes of ST and T",
        ("NDT", "STTC", "abnormal T waves that name no cause"),
        ("NST_", "NST_", "changes of ST that name no cause"),
        ("LNGQT", "STTC", "QT interval too long"),
        ("ISC_", "ISC_", "ST and T as in ischaemia, in no one region"),
        ("ISCAL", "ISCA", "ST and T as in ischaemia, in anterior and lateral leads"),
        ("ISCIN", "ISCI", "ST and T as in ischaemia, in inferior leads"),
    ),
    *_of(
        "CD", "conduction of the impulse",
        ("CRBBB", "CRBBB", "complete block of the right bundle branch"),
        ("IRBBB", "IRBBB", "incomplete block of the right bundle branch"),
        ("CLBBB", "CLBBB", "complete block of the left bundle branch"),
        ("LAFB", "LAFB/LPFB", "block of the left anterior fascicle"),
        ("IVCD", "IVCD", "slowed conduction in the ventricles, of no one branch"),
        ("1AVB", "_AVB", "first degree AV block"),
    ),
    *_of(
        "HYP", "enlargement of a chamber",
        ("LVH", "LVH", "hypertrophy of the left ventricle"),
        ("RVH", "RVH", "hypertrophy of the right ventricle"),
        ("LAO/LAE", "LAO/LAE", "enlargement of the left atrium"),
    ),
    *(Statement(c, w, form=True, category="form of the waves") for c, w in _FORMS.items()),
    *(Statement(c, w, rhythm=True, category="rhythm") for c, w in _RHYTHMS.items()),
)  # fmt: skip

BY_CODE = {statement.code: statement for statement in STATEMENTS}

# As PTB-XL's file has them.
COLUMNS = (
    "", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass",
    "Statement Category", "SCP-ECG Statement Description", "AHA code", "aECG REFID", "CDISC Code",
    "DICOM Code",
)  # fmt: skip


def statement_rows() -> list[tuple[str, ...]]:
    """The lines of ``scp_statements.csv`` below its first."""
    yes = {True: "1.0", False: ""}
    return [
        (
            s.code, s.description, yes[bool(s.superclass)], yes[s.form], yes[s.rhythm],
            s.superclass, s.subclass, s.category, s.description, "", "", "", "",
        )
        for s in STATEMENTS
    ]  # fmt: skip
