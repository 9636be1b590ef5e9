import unicodedata

import pytest

from spillover.prompts.words import folded, is_latin, words, writing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat's 2nd snake_case -- hat.", ["the", "cat", "s", "2nd", "snake", "case", "hat"]),
        ("这部电影，好看！", list("这部电影好看")),
        ("我买了iPhone 15。", ["我", "买", "了", "iphone", "15"]),
        ("東京タワーへ・行く", list("東京タワーへ行く")),
        ("ﾄｳｷｮｳ", list("トウキョウ")),
        ("Привет, мир!", ["привет", "мир"]),
        ("ما اسمك؟", ["ما", "اسمك"]),
        ("नमस्ते दुनिया।", ["नमस्ते", "दुनिया"]),
        ("안녕하세요 세계", ["안녕하세요", "세계"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("Straße ΟΔΟΣ", ["strasse", "οδοσ"]),
        ("ＡＢＣ１２", ["abc12"]),
        ("٣٫٥ ४२", ["3", "5", "42"]),
        ("می\u200cخواهم co\u00adoperate", ["میخواهم", "cooperate"]),
        ("... 🙂 ❤️ —", []),
        ("", []),
    ],
)
def test_words_where_spaces_separate_them_and_characters_where_none_do(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize("text", ["Việt Nam café", "한국어", "が", "Ångström"])
def test_composed_and_decomposed_text_is_the_same(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    assert words(forms[0]) == words(forms[1])


def test_a_letter_that_unicode_never_composes_is_its_parts():
    assert words("\u0958लम") == words("\u0915\u093cलम") == ["\u0915\u093cलम"]


def test_accents_and_vowel_signs_tell_words_apart():
    assert words("résumé") != words("resume")
    assert words("की") != words("का")


def test_folded_text_stays_as_it_is():
    for text in ("ǅ İ ŉ ﬃ Ⅷ ½ ㎏ ß ͅ", "Ａ\u200dｂ ५"):
        assert folded(folded(text)) == folded(text)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["the cat 猫"], "spaced"),
        (["Привет мир", "नमस्ते", "세계 안녕"], "spaced"),
        (["这部电影非常好看", "iPhone 很贵"], "Chinese"),
        (["これは猫です", "東京"], "unspaced"),
        (["สวัสดี ชาวโลก"], "unspaced"),
        (["🙂", "..."], "spaced"),
        ([], "spaced"),
    ],
)
def test_how_most_of_the_words_are_divided(texts, expected):
    assert writing(texts) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [(["a café", "мир"], True), (["мир и cat"], False), (["这部电影"], False), (["12", "?"], True)],
)
def test_half_of_the_letters_make_a_text_latin(texts, expected):
    assert is_latin(texts) is expected
