"""The error of one case: it names the rule, what was found and what to do, and stops no other case."""

from __future__ import annotations


class CaseError(ValueError):
    """A case cannot be predicted.

    Attributes:
        rule: short stable name, such as ``missing-slice``.
        found: what the files hold.
        fix: what the user can do.
    """

    def __init__(self, rule: str, found: str, fix: str) -> None:
        self.rule, self.found, self.fix = rule, found, fix
        super().__init__(f"{rule}: {found}; {fix}")

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str, str]]:
        """Rebuild from the three parts, so that the error survives its way from a worker process."""
        return type(self), (self.rule, self.found, self.fix)
