"""What holds for all tests."""

from hypothesis import settings

# A busy machine is no fault of the code: time limits belong to whole tests (pytest-timeout), not to single examples.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")
