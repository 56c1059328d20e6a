"""What a study found: HTML report, terminal tables, drawings."""

from branchpoint.report.write import export_report, write_report

__all__ = ["export_report", "write_report"]
