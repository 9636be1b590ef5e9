from tests.commands.called import call


def test_a_variant_is_exported_by_its_short_name_behind_the_study(finished_study, tmp_path, capsys):
    study, store = finished_study
    assert call("export", study, "fticl", "--to", tmp_path / "whole", "--store", store) == 0
    assert (tmp_path / "whole" / "config.json").is_file()
    assert call("export", study, "sft", "--to", tmp_path / "other", "--store", store) == 2
    assert "2 variants are named 'sft'; take one of: sft/first/16/0, sft/words/16/0" in capsys.readouterr().err
    assert call("export", study, "sft/words", "--to", tmp_path / "words", "--store", store) == 0
    assert call("export", study, "sfd", "--to", tmp_path / "other", "--store", store) == 2
    assert "unknown variant of the study 'sfd'; did you mean 'sft'?" in capsys.readouterr().err


def test_the_study_in_an_option_is_refused_with_the_right_order(finished_study, tmp_path, capsys):
    study, store = finished_study
    for words in (
        ["fticl", "--study", study, "--to", tmp_path / "whole"],
        [study, "--to", tmp_path / "whole"],
        [study],
    ):
        assert call("export", *words, "--store", store) == 2
        said = capsys.readouterr().err
        assert said == "error: the study comes first: spillover export STUDY VARIANT --to FOLDER\n"
