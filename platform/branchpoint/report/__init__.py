"""What a study found: HTML report, terminal tables, drawings."""

from branchpoint.report.write import write_report

__all__ = ["write_report"]
