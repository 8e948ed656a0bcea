"""ELM's objectives (Gijsen & Ritter 2025): multi-instance contrast and two paired losses."""

import dataclasses

import jax.numpy as jnp

from elm_jax import losses
from elm_jax.axes import Array, Batch
from elm_jax.objectives.two_tower import Terms, TwoTower


@dataclasses.dataclass(frozen=True)
class MultiInstance(TwoTower):
    """Crops against text segments; every pair of one bag is positive. Negatives are global.

    Attributes:
      style: "x,y", "x|y" or "y|x" (x is the signal, y the text).
      temperature: of the cosines.
    """

    style: str = "x,y"
    temperature: float = 0.3

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
    """

    temperature: float = 0.07

    def terms(self, out: dict[str, Array], batch: Batch) -> Terms:
        """One term."""
        rows = losses.soft_target_contrast(
            out["projection"],
            out["text_projection"],
            valid=batch["signal_valid"] & batch["text_valid"],
            temperature=self.temperature,
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
