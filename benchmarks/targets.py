"""What sage-pico is meant to reach, and how far a figure is from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A range for a figure. unit: what its distance is counted in; scale: of that unit to one."""

    low: float = float("-inf")
    high: float = float("inf")
    unit: str = "points"
    scale: float = 100.0

    def __str__(self) -> str:
        low, high = (f"{self.scale * edge:g}" for edge in (self.low, self.high))
        if "inf" in high:
            return f">= {low}"
        return f"<= {high}" if "inf" in low else f"{low} to {high}"

    def verdict(self, value: float) -> str:
        """In words: "reached", or by how much it was missed."""
        if self.low <= value <= self.high:
            return "reached"
        missed = self.scale * (self.low - value if value < self.low else value - self.high)
        return (
            f"missed by {missed:.1f} {self.unit}" if self.scale != 1 else f"missed by {missed:g} {self.unit}"
        )


TARGETS = {
    "easy": Target(low=0.97),
    "standard": Target(low=0.75, high=0.88),
    "unanswerable": Target(low=0.85),
    "false alarms": Target(high=0.03),
    "newcomers": Target(low=20, unit="questions", scale=1),
}
