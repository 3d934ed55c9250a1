"""What is secret is known from every place where it can stand, and learnt while a run lasts."""

import tracemalloc
from itertools import count

from code_evolver.core.settings import Layer, from_config, from_json, resolve
from code_evolver.secrets_of import LEARNT, Secrets, secrets_of


def found(given=None, config=None, **environment):
    return set(
        secrets_of(resolve(from_json(given or {}), Layer({}, {}), from_config(config, "config.yaml")), environment)
    )


def test_tokens_headers_and_variables_named_like_secrets_are_known():
    known = found(
        {"access_token": "token-1", "headers": {"X-Key": "header-1"}},
        AWS_SECRET_ACCESS_KEY="aws-key-1",
        PATH="/usr/bin",
        MY_PASSWORD="short",
    )
    assert known == {"token-1", "header-1", "aws-key-1"}


def test_files_and_variables_that_the_configuration_names_are_known(tmp_path):
    (tmp_path / "token").write_text("token-2\n", encoding="utf-8")
    (tmp_path / "key").write_text("key-file-2\n", encoding="utf-8")
    backends = {"a": {"type": "openai", "base_url": "http://x", "api_key_env": "TEAM"}, "b": {"type": "openai", "base_url": "http://x",
                "api_key_file": str(tmp_path / "key")}, "c": "odd"}  # fmt: skip
    config = {"llm": {"backends": backends}, "tools": {"nmt_translator": {"api_key_env": "NMT"}}}
    known = found({"access_token_file": str(tmp_path / "token")}, config, TEAM="team-value", NMT="nmt-value")
    assert known == {"token-2", "key-file-2", "team-value", "nmt-value"}


def test_a_file_that_is_not_there_is_nothing():
    assert found({"access_token_file": "/no/such/file"}) == set()
    assert found({"access_token_file": "~nobody-of-this-name/token"}) == set()


def test_what_comes_up_later_is_hidden_from_then_on():
    secrets = Secrets(["first-secret"])
    assert secrets.clean("first-secret second-secret") == "*** second-secret"
    secrets.learn("Bearer second-secret")
    secrets.learn("x")
    assert secrets.clean("first-secret second-secret x") == "*** *** x"


def made(number: int) -> str:
    """A token as issuers make them: new each time, and long."""
    return f"{number:08d}." + "0123456789abcdefghijklmnopqrstuvwxyz-ABC" * 15


def test_a_token_at_every_connection_takes_no_more_memory_than_the_latest_do():
    secrets, numbers, held = Secrets(["first-secret"]), count(), []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in range(LEARNT + 10):
                secrets.learn(f"Bearer {made(next(numbers))}")
            held.append(tracemalloc.get_traced_memory()[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 50_000, held
    assert peak < 2_000_000
    latest = next(numbers) - 1
    said = " ".join(made(number) for number in range(latest - LEARNT + 1, latest + 1))
    assert secrets.clean(f"first-secret {said}") == " ".join(["***"] * (LEARNT + 1))


def test_what_is_in_use_stays_hidden_whatever_comes_up_beside_it():
    secrets = Secrets(["Bearer of-the-settings"])
    for number in range(3 * LEARNT):
        secrets.learn("Bearer of-the-settings")
        secrets.learn("Basic used-each-time")
        secrets.learn(made(number))
    assert secrets.clean("used-each-time of-the-settings") == "*** ***"


def test_a_document_is_cleaned_and_stays_one():
    secrets = Secrets(["hush-hush"])
    assert secrets.clean_document({"success": True, "error": "no hush-hush here"}) == {
        "success": True,
        "error": "no *** here",
    }
    same = {"success": True, "tasks": [1]}
    assert secrets.clean_document(same) == same
    assert Secrets(['"tasks"']).clean_document(same) == {"success": True}
