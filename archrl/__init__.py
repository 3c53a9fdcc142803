"""archrl: the architecture of a planet-scale service as sequential decision problems.

Importing the package registers its environments with Gymnasium and nothing else: no torch, no solver, no file is read.
"""

from __future__ import annotations

__version__ = "0.1.0"

from archrl.envs.registration import register_environments

register_environments()
