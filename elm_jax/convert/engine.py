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
    """A change of memory layout and its inverse.

    Attributes:
      to_ours: from PyTorch's layout.
      to_torch: back.
      units: axes of length 1 that PyTorch's has more.
    """

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]
    units: int = 0


def _transposed(*axes: int) -> Transform:
    inverse = tuple(int(i) for i in np.argsort(axes))
    return Transform(lambda x: x.transpose(axes), lambda x: x.transpose(inverse))


TRANSFORMS: dict[str, Transform] = {
    "same": Transform(lambda x: x, lambda x: x),
    "dense": _transposed(1, 0),  # [out, in] -> [in, out]
    "conv": _transposed(2, 1, 0),  # [out, in, k] -> [k, in, out]
    "image": _transposed(2, 3, 1, 0),  # [out, in, y, x] -> [y, x, in, out]
    # [out, in, 1] -> [in, out]: a convolution of width 1 is a Dense
    "pointwise": Transform(lambda x: x[..., 0].T, lambda x: x.T[..., None], units=1),
    # [out, 1, 1, k] -> [k, out]: a convolution that does not overlap is a Dense a patch
    "patch": Transform(lambda x: x[:, 0, 0].T, lambda x: x.T[:, None, None], units=2),
    # [out, 1, in, 1] -> [in, out]: a convolution across all channels is a Dense
    "across": Transform(lambda x: x[:, 0, :, 0].T, lambda x: x.T[:, None, :, None], units=2),
    # [out, in, 1, k] -> [k, in, out]: a convolution along time, each channel by itself
    "along": Transform(
        lambda x: x[:, :, 0].transpose(2, 1, 0), lambda x: x.transpose(2, 1, 0)[:, :, None], units=1
    ),
    # [channels, 1, k] -> [k, channels]: each channel's own filter
    "depthwise": Transform(lambda x: x[:, 0].T, lambda x: x.T[:, None], units=1),
    "row": Transform(lambda x: x[0], lambda x: x[None], units=1),  # [1, ...] -> [...]
    "rows": Transform(lambda x: x[0, 0], lambda x: x[None, None], units=2),
}


class ConvertRule(NamedTuple):
    r"""One line of a table.

    Attributes:
      torch: regex that the whole PyTorch name must match: plain text with escaped dots and
        capture groups without groups inside, so that it can be run backwards.
      ours: slash-separated path in our tree; ``{0}``, ``{1}`` stand for the groups, each once.
        Several paths share the tensor: equal parts along its first axis, in their order.
      transform: a key of TRANSFORMS; of each part.
    """

    torch: str
    ours: str | tuple[str, ...]
    transform: str = "same"

    @property
    def paths(self) -> tuple[str, ...]:
        """``ours``, always as several."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours


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
      matched: PyTorch name -> our path, or paths.
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
        rule, paths = found
        if any([_lacks_place(name, path, wanted, values, problems) for path in paths]):
            continue
        parts = _parts(name, tensor, paths, problems)
        for path, part in zip(paths, parts, strict=True):
            values[path] = _fitted(name, path, part, rule.transform, wanted[path], problems)
        _note(report, name, tensor, {path: values[path] for path in paths}, rule.transform)
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


def _match(name: str, rules: Sequence[ConvertRule]) -> tuple[ConvertRule, tuple[str, ...]] | None:
    """The rule for a PyTorch name, and the paths that it gives."""
    for rule in rules:
        match = re.fullmatch(rule.torch, name)
        if match:
            return rule, tuple(path.format(*match.groups()) for path in rule.paths)
    return None


def _lacks_place(
    name: str, path: str, wanted: Mapping[str, Any], values: StateDict, problems: list[str]
) -> bool:
    if path not in wanted:
        problems.append(f"{name} -> {path}: the model has no such parameter")
    elif path in values:
        problems.append(f"{name} -> {path}: already filled by another tensor")
    else:
        return False
    return True


def _parts(
    name: str, tensor: np.ndarray, paths: tuple[str, ...], problems: list[str]
) -> list[np.ndarray]:
    """Equal parts of a tensor along its first axis, one a path."""
    if len(paths) == 1:
        return [tensor]
    if not tensor.ndim or len(tensor) % len(paths):
        problems.append(f"{name}: {tensor.shape} does not divide into {len(paths)} equal parts")
        return [tensor] * len(paths)
    return np.split(tensor, len(paths))


def _fitted(
    name: str,
    path: str,
    tensor: np.ndarray,
    transform: str,
    want: Any,
    problems: list[str],
) -> np.ndarray:
    """``tensor`` in our layout and type; appends to ``problems`` what does not fit."""
    change = TRANSFORMS[transform]
    axes = len(want.shape) + change.units
    if transform != "same" and tensor.ndim != axes:
        problems.append(f"{name} -> {path}: expected {axes} axes, found {tensor.shape}")
        return tensor
    value = change.to_ours(tensor)
    if value.shape != tuple(want.shape) or change.to_torch(value).shape != tensor.shape:
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
    return np.ascontiguousarray(value.astype(dtype, copy=False)).reshape(value.shape)


def _note(
    report: LoadReport, name: str, tensor: np.ndarray, values: StateDict, transform: str
) -> None:
    """Writes down what became of one tensor."""
    report.matched[name] = ", ".join(values)
    first = next(iter(values.values()))
    if len(values) > 1:
        report.reshaped[name] = f"{tensor.shape} -> {len(values)} x {first.shape}"
    elif transform != "same":
        report.reshaped[name] = f"{tensor.shape} -> {first.shape}"
    if first.dtype != tensor.dtype:
        report.widened[name] = f"{tensor.dtype} -> {first.dtype}"


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
    shared: dict[str, dict[int, np.ndarray]] = {}  # parts of a tensor that several paths share
    backwards = [
        (*_backwards(rule, place), rule, place)
        for rule in rules
        for place in range(len(rule.paths))
    ]
    for path, leaf in flatten(tree).items():
        for pattern, template, rule, place in backwards:
            match = re.fullmatch(pattern, path)
            if match:
                groups = {int(key[1:]): text for key, text in match.groupdict().items()}
                name = template.format(*(groups[i] for i in range(len(groups))))
                value = TRANSFORMS[rule.transform].to_torch(np.asarray(leaf))
                value = np.ascontiguousarray(value).reshape(value.shape)
                if len(rule.paths) > 1:
                    shared.setdefault(name, {})[place] = value
                    if len(shared[name]) < len(rule.paths):
                        break
                    value = np.concatenate([shared[name][i] for i in range(len(rule.paths))])
                state[name] = value
                break
        else:
            raise ConvertError(f"{path}: no rule gives this path a PyTorch name")
    if unfinished := sorted(set(shared) - set(state)):
        raise ConvertError(f"only parts of {', '.join(unfinished)} are there")
    kept = dict(kept or {})
    for name in fill:
        excuse = _excuse(name, excuses)
        if name not in kept and (excuse is None or excuse.export is None):
            raise ConvertError(f"{name}: no excuse says what to export for it")
        if name not in kept:
            kept[name] = excuse.export()
    return state | kept


def _backwards(rule: ConvertRule, place: int) -> tuple[str, str]:
    """Regex for one of our paths with groups g0, g1..., and the template of the PyTorch name."""
    groups = re.findall(r"\(([^()]*)\)", rule.torch)
    pieces = [piece.replace("\\.", ".") for piece in re.split(r"\([^()]*\)", rule.torch)]
    if re.search(r"[\\*+?|\[\]{}^$()]", "".join(pieces)):
        raise ConvertError(f"rule cannot be run backwards: {rule.torch}")
    template = pieces[0] + "".join(f"{{{i}}}{p}" for i, p in enumerate(pieces[1:]))
    pattern = re.escape(rule.paths[place])
    for i, group in enumerate(groups):
        pattern = pattern.replace(rf"\{{{i}\}}", f"(?P<g{i}>{group})")
    return pattern, template
