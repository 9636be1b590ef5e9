import re

from spillover.questions import answered
from spillover.report.latex import latex, latex_tables
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def test_what_latex_would_read_as_a_command_is_printed():
    assert latex(r"50% of $x_1$ & #2 \input{a} ~^<") == (
        r"50\% of \$x\_1\$ \& \#2 \textbackslash{}input\{a\} \textasciitilde{}\textasciicircum{}\textless{}"
    )
    assert latex("−0.05 ±0.00") == r"$-$0.05 $\pm$0.00"
    assert latex("two\nlines") == "two lines"


def test_every_row_has_as_many_cells_as_its_table_has_columns():
    tables = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", latex_tables(RESULTS, ANALYSIS), re.S)
    assert len(tables) == 2  # the relations, and the matrix of so few variants
    for columns, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) > 3
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(columns)}


def test_braces_and_environments_are_balanced_also_when_names_are_hostile():
    hostile = made_results("}\\end{table}%&$#_^~{")
    text = latex_tables(hostile, answered(hostile, resample_count=50))
    plain = text.replace(r"\{", "").replace(r"\}", "")
    assert plain.count("{") == plain.count("}")
    assert len(re.findall(r"\\begin\{table\}", text)) == len(re.findall(r"\\end\{table\}", text))


def test_numbers_are_those_of_the_analysis():
    text = latex_tables(RESULTS, ANALYSIS)
    item = ANALYSIS.relations[0]
    facts = f"{item.variant} & {item.relation} & {item.kind} & {item.base_mean:.2f} & {item.variant_mean:.2f}"
    (row,) = (line for line in text.splitlines() if line.startswith(facts))
    assert f" & {item.reading} & {item.cell_count} & " in row
    assert row.endswith(f" & {item.item_count} \\\\")
    (clear,) = {entry for entry in re.findall(r"\\textbf\{([^}]*)\}", text) if entry == "+0.36"}
    assert clear
