"""The targets of this package: one module each, which knows no other."""
