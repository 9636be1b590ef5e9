from spillover.report.provenance import flat_rows


def test_nested_facts_become_flat_rows() -> None:
    facts = {"versions": {"torch": "2.13.0"}, "seeds": [0, 1], "none": None, "empty": {}}
    assert list(flat_rows(facts)) == [
        ("versions · torch", "2.13.0"),
        ("seeds", "[0, 1]"),
        ("none", "null"),
        ("empty", "{}"),
    ]
