"""The formats of a report, and the file that each one is."""

from enum import StrEnum


class Format(StrEnum):
    """What a report can be written as."""

    HTML = "html"
    MARKDOWN = "md"
    LATEX = "latex"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"

    @property
    def file_name(self) -> str:
        """Return the name of the file in the report's folder."""
        return _FILE_NAMES[self]


_FILE_NAMES = {
    Format.HTML: "index.html",
    Format.MARKDOWN: "report.md",
    Format.LATEX: "report.tex",
    Format.CSV: "measurements.csv",
    Format.PARQUET: "measurements.parquet",
    Format.JSON: "summary.json",
}

USUAL = (Format.HTML, Format.MARKDOWN, Format.CSV, Format.JSON)
"""What is written where no format is named."""
