"""The error tree of archrl. A message names the field, the value, what is allowed and what to do."""

from __future__ import annotations


class ArchrlError(Exception):
    """Base class of every error that archrl raises on purpose."""


class ConfigError(ArchrlError, ValueError):
    """A configuration value, preset name or argument is not allowed."""


class TraceError(ArchrlError, ValueError):
    """A trace file is missing, incomplete or malformed."""


class ScenarioError(ArchrlError, ValueError):
    """A scenario is inconsistent or does not belong to the task that it is given to."""


class InfeasibleError(ArchrlError):
    """A request or a mathematical program has no feasible answer."""


class SolverError(ArchrlError, RuntimeError):
    """A solver failed, or did not return what was asked of it."""
