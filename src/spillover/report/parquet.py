"""The measurements as a Parquet file, through pyarrow where it is installed."""

import dataclasses
import io

from spillover.analysis.analysis import Analysis
from spillover.errors import UserError
from spillover.records import Measurement


def measurements_parquet(analysis: Analysis) -> bytes:
    """Return the measurements' rows and columns, as in ``measurements.csv``, compressed.

    Raises:
        UserError: Without pyarrow.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            "format 'parquet' needs pyarrow, which is not installed; pip install 'spillover[parquet]', or take csv"
        ) from None
    names = [field.name for field in dataclasses.fields(Measurement)]
    columns = {name: [getattr(row, name) for row in analysis.measurements] for name in names}
    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out, compression="zstd")
    return out.getvalue()
