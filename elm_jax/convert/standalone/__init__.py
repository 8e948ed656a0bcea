"""Files that an export carries along: they import neither JAX nor anything of this project."""
