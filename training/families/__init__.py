"""The task families by name."""

from __future__ import annotations

from training.families.changes import Changes
from training.families.order import Order
from training.families.prices import Prices
from training.families.quantities import Quantities
from training.problems import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (Quantities(), Changes(), Prices(), Order())}
