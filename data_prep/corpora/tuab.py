"""TUAB, the TUH Abnormal EEG Corpus (v1 to v3): each recording normal or abnormal.

    edf/{train,eval}/{normal,abnormal}/01_tcp_ar/aaaaamye_s001_t000.edf

The labels ``pathology`` and ``abnormal`` and the published split (eval: test here) are in the path.
"""

from data_prep.corpora.base import Source
from data_prep.corpora.tueg import Tueg


class Tuab(Tueg):
    """One set of windows a recording, prepared as TUEG is."""

    name = "tuab"
    example = "edf/eval/abnormal/01_tcp_ar/aaaaamye_s001_t000.edf"
    settles_splits = True
    counted_label = "pathology"

    def _source(self, path, file, reports, institution) -> Source | None:
        source = super()._source(path, file, reports, institution)
        if source is not None and (source.split is None or "abnormal" not in source.labels):
            detail = "not in {train,eval}/{normal,abnormal}"
            return self.leave_out(file, "not_in_layout", detail)
        return source
