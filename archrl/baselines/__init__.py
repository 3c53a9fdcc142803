"""Policies that do not learn: heuristics, and exact methods with the bounds that they certify."""
