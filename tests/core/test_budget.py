"""core.budget: what asking costs, and when a run may ask no more."""

import pytest

from code_evolver.core.budget import Account, charge, check, estimate, total
from code_evolver.core.errors import BudgetSpent
from code_evolver.ports import Usage


def test_an_account_adds_what_servers_count():
    account = charge(charge(Account(), Usage(10, 5, 1.5, 0.5)), Usage(1, 2, 0.25))
    assert account == Account(2, 11, 7, 1.75, 0.5)
    assert account.tokens == 18
    assert account.as_dict() == {
        "llm_calls": 2,
        "tokens_in": 11,
        "tokens_out": 7,
        "llm_seconds": 1.75,
        "llm_load_seconds": 0.5,
    }


def test_what_a_server_does_not_count_is_guessed_from_the_texts():
    account = charge(Account(), Usage(), "x" * 300, "y" * 30)
    assert (account.tokens_in, account.tokens_out) == (100, 10)


def test_scripts_with_more_bytes_a_character_are_guessed_to_cost_more():
    assert estimate("漢" * 30) > estimate("a" * 30)
    assert estimate("") == 1


def test_totals_keep_none_where_nobody_counted():
    assert total(Usage(None, 1), Usage(None, 2)) == Usage(None, 3)
    assert total(Usage(1, None, 1.0, 0.5), Usage(2, None, 2.0)) == Usage(3, None, 3.0, 0.5)


@pytest.mark.parametrize("limit", [None, 19])
def test_below_the_limit_nothing_happens(limit):
    check(Account(1, 10, 8), limit)


def test_at_the_limit_the_run_asks_no_more_and_says_so():
    with pytest.raises(BudgetSpent, match="18 of the 18 tokens") as caught:
        check(Account(1, 10, 8), 18)
    assert "--max-tokens" in caught.value.hint


def test_what_was_added_since_is_given_under_the_names_of_an_end():
    before = charge(Account(), Usage(10, 5, 0.5))
    after = charge(before, Usage(3, 2, 0.25, load_seconds=1.5))
    assert after - before == {
        "llm_calls": 1,
        "tokens_in": 3,
        "tokens_out": 2,
        "llm_seconds": 0.25,
        "llm_load_seconds": 1.5,
    }
    assert before - before == {}
