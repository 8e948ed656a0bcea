"""The table of a training in its log, a row a validation: training beside what was held out.

The columns stand under ``epoch, train loss, train acc., valid loss, valid acc., best, seconds``.
"""

import logging
import time
from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

# Values with a column, where they are measured, and what the log calls them.
COLUMNS = {"loss": "loss", "accuracy": "acc.", "balanced_accuracy": "bal. acc."}


class EpochTable:
    """Rows of the log; the columns are those of the first row.

    Args:
      monitored: the value that says what is best; it has a column too.
    """

    def __init__(self, monitored: str):
        self._monitored, self._since = monitored, time.monotonic()
        self._columns: list[tuple[str, str]] | None = None  # (side, name)

    def row(
        self, epoch: float, train: Mapping[str, float], valid: Mapping[str, float], *, best: bool
    ) -> float:
        """Says a row.

        Args:
          epoch: how many have passed.
          train: means over the steps since the row before.
          valid: of the held-out split.
          best: whether no row before was better.

        Returns:
          Seconds since the row before, or since the table was made.
        """
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        sides = {"train": train, "valid": valid}
        if self._columns is None:
            self._columns = self._columns_of(sides)
            heads = [f"{side} {COLUMNS.get(name, name)}" for side, name in self._columns]
            self._say("epoch", heads, "best", "seconds")
        cells = [f"{sides[side][name]:.4f}" for side, name in self._columns]
        self._say(f"{epoch:.2f}", cells, "*" if best else "", f"{seconds:.1f}")
        return seconds

    def _columns_of(self, sides: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str]]:
        names = dict.fromkeys((*COLUMNS, self._monitored))
        return [(side, name) for side in sides for name in names if name in sides[side]]

    def _say(self, epoch: str, cells: Sequence[str], best: str, seconds: str) -> None:
        wide = "".join(f"{cell:>{max(12, len(cell) + 2)}}" for cell in cells)
        log.info("valid %8s%s%6s%9s", epoch, wide, best, seconds)
