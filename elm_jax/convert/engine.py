"""Conversion by rule tables, both ways, strict: every tensor is matched or excused by name."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

StateDict = Mapping[str, np.ndarray]
Tree = Mapping[str, Any]


class ConvertError(ValueError):
    """Weights that do not fit; the message names every tensor concerned."""


class Transform(NamedTuple):
    """A change of memory layout and its inverse."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]


def _transposed(*axes: int) -> Transform:
    inverse = tuple(int(i) for i in np.argsort(axes))
    return Transform(lambda x: x.transpose(axes), lambda x: x.transpose(inverse))


TRANSFORMS: dict[str, Transform] = {
    "same": Transform(lambda x: x, lambda x: x),
    "dense": _transposed(1, 0),  # [out, in] -> [in, out]
    "conv": _transposed(2, 1, 0),  # [out, in, k] -> [k, in, out]
}


class ConvertRule(NamedTuple):
    r"""One line of a table.

    Attributes:
      torch: regex that the whole PyTorch name must match: plain text with escaped dots and
        capture groups without groups inside, so that it can be run backwards.
      ours: slash-separated path in our tree; ``{0}``, ``{1}`` stand for the groups, each once.
      transform: a key of TRANSFORMS.
    """

    torch: str
    ours: str
    transform: str = "same"


class Excuse(NamedTuple):
    """Names that the rules leave out, and why.

    Attributes:
      pattern: regex for whole names (PyTorch's) or paths (ours).
      reason: a sentence for the report.
      export: what :func:`to_torch` writes for a PyTorch name that it is asked to fill in.
    """

    pattern: str
    reason: str
    export: Callable[[], np.ndarray] | None = None


@dataclasses.dataclass
class LoadReport:
    """What became of every tensor of a conversion.

    Attributes:
      source: where the tensors came from.
      matched: PyTorch name -> our path.
      reshaped: those whose layout changed: PyTorch name -> "(shape) -> (shape)".
      widened: those stored narrower than we keep them: PyTorch name -> "dtype -> dtype".
      excused: names on either side that the rules leave out -> the reason.
      kept: excused PyTorch tensors, so that an export can give them back.
      missing: our paths for which nothing came.
      unexpected: PyTorch names that no rule knows.
    """

    source: str
    matched: dict[str, str] = dataclasses.field(default_factory=dict)
    reshaped: dict[str, str] = dataclasses.field(default_factory=dict)
    widened: dict[str, str] = dataclasses.field(default_factory=dict)
    excused: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: dict[str, np.ndarray] = dataclasses.field(default_factory=dict, repr=False)
    missing: list[str] = dataclasses.field(default_factory=list)
    unexpected: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {len(self.matched)} tensors converted "
            f"({len(self.reshaped)} with another layout), {len(self.excused)} excused, "
            f"{len(self.missing)} missing, {len(self.unexpected)} unexpected"
        ]
        reasons: dict[str, list[str]] = {}
        for name, reason in self.excused.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            lines.append(f"  excused: {len(names)} x {reason} ({names[0]}, ...)")
        lines += [f"  widened: {name}: {change}" for name, change in self.widened.items()]
        lines += [f"  missing: {path}" for path in self.missing]
        lines += [f"  unexpected: {name}" for name in self.unexpected]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Everything but the kept tensors, JSON-ready."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del values["kept"]
        return values

    def joined(self, other: "LoadReport", prefix: str) -> "LoadReport":
        """This report and that of another file, whose names get ``prefix`` in front."""
        parts: dict[str, Any] = {"source": self.source}
        for name in ("matched", "reshaped", "widened", "excused", "kept"):
            mine, more = getattr(self, name), getattr(other, name)
            parts[name] = mine | {prefix + key: value for key, value in more.items()}
        for name in ("missing", "unexpected"):
            parts[name] = getattr(self, name) + [prefix + key for key in getattr(other, name)]
        return LoadReport(**parts)


def flatten(tree: Tree) -> dict[str, Any]:
    """Nested dicts -> leaves by slash-separated path."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(entry.key) for entry in path): leaf for path, leaf in leaves}


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, last = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = leaf
    return tree


def _excuse(name: str, excuses: Iterable[Excuse]) -> Excuse | None:
    return next((e for e in excuses if re.fullmatch(e.pattern, name)), None)


def from_torch(
    state: StateDict,
    rules: Sequence[ConvertRule],
    target: Tree,
    *,
    excuses: Sequence[Excuse] = (),
    expected_missing: Sequence[Excuse] = (),
    source: str = "state dict",
) -> tuple[dict[str, Any], LoadReport]:
    """Converts a PyTorch state dict into a tree shaped like ``target``.

    Args:
      state: arrays by PyTorch name.
      rules: the first whole match decides.
      target: nested dicts of anything with ``shape`` and ``dtype`` (``jax.eval_shape``).
      excuses: PyTorch names that are left out on purpose.
      expected_missing: paths of ``target`` that may stay without a value, and are then absent
        from the result.
      source: names the tensors' origin in messages.

    Returns:
      nested dicts of numpy arrays in ``target``'s types, and the report.

    Raises:
      ConvertError: a tensor is unknown, missing, doubled, of another shape or kind, too wide, or
        not finite. All problems are listed at once.
    """
    wanted, report, problems = flatten(target), LoadReport(source), []
    values: dict[str, np.ndarray] = {}
    for name, tensor in state.items():
        found = _match(name, rules)
        if found is None:
            excuse = _excuse(name, excuses)
            if excuse is None:
                report.unexpected.append(name)
            else:
                report.excused[name] = excuse.reason
                report.kept[name] = tensor
            continue
        path, transform = found
        if path not in wanted:
            problems.append(f"{name} -> {path}: the model has no such parameter")
        elif path in values:
            problems.append(f"{name} -> {path}: already filled by another tensor")
        else:
            values[path] = _fitted(name, path, tensor, transform, wanted[path], report, problems)
    for path in wanted:
        excuse = _excuse(path, expected_missing)
        if path not in values and excuse is not None:
            report.excused[path] = excuse.reason
        elif path not in values:
            report.missing.append(path)
    problems += [f"{path}: missing" for path in report.missing]
    problems += [f"{name}: unexpected (no rule knows it)" for name in report.unexpected]
    if problems:
        raise ConvertError(f"{source} does not fit the model:\n  " + "\n  ".join(problems))
    return unflatten(values), report


def _match(name: str, rules: Sequence[ConvertRule]) -> tuple[str, str] | None:
    for rule in rules:
        match = re.fullmatch(rule.torch, name)
        if match:
            return rule.ours.format(*match.groups()), rule.transform
    return None


def _fitted(
    name: str,
    path: str,
    tensor: np.ndarray,
    transform: str,
    want: Any,
    report: LoadReport,
    problems: list[str],
) -> np.ndarray:
    """``tensor`` in our layout and type; appends to ``problems`` what does not fit."""
    if transform != "same" and tensor.ndim != len(want.shape):
        problems.append(f"{name} -> {path}: expected {len(want.shape)} axes, found {tensor.shape}")
        return tensor
    value = TRANSFORMS[transform].to_ours(tensor)
    if value.shape != tuple(want.shape):
        problems.append(
            f"{name} -> {path}: expected shape {tuple(want.shape)}, found {value.shape} "
            f"(stored as {tensor.shape}, transform {transform!r})"
        )
        return tensor
    dtype = np.dtype(want.dtype)
    if not jax.numpy.issubdtype(value.dtype, jax.numpy.floating):
        problems.append(f"{name} -> {path}: expected floating point, found {value.dtype}")
    elif jax.numpy.promote_types(value.dtype, dtype) != dtype:
        problems.append(f"{name} -> {path}: {value.dtype} does not fit into {dtype} without loss")
    elif not np.isfinite(value.astype(dtype)).all():
        problems.append(f"{name} -> {path}: holds NaN or infinity")
    report.matched[name] = path
    if transform != "same":
        report.reshaped[name] = f"{tensor.shape} -> {value.shape}"
    if value.dtype != dtype:
        report.widened[name] = f"{value.dtype} -> {dtype}"
    return np.ascontiguousarray(value.astype(dtype, copy=False))


def to_torch(
    tree: Tree,
    rules: Sequence[ConvertRule],
    *,
    excuses: Sequence[Excuse] = (),
    kept: StateDict | None = None,
    fill: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Converts our tree into a PyTorch state dict: :func:`from_torch` backwards.

    Args:
      tree: nested dicts of arrays.
      rules: the same table.
      excuses: the same excuses; those with ``export`` can be filled in.
      kept: ``LoadReport.kept`` of the load, to give the left-out tensors back as they were.
      fill: names of left-out tensors to write by their excuse where ``kept`` lacks them.

    Raises:
      ConvertError: a path that no rule gives, or a name to fill without an excuse that can.
    """
    state: dict[str, np.ndarray] = {}
    backwards = [_backwards(rule) for rule in rules]
    for path, leaf in flatten(tree).items():
        for (pattern, template), rule in zip(backwards, rules, strict=True):
            match = re.fullmatch(pattern, path)
            if match:
                groups = {int(key[1:]): text for key, text in match.groupdict().items()}
                name = template.format(*(groups[i] for i in range(len(groups))))
                value = TRANSFORMS[rule.transform].to_torch(np.asarray(leaf))
                state[name] = np.ascontiguousarray(value).reshape(value.shape)
                break
        else:
            raise ConvertError(f"{path}: no rule gives this path a PyTorch name")
    kept = dict(kept or {})
    for name in fill:
        excuse = _excuse(name, excuses)
        if name not in kept and (excuse is None or excuse.export is None):
            raise ConvertError(f"{name}: no excuse says what to export for it")
        if name not in kept:
            kept[name] = excuse.export()
    return state | kept


def _backwards(rule: ConvertRule) -> tuple[str, str]:
    """Regex for our path with groups g0, g1..., and the template of the PyTorch name."""
    groups = re.findall(r"\(([^()]*)\)", rule.torch)
    pieces = [piece.replace("\\.", ".") for piece in re.split(r"\([^()]*\)", rule.torch)]
    if re.search(r"[\\*+?|\[\]{}^$()]", "".join(pieces)):
        raise ConvertError(f"rule cannot be run backwards: {rule.torch}")
    template = pieces[0] + "".join(f"{{{i}}}{p}" for i, p in enumerate(pieces[1:]))
    pattern = re.escape(rule.ours)
    for i, group in enumerate(groups):
        pattern = pattern.replace(rf"\{{{i}\}}", f"(?P<g{i}>{group})")
    return pattern, template
