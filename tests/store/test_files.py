import json

from spillover.records import Prediction
from spillover.store import files

OLD = {
    "example_id": "0",
    "target": "yes",
    "answer": "no",
    "log_likelihoods": [-2.0, -1.0],
    "token_ids": [],
    "options": ["yes", "no"],
    "content_free": [-0.5, -1.5],
    "premise": [],
}


def test_predictions_are_written_and_read_in_the_format_of_stored_studies(tmp_path):
    path = tmp_path / files.PREDICTIONS
    path.write_text(json.dumps(OLD) + "\n")
    read = files.read_predictions(path)
    assert read == [
        Prediction("0", "yes", "no", (-2.0, -1.0), options=("yes", "no"), content_free=(-0.5, -1.5)),
    ]
    files.write_predictions(path, read)
    assert path.read_text() == json.dumps(OLD) + "\n"
