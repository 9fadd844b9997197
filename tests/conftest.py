"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A test must not fail because the machine is busy.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
