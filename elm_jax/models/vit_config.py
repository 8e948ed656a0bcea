"""Sizes of the image towers, and what the three families of them differ in."""

import dataclasses
from typing import Any, NamedTuple

from elm_jax.models.activations import HF_ACTIVATIONS


class VitConfigError(ValueError):
    """A description of an image tower that lacks something, or asks for what is not built."""


class Traits(NamedTuple):
    """What a family of towers has.

    Attributes:
      class_token: a token of its own ahead of those of the patches.
      patch_bias: the map from a patch to its token has a bias.
      pre_norm: a norm ahead of the first layer.
      all_normed: the norm behind the last layer is on every token; else on the pooled one alone.
      poolings: how tokens become one vector; the first is the published one.
    """

    class_token: bool
    patch_bias: bool
    pre_norm: bool
    all_normed: bool
    poolings: tuple[str, ...]


# "dense": a linear layer on the class token, and an activation; "class": the class token itself;
# "attention": a learnt query over all tokens, and an MLP; "mean": the mean of the patches' tokens.
TRAITS = {
    "vit": Traits(True, True, False, True, ("dense", "class", "mean")),
    "clip": Traits(True, False, True, False, ("class",)),
    "siglip": Traits(False, True, False, True, ("attention", "mean")),
}


@dataclasses.dataclass(frozen=True)
class VitConfig:
    """Sizes and rates; the defaults are ViT-B/16's, those of other families in :func:`published`.

    Attributes:
      kind: "vit" (Dosovitskiy et al. 2021), "clip" (Radford et al. 2021) or "siglip" (Zhai et al.
        2023): names a row of :data:`TRAITS`.
      image_size: rows and columns of the images that the positions were made for; a number: both.
      patch_size: rows and columns of a patch.
      width: of the tokens.
      depth: layers.
      heads: attention heads.
      mlp_width: hidden width of the layers' MLPs.
      activation: of the MLPs, by its name at Hugging Face.
      norm_eps: added to the norms' variance.
      qkv_bias: whether query, key and value have a bias.
      pooling: one of the family's ("" takes the first).
      pooler_width: outputs of pooling "dense" (None: ``width``).
      pooler_activation: of pooling "dense".
      projection: width of CLIP's linear map of the pooled vector; None: none.
      dropout: rate behind the embeddings, behind attention and in the MLPs while training.
      attention_dropout: rate on the attention weights.
      drop_path: share of rows that go without the last layer's branches (see ``run_blocks``).
      init_std: deviation of the initial kernels, positions and class token.
    """

    kind: str = "vit"
    image_size: tuple[int, int] | int = (224, 224)
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    activation: str = "gelu"
    norm_eps: float = 1e-12
    qkv_bias: bool = True
    pooling: str = ""
    pooler_width: int | None = None
    pooler_activation: str = "tanh"
    projection: int | None = None
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path: float = 0.0
    init_std: float = 0.02

    def __post_init__(self):
        if self.kind not in TRAITS:
            raise VitConfigError(f"image tower {self.kind!r}; known: {sorted(TRAITS)}")
        object.__setattr__(self, "image_size", pair(self.image_size))
        if self.pooler_width == self.width:
            object.__setattr__(self, "pooler_width", None)
        if not self.pooling:
            object.__setattr__(self, "pooling", self.traits.poolings[0])
        if self.pooling not in self.traits.poolings:
            raise VitConfigError(
                f"image tower {self.kind!r}: pooling is {self.pooling!r}; known: "
                f"{self.traits.poolings}"
            )
        for name in (self.activation, self.pooler_activation):
            if name not in HF_ACTIVATIONS:
                raise VitConfigError(
                    f"image tower: activation {name!r} is not built; known: "
                    f"{sorted(HF_ACTIVATIONS)}"
                )
        if self.width % self.heads:
            raise VitConfigError(f"image tower: width {self.width} is no multiple of {self.heads}")
        if any(size % self.patch_size for size in self.image_size):
            raise VitConfigError(
                f"image tower: an image of {self.image_size} pixels is no whole number of patches "
                f"of {self.patch_size}"
            )
        if self.projection is not None and self.kind != "clip":
            raise VitConfigError(f"image tower {self.kind!r} has no projection: only 'clip' has")

    @property
    def traits(self) -> Traits:
        """What its family has."""
        return TRAITS[self.kind]

    @property
    def grid(self) -> tuple[int, int]:
        """Patches of a column and of a row of the images that the positions were made for."""
        rows, columns = self.image_size
        return rows // self.patch_size, columns // self.patch_size

    @property
    def out_width(self) -> int:
        """Of the pooled vector."""
        if self.projection is not None:
            return self.projection
        return (self.pooler_width or self.width) if self.pooling == "dense" else self.width

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready settings, all of them; ``kind`` apart."""
        values = dataclasses.asdict(self)
        del values["kind"]
        return values | {"image_size": list(self.image_size)}


def pair(size: Any) -> tuple[int, int]:
    """Rows and columns; a single number stands for both.

    Raises:
      VitConfigError: neither.
    """
    values = (size, size) if isinstance(size, int) else tuple(size)
    if len(values) != 2 or not all(isinstance(n, int) and n > 0 for n in values):
        raise VitConfigError(f"expected a size in pixels or (rows, columns), found {size!r}")
    return values


# What Hugging Face's configurations of the three families have where a config.json says nothing:
# google/vit-base-patch16-224-in21k, openai/clip-vit-base-patch32, google/siglip-base-patch16-224.
_PUBLISHED: dict[str, dict[str, Any]] = {
    "vit": dict(),
    "clip": dict(patch_size=32, activation="quick_gelu", norm_eps=1e-5),
    "siglip": dict(activation="gelu_pytorch_tanh", norm_eps=1e-6),
}


def published(kind: str, **changes: Any) -> VitConfig:
    """The published base size of a family, and what is to differ from it.

    Raises:
      VitConfigError: an unknown family or setting, or sizes that do not fit each other.
    """
    if kind not in _PUBLISHED:
        raise VitConfigError(f"image tower {kind!r}; known: {sorted(_PUBLISHED)}")
    known = {field.name for field in dataclasses.fields(VitConfig)} - {"kind"}
    if unknown := sorted(set(changes) - known):
        raise VitConfigError(f"image tower: unknown {unknown}; known: {sorted(known)}")
    return VitConfig(kind, **(_PUBLISHED[kind] | changes))
