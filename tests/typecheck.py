"""The checker that jaxtyping puts on every function of elm_jax in tests: an int is a float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
