"""ELM's objectives (Gijsen & Ritter 2025): multi-instance contrast and two paired losses.

The contrastive ones have a field ``similarity``: "ring" passes over the similarities of the global
batch in tiles, "dense" writes them all down; value and gradient are the same, see
:mod:`elm_jax.losses.contrast`.
"""

import dataclasses

import jax.numpy as jnp

from elm_jax import losses
from elm_jax.axes import Array, Batch
from elm_jax.objectives.two_tower import Terms, TwoTower


def _require_known(field: str, value: str, known: tuple[str, ...]) -> None:
    """Raises while the objective is made: long before anything is traced."""
    if value not in known:
        raise ValueError(f"config.objective.{field} is {value!r}; known: {known}")


@dataclasses.dataclass(frozen=True)
class MultiInstance(TwoTower):
    """Crops against text segments; every pair of one bag is positive. Negatives are global.

    Attributes:
      style: "x,y", "x|y" or "y|x" (x is the signal, y the text).
      temperature: of the cosines.
      similarity: "ring" or "dense".
    """

    style: str = "x,y"
    temperature: float = 0.3
    similarity: str = "ring"

    def __post_init__(self):
        _require_known("style", self.style, losses.STYLES)
        _require_known("similarity", self.similarity, losses.SIMILARITIES)

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """One term; the halves by side and the share of padding are reported."""
        rows = losses.multi_instance(
            out["projection"],
            out["text_projection"],
            signal_bag=batch["signal_bag"],
            text_bag=batch["text_bag"],
            signal_valid=batch["signal_valid"],
            text_valid=batch["text_valid"],
            temperature=self.temperature,
            style=self.style,
            similarity=self.similarity,
        )
        report = {
            "signal_valid_share": batch["signal_valid"].mean(dtype=jnp.float32),
            "text_valid_share": batch["text_valid"].mean(dtype=jnp.float32),
        }
        return {"multi_instance": losses.reduce_rows(rows)}, report


@dataclasses.dataclass(frozen=True)
class SoftTargetContrast(TwoTower):
    """ELM's ``el`` loss on pairs: soft targets from the two sides' own similarities.

    Attributes:
      temperature: of the cosines.
      similarity: "ring" or "dense".
    """

    temperature: float = 0.07
    similarity: str = "ring"

    def __post_init__(self):
        _require_known("similarity", self.similarity, losses.SIMILARITIES)

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """One term."""
        rows = losses.soft_target_contrast(
            out["projection"],
            out["text_projection"],
            valid=batch["signal_valid"] & batch["text_valid"],
            temperature=self.temperature,
            similarity=self.similarity,
        )
        return {"soft_target_contrast": losses.reduce_rows(rows)}, {}


@dataclasses.dataclass(frozen=True)
class OrthogonalAlignment(TwoTower):
    """ELM's ``e`` loss on pairs (M-FLAG): orthogonal features, aligned projections.

    Attributes:
      gamma: weight of orthogonality; alignment has 1 - gamma.
    """

    gamma: float = 0.5

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """Two terms, weighted."""
        valid = batch["signal_valid"] & batch["text_valid"]
        orthogonality = losses.orthogonality(out["features"], valid=valid).sum()
        rows, weight = losses.alignment(out["projection"], out["text_projection"], valid=valid)
        alignment = jnp.sum(rows * weight)
        terms = {
            "orthogonality": self.gamma * orthogonality,
            "alignment": (1 - self.gamma) * alignment,
        }
        return terms, {}
