"""A package of its own, because Ciw installs one of that name, which would be found instead of a folder."""
