from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_evolver.core.backoff import mirrored
from code_evolver.core.errors import HubAuthentication, HubError, HubRefused, HubUnreachable, TokenUnavailable
from code_evolver.core.session import Attempt, End, GiveUp, HubSettings, Past, Retry, Sleep, after, life

SETTINGS = HubSettings("http://h/hub")
RENEWABLE = HubSettings("http://h/hub", access_token_file="token")
LOST = HubUnreachable("lost")
DENIED = HubAuthentication("denied")
NO_TOKEN = TokenUnavailable("the issuer is down")
REFUSED = HubRefused("refused")
ONCE = Past(ever_connected=True)


def failed(error: HubError = LOST, seconds: float = 2.0) -> End:
    return End(error, seconds)


@pytest.mark.parametrize(
    ("end", "past", "settings", "verdict"),
    [
        (failed(), Past(), SETTINGS, Retry(1.0, 1, 0)),
        (failed(), Past(3), SETTINGS, Retry(8.0, 4, 0)),
        (failed(), Past(8), SETTINGS, Retry(30.0, 9, 0)),
        (failed(), Past(9), SETTINGS, GiveUp(LOST)),
        (failed(), Past(9), HubSettings("x", max_reconnect_attempts=0), Retry(30.0, 10, 0)),
        (End(LOST, 60.0, 5.0), Past(9), SETTINGS, Retry(1.0, 0, 0)),
        (End(LOST, 60.0, 4.9), Past(9), SETTINGS, GiveUp(LOST)),
        (End(LOST, 60.0, 50.0, kicked=True), Past(), SETTINGS, Retry(5.0, 0, 0)),
        (failed(HubUnreachable("503", retry_after=70.0)), Past(), SETTINGS, Retry(70.0, 1, 0)),
        (failed(REFUSED), Past(), SETTINGS, GiveUp(REFUSED)),
        (failed(REFUSED), ONCE, SETTINGS, Retry(1.0, 1, 0)),
        (failed(REFUSED), Past(9, ever_connected=True), SETTINGS, GiveUp(REFUSED)),
        (failed(DENIED), Past(), SETTINGS, GiveUp(DENIED)),
        (failed(DENIED), Past(), RENEWABLE, Retry(1.0, 1, 1)),
        (failed(DENIED), Past(1, tokens_refused=1), RENEWABLE, GiveUp(DENIED)),
        (failed(LOST), Past(1, tokens_refused=1), RENEWABLE, Retry(2.0, 2, 0)),
        (failed(NO_TOKEN), Past(), RENEWABLE, Retry(1.0, 1, 0)),
        (failed(NO_TOKEN), Past(8), RENEWABLE, Retry(30.0, 9, 0)),
        (failed(NO_TOKEN), Past(9), RENEWABLE, GiveUp(NO_TOKEN)),
        (failed(NO_TOKEN), Past(1, tokens_refused=1), RENEWABLE, Retry(2.0, 2, 1)),
        (failed(DENIED), Past(2, tokens_refused=1), RENEWABLE, GiveUp(DENIED)),
    ],
)
def test_what_follows_an_end(end, past, settings, verdict):
    assert after(end, past, settings, 1.0) == verdict


def test_attempts_start_a_second_apart_even_when_jitter_says_at_once():
    assert after(failed(seconds=0.1), Past(), SETTINGS, 0.0) == Retry(0.9, 1, 0)
    assert after(failed(seconds=1.5), Past(), SETTINGS, 0.0) == Retry(0.0, 1, 0)


def test_a_life_goes_on_until_ten_failures_in_a_row():
    steps = life(SETTINGS, lambda: 1.0)
    assert next(steps) == Attempt(1)
    assert steps.send(failed()) == Sleep(1.0, 2, LOST)
    assert next(steps) == Attempt(2)
    assert steps.send(End(LOST, 100.0, 99.0)) == Sleep(1.0, 1, LOST)
    for number in range(1, 10):
        assert next(steps) == Attempt(number)
        assert isinstance(steps.send(failed(REFUSED if number % 2 else LOST)), Sleep)
    assert next(steps) == Attempt(10)
    with pytest.raises(StopIteration) as stopped:
        steps.send(failed())
    assert stopped.value.value is LOST


def test_no_secret_is_shown_when_settings_are_printed():
    settings = HubSettings(
        "http://me:SECRET@h", access_token="SECRET", access_token_command="SECRET", headers={"Key": "SECRET"}
    )
    assert "SECRET" not in repr(settings)


def outage_survived(first: End, random: Callable[[], float]) -> float:
    """Seconds of waiting until a hub that never answers is given up, with the default ten attempts."""
    steps = life(SETTINGS, random)
    end, waited = first, 0.0
    next(steps)
    while True:
        try:
            step = steps.send(end)
        except StopIteration:
            return waited
        assert isinstance(step, Sleep)
        waited += step.seconds
        next(steps)
        end = failed()


@pytest.mark.parametrize("lost_after", [0.0, 100.0])
@given(draws=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8), odd=st.booleans())
def test_ten_attempts_outlast_an_outage_of_45_s_however_the_dice_fall(lost_after, draws, odd):
    dice = iter(draws)
    random = mirrored(lambda: next(dice))
    if odd:  # the row begins with the second draw of a pair
        random()
    assert outage_survived(End(LOST, 100.0, lost_after), random) >= 50.0


def test_mirrored_draws_come_in_pairs_that_are_one_together():
    dice = iter([0.25, 0.0])
    random = mirrored(lambda: next(dice))
    assert [random() for _ in range(4)] == [0.25, 0.75, 0.0, 1.0]
