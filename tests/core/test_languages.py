import pytest

from code_evolver.core.languages import MOST_PAIRS, pairs


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([{"from": "en", "to": "fr"}, {"from": "en", "to": "de"}], [("en", "fr"), ("en", "de")]),
        ([{"From": "EN", "To": "FR"}], [("en", "fr")]),
        ([{"source": "en", "target": "fr"}], [("en", "fr")]),
        ([{"sourceLanguage": "en", "targetLanguage": "fr"}], [("en", "fr")]),
        ([{"source_language": "en", "target_language": "fr", "note": 1}], [("en", "fr")]),
        (["fr", "de"], [("auto", "fr"), ("auto", "de")]),
        (
            ["en-fr", "en->de", "en → es", "en to it", "en:nl", "en_pl"],
            [("en", to) for to in ("fr", "de", "es", "it", "nl", "pl")],
        ),
        ("en-fr", [("en", "fr")]),
        ("en-fr, en-de; fr", [("en", "fr"), ("en", "de"), ("auto", "fr")]),
        ("fr", [("auto", "fr")]),
        ("EN-FR", [("en", "fr")]),
        (
            ["pt-BR", "zh-Hans", "zh-cn", "en-US"],
            [("auto", "pt-BR"), ("auto", "zh-Hans"), ("auto", "zh-cn"), ("auto", "en-US")],
        ),
        (["en-US to fr-CA"], [("en-US", "fr-CA")]),
        (["French"], [("auto", "French")]),
        ({"from": "en", "to": "fr"}, [("en", "fr")]),
        ({"from": "en", "to": ["fr", "de"]}, [("en", "fr"), ("en", "de")]),
        ({"to": "fr"}, [("auto", "fr")]),
        ({"en": ["fr", "de"]}, [("en", "fr"), ("en", "de")]),
        ({"en": "fr"}, [("en", "fr")]),
        ([["en", "fr"], ["en", "de"]], [("en", "fr"), ("en", "de")]),
        ([{"from": None, "to": "fr"}], [("auto", "fr")]),
        ([{"from": "", "to": "fr"}], [("auto", "fr")]),
        ([{"from": "en", "to": "fr"}, {"from": "EN", "to": "fr "}], [("en", "fr")]),
        ([{"from": "en"}], []),
        ([None, 5, True, {}, [], ["a"], [1, 2], "", "  ", "->"], []),
        (5, []),
        (None, []),
        (True, []),
        ([{"from": "en", "to": 5}], []),
        (["x" * 36, "a\x00b", "y" * 200], []),
        ({"from": "en", "to": "z" * 100}, []),
    ],
)
def test_pairs_are_read_in_every_form_and_odd_ones_left_out(value, wanted):
    assert list(pairs(value)) == wanted


def test_a_source_said_elsewhere_stands_in_for_a_missing_one():
    assert pairs(["fr", "de-es"], "en") == (("en", "fr"), ("de", "es"))
    assert pairs(["fr"], 5) == (("auto", "fr"),)


def test_absurdly_many_pairs_are_cut():
    assert len(pairs([f"{a}{b}{c}" for a in "abcdefghij" for b in "abcdefghij" for c in "abcdefghij"])) == MOST_PAIRS
