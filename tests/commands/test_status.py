from tests.commands.called import call


def test_a_store_that_is_a_file_is_one_line(made_study_file, tmp_path, capsys):
    (tmp_path / "store").write_text("")
    assert call("status", made_study_file, "--store", tmp_path / "store") == 2
    assert "store: is a file, not a store; name the folder with --store" in capsys.readouterr().err.replace("\n", "")
