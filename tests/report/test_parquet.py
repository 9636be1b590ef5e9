import io
import sys

import pytest
from pyarrow import parquet

from spillover.errors import UserError
from spillover.questions import answered
from spillover.records import Measurement
from spillover.report.parquet import measurements_parquet
from tests.report.made_results import made_results

ANALYSIS = answered(made_results(), resample_count=200)


def test_measurements_are_read_back_exactly():
    rows = parquet.read_table(io.BytesIO(measurements_parquet(ANALYSIS))).to_pylist()
    assert tuple(Measurement(**row) for row in rows) == ANALYSIS.measurements


def test_without_pyarrow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"'parquet' needs pyarrow.*pip install 'spillover\[parquet\]', or take csv"):
        measurements_parquet(ANALYSIS)
