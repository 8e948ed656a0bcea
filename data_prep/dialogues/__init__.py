"""Published sets of questions and dialogues about ECGs, joined with prepared recordings.

``python -m data_prep.dialogues NAME --input FILES --records PREPARED --out FILE.jsonl``
"""
