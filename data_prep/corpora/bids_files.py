"""Files of a BIDS folder as ``mne-bids`` finds and reads them; imported where there is one."""

import contextlib
import pathlib
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from data_prep.corpora.arrays import bad_array
from data_prep.corpora.base import Source

if TYPE_CHECKING:
    from mne_bids import BIDSPath

_TABLE_NAME = re.compile(r"[\w.-]+\.(?:tsv|json)\b")


def name_parts(path: pathlib.Path) -> dict[str, str]:
    """``sub-01_task-rest_eeg.edf`` -> ``{"sub": "01", "task": "rest"}``."""
    return dict(part.split("-", 1) for part in path.stem.split("_") if "-" in part)


def bids_path(path: pathlib.Path) -> "BIDSPath":
    """What ``mne-bids`` calls a recording."""
    from mne_bids import get_bids_path_from_fname

    return get_bids_path_from_fname(path, check=False)


def find_sidecar(path: "BIDSPath", suffix: str, extension: str) -> pathlib.Path | None:
    """A table or description of a recording, its own or one that several share."""
    own = path.fpath.with_name(
        f"{path.fpath.stem.removesuffix(f'_{path.suffix}')}_{suffix}{extension}"
    )
    # What lies beside it is the nearest; looking for shared ones goes through the whole folder.
    return (
        own
        if own.is_file()
        else path.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")
    )


def read_raw(source: Source) -> Any:
    """What ``mne-bids`` makes of a recording; its samples are read when they are taken.

    Raises:
      UnusableRecording: it could not read it.
    """
    from mne_bids import read_raw_bids

    with reading(source):
        raw = read_raw_bids(bids_path(source.path), verbose="ERROR")
        bad, raw.info["bads"] = raw.info["bads"], []
        return raw.drop_channels(bad) if bad and not source.extra["keep_bad"] else raw


@contextlib.contextmanager
def reading(source: Source) -> Iterator[None]:
    """Quiet, and errors of a reader are defects of the recording that name the tables meant.

    Raises:
      UnusableRecording: in place of any error.
    """
    import mne

    from elm_jax.signals.defects import UnusableRecording

    try:
        with warnings.catch_warnings(), mne.use_log_level("ERROR"):
            # What matters of them is checked while listing, and said there.
            warnings.simplefilter("ignore")
            yield
    except (UnusableRecording, MemoryError):
        raise
    except Exception as error:  # of any of mne's readers
        named = ", ".join(dict.fromkeys(_TABLE_NAME.findall(str(error))))
        what = f" ({type(error).__name__}{f', about {named}' if named else ''})"
        raise bad_array(source.file, f"mne-bids could not read it{what}") from error
