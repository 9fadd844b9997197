"""The task families by name."""

from __future__ import annotations

from training.families.quantities import Quantities
from training.problems import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (Quantities(),)}
