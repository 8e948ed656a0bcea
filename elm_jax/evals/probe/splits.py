"""Who trains, chooses and is scored: always by person, and alike in what they are alike in."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from elm_jax.axes import Bool, Int

People = Int[np.ndarray, " _"]  # rows of people


class Fold(NamedTuple):
    """Rows of the people of one fit; nobody is in two of them."""

    name: str
    train: People
    valid: People
    test: People


def _grouped(cell: Sequence[Hashable], rng: np.random.Generator) -> People:
    """People in an order in which those of a cell follow one another; random within a cell."""
    tie = rng.permutation(len(cell))
    return np.asarray(sorted(range(len(cell)), key=lambda i: (cell[i], tie[i])), np.int64)


def deal(cell: Sequence[Hashable], folds: int, rng: np.random.Generator) -> People:
    """The fold of each person.

    Folds differ by at most one person in size, and by at most one person in every cell: people are
    dealt out like cards, cell after cell.
    """
    fold = np.empty(len(cell), np.int64)
    fold[_grouped(cell, rng)] = np.arange(len(cell)) % folds
    return rng.permutation(folds)[fold]


def draw(
    cell: Sequence[Hashable],
    n: int,
    rng: np.random.Generator,
    *,
    classes: Bool[np.ndarray, "p k"] | None = None,
) -> People:
    """``n`` people, of every cell its share to within one person (systematic sampling).

    Args:
      cell: of each person.
      n: how many to draw.
      rng: seeded.
      classes: which classes each person has; where the draw lacks one that somebody has, somebody
        is exchanged for a person who has it, if that costs no other class. A cell may then be off
        its share by one more.
    """
    order = _grouped(cell, rng)
    at = np.floor((np.arange(n) + rng.random()) * len(cell) / max(n, 1)).astype(np.int64)
    chosen = order[np.minimum(at, len(cell) - 1)].tolist()
    for k in range(0 if classes is None else classes.shape[1]):
        have = np.flatnonzero(classes[:, k])
        if not len(have) or np.isin(have, chosen).any():
            continue
        counts = classes[chosen].sum(0)
        spare = [i for i in chosen if (counts[classes[i]] > 1).all()]
        if spare:
            chosen.remove(spare[int(rng.integers(len(spare)))])
            chosen.append(int(have[rng.integers(len(have))]))
    return np.sort(np.asarray(chosen, np.int64))


def budget_people(budget: Any, available: int) -> int:
    """How many of ``available`` training people a budget is: a share (float) or a count (int).

    Raises:
      ValueError: it is neither, or more than there are.
    """
    whole = isinstance(budget, int | np.integer) and not isinstance(budget, bool)
    if whole and 1 <= budget <= available:
        return int(budget)
    if isinstance(budget, float) and 0 < budget <= 1:
        return max(1, round(budget * available))
    raise ValueError(
        f"budget {budget!r}: expected a share of the training people in (0, 1] (1.0 is all) or a "
        f"whole number of people, at most the {available} there are"
    )


def folds(
    cell: Sequence[Hashable],
    classes: Bool[np.ndarray, "p k"],
    *,
    outer: str,
    prepared: dict[str, People],
    count: int,
    valid_share: float,
    seed: int,
    names: Sequence[str],
    apart: bool = False,
) -> Iterator[Fold]:
    """The outer folds of one repeat.

    Args:
      cell: of each person, by row.
      classes: which classes each person has.
      outer: "prepared" takes the splits as they are; "folds" deals everybody into ``count``;
        "leave_one_person_out" makes a fold a person.
      prepared: the people of "train", "valid" and "test" who have labels.
      count: of folds.
      valid_share: of the training people (or as many as there are classes) become validation people
        where there are none; 0: none, and those of "valid" train.
      seed: of this repeat.
      names: of the people, for the names of folds of one.
      apart: those of "valid" do not train, though nothing is chosen on them.
    """
    everybody = np.sort(np.concatenate(list(prepared.values())))
    rng = np.random.default_rng([seed, 1])
    if outer == "prepared":
        pool, valid = prepared["train"], prepared.get("valid", np.zeros(0, np.int64))
        if not valid_share and not apart:
            pool, valid = np.sort(np.concatenate([pool, valid])), valid[:0]
        tests = [("the prepared splits", prepared["test"])]
    else:
        valid = everybody[:0]
        if outer == "folds":
            fold = deal([cell[i] for i in everybody], count, rng)
            tests = [(f"fold {f + 1} of {count}", everybody[fold == f]) for f in range(count)]
        else:
            tests = [(f"the fold of {names[i]}", everybody[everybody == i]) for i in everybody]
        pool = everybody
    for name, test in tests:
        train = np.setdiff1d(pool, test)
        own = valid
        if valid_share and not len(valid) and len(train) > 1:
            # Room for every class, or nothing can be chosen on them.
            least = int(classes[train].any(axis=0).sum())
            n = min(max(least, round(valid_share * len(train))), len(train) - 1)
            own = train[draw([cell[i] for i in train], n, rng, classes=classes[train])]
            train = np.setdiff1d(train, own)
        yield Fold(name, train, own, test)


def limited(
    fold: Fold,
    cell: Sequence[Hashable],
    classes: Bool[np.ndarray, "p k"],
    budget: int | float,
    seed: Sequence[int],
) -> Fold:
    """The fold with as many training people as the budget allows.

    Labels of validation people are labels too: below a full budget there are no more of them than
    of training people.
    """
    rng = np.random.default_rng(list(seed))

    def some(people: People, n: int) -> People:
        if n >= len(people):
            return people
        return people[draw([cell[i] for i in people], n, rng, classes=classes[people])]

    n = budget_people(budget, len(fold.train))
    train = some(fold.train, n)
    valid = fold.valid if n == len(fold.train) else some(fold.valid, n)
    return fold._replace(train=train, valid=valid)
