import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from code_evolver.core.english.reading import MAX_CHARACTERS, read
from code_evolver.core.errors import InputError
from tests.core.english.requests import UNDERSTOOD, H
from tests.core.english.wrong_requests import DOUBTFUL, SECRET, WRONG

DEFAULTS = {
    "hub_url": H,
    "hub_name": "TaskHub",
    "duration_seconds": None,
    "auto_generate_workflows": False,
    "output_file": None,
}
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(request):
    """What a request comes to, without places and orders: settings and unsure words, or the kind of error."""
    try:
        reading = read(request)
    except InputError as error:
        return type(error).__name__
    settings_ = {key: str(value) for key, value in reading.settings.items()}
    return settings_, sorted(one.words for one in reading.unsure)


@pytest.mark.parametrize(("request_", "differences"), UNDERSTOOD, ids=[row[0][:90] for row in UNDERSTOOD])
def test_an_honest_request_gives_exactly_what_it_says(request_, differences):
    reading = read(request_)
    assert reading.unsure == ()
    assert dict(reading.settings) == {**DEFAULTS, **differences}


@pytest.mark.parametrize(("request_", "words"), WRONG, ids=[row[0][:90] for row in WRONG])
def test_a_wrong_request_is_refused_with_its_words(request_, words):
    with pytest.raises(InputError) as caught:
        read(request_)
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("request_", SECRET)
def test_a_secret_in_words_is_refused_and_never_repeated(request_):
    with pytest.raises(InputError) as caught:
        read(request_)
    assert "must not stand in words" in caught.value.message
    assert "s3cr3t" not in str(caught.value.describe())
    assert "access_token_file" in caught.value.hint
    assert "access_token_command" in caught.value.hint


@pytest.mark.parametrize(("request_", "words"), DOUBTFUL, ids=[row[0][:90] for row in DOUBTFUL])
def test_words_that_are_not_certain_are_never_passed_over(request_, words):
    unsure = read(request_).unsure
    assert any(words in one.words for one in unsure), unsure
    assert all(one.why.endswith(".") and one.hint for one in unsure)


@pytest.mark.parametrize(
    "request_",
    [
        f"Connect to {H} and take tasks from the last 5 minutes",
        f"reconnect every 5 s to {H}",
        f"write summaries of 2 minutes reading time from {H}",
        f"wait 5 minutes, then listen to {H}",
        f"connect to {H} for 5 or 10 minutes",
    ],
)
def test_a_time_that_is_not_the_listening_time_is_not_taken_for_it(request_):
    assert read(request_).settings["duration_seconds"] is None


def test_the_table_holds_enough_manners_of_asking():
    assert len(UNDERSTOOD) >= 85
    assert len(WRONG) + len(SECRET) + len(DOUBTFUL) >= 100
    everything = [row[0] for row in (*UNDERSTOOD, *WRONG, *DOUBTFUL)] + SECRET
    assert len(set(everything)) == len(everything)


def test_a_host_without_scheme_is_http_and_a_note_says_so():
    reading = read("connect to localhost:5000/taskhub")
    assert reading.settings["hub_url"] == "http://localhost:5000/taskhub"
    assert any("no scheme" in note for note in reading.notes)


def test_a_url_that_is_not_the_hub_is_noted():
    reading = read(f"connect to {H}, docs at http://docs.example.com/x")
    assert any("http://docs.example.com/x" in note for note in reading.notes)


def test_a_reading_says_which_settings_stand_in_the_words():
    assert read(f"listen to {H} forever").said == {"hub_url", "duration_seconds"}
    assert read(f"listen to {H} without workflows").said == {"hub_url", "auto_generate_workflows"}


@pytest.mark.parametrize(
    "piece",
    ["(", "a", "1", "-", ".", "http://", "a@", '"', "'", "for ", "for 5 ", "and ", "1h", "the hub ", "1.", "a.", "save to ",
     "save the ", "/", "\\", "{", "[", "until ", "5 minutes ", "do not ", ", ", "\u2019", "=", "train on the ", "hub=", "--"],
)  # fmt: skip
def test_a_long_request_takes_no_long_time(piece):
    request = f"connect to {H} " + piece * (MAX_CHARACTERS // len(piece))
    begin = time.process_time()
    outcome(request[:MAX_CHARACTERS])
    assert time.process_time() - begin < 5.0
    begin = time.process_time()
    with pytest.raises(InputError, match="characters"):
        read(request * 5)
    assert time.process_time() - begin < 0.1


@QUICK
@given(st.text(max_size=300))
def test_any_text_gives_settings_or_an_input_error(text):
    outcome(text)


WORDS = st.sampled_from(
    ["connect", "to", H, "localhost:5000/h", "for", "5", "minutes", "5m", "and", "not", "do", "don't", "create", "workflows",
     "save", "tasks", "x.json", '"', "'", "“a”", ",", ".", "\n\n", "hub", "called", "LLMTasks", "until", "stopped", "a", "while",
     "train", "token", "ws://x/y", "http://", "://", "-5", "0", "½", "half", "an", "hour", "a@b.co", "C:\\x y.json", "[", "("]
)  # fmt: skip


@QUICK
@given(st.lists(WORDS, max_size=25))
def test_any_words_give_settings_or_an_input_error_and_no_url_of_their_own(words):
    request = " ".join(words)
    try:
        reading = read(request)
    except InputError:
        return
    url = str(reading.settings["hub_url"])
    assert url.lower() in request.lower() or url.removeprefix("http://").lower() in request.lower()
    for key in ("hub_name", "output_file"):
        value = reading.settings[key]
        assert value in (None, "TaskHub") or str(value) in request


SENTENCES = st.lists(
    st.sampled_from(
        [f"Connect to {H}.", "Generate workflows.", "Do not create workflows.", "Stop after 5 minutes.", "Listen for an hour!",
         "Save tasks to tasks.json.", "Write everything to b.jsonl.", "The hub is called LLMTasks.", "Use 5 workers.",
         "See http://docs.example.com/x.", "Just receive tasks.", "Thanks!", "Run forever.", "Also listen to DataUpdate.",
         "Also listen to OtherUpdate.", "Ask the model.", "Use no model.", "Until noon.", "Process all tasks."]
    ),
    max_size=6,
    unique=True,
)  # fmt: skip


@QUICK
@given(SENTENCES, st.randoms())
def test_the_order_of_sentences_does_not_matter(sentences, random):
    shuffled = list(sentences)
    random.shuffle(shuffled)
    assert outcome(" ".join([*sentences])) == outcome(" ".join(shuffled))


@QUICK
@given(
    st.sampled_from([row for row in UNDERSTOOD if row[0][0] != '"']),
    st.sampled_from(["please", "Hello!", "Thank you very much.", "\n", "  "]),
)
def test_politeness_changes_nothing(row, polite):
    request, differences = row
    assert dict(read(f"{polite} {request}").settings) == {**DEFAULTS, **differences}


@QUICK
@given(
    st.integers(1, 10_000), st.sampled_from([("s", 1), (" minutes", 60), ("h", 3600), (" secs", 1), (" hours", 3600)])
)
def test_every_length_is_read_as_written(number, unit):
    seconds = number * unit[1]
    request = f"listen to {H} for {number}{unit[0]}"
    if seconds > 365 * 86400:
        assert isinstance(outcome(request), str)
    else:
        assert read(request).settings["duration_seconds"] == seconds
