"""Names of leads as bitmaps, 5 x 7 dots a letter."""

import numpy as np

_DRAWN = {
    "I": ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
    "V": "#...# #...# #...# #...# #...# .#.#. ..#..",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "a": "..... ..... .###. ....# .#### #...# .####",
    "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "##### ...#. ..#.. ...#. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
}
HEIGHT = 7


def _letter(text: str) -> np.ndarray:
    rows = np.array([[dot == "#" for dot in row] for row in text.split()], np.float32)
    used = np.flatnonzero(rows.any(axis=0))
    return rows[:, used[0] : used[-1] + 1]


def bitmap(name: str, dot_px: int = 1) -> np.ndarray:
    """A lead's name: 1 where there is ink, ``[7 * dot_px, x]``; letters are as wide as they are."""
    gap = np.zeros((HEIGHT, 1), np.float32)
    letters = [part for letter in name for part in (gap, _letter(_DRAWN[letter]))][1:]
    return np.kron(np.concatenate(letters, axis=1), np.ones((dot_px, dot_px), np.float32))
