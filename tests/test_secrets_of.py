"""What is secret is known from every place where it can stand, and learnt while a run lasts."""

from code_evolver.core.settings import Layer, from_config, from_json, resolve
from code_evolver.secrets_of import Secrets, secrets_of


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


def test_what_comes_up_later_is_hidden_from_then_on():
    secrets = Secrets(["first-secret"])
    assert secrets.clean("first-secret second-secret") == "*** second-secret"
    secrets.learn("Bearer second-secret")
    secrets.learn("x")
    assert secrets.clean("first-secret second-secret x") == "*** *** x"


def test_a_document_is_cleaned_and_stays_one():
    secrets = Secrets(["hush-hush"])
    assert secrets.clean_document({"success": True, "error": "no hush-hush here"}) == {
        "success": True,
        "error": "no *** here",
    }
    same = {"success": True, "tasks": [1]}
    assert secrets.clean_document(same) == same
    assert Secrets(['"tasks"']).clean_document(same) == {"success": True}
