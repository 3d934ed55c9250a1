"""The JSON tools take one flag."""

import pytest

from code_evolver.configuration import workspace_flag
from code_evolver.core.errors import InputError


@pytest.mark.parametrize(
    ("words", "found"),
    [([], {}), (["--workspace", "a b"], {"workspace": "a b"}), (["--workspace=x"], {"workspace": "x"})],
)
def test_the_workspace_is_read(words, found):
    assert workspace_flag(words) == found


@pytest.mark.parametrize(
    "words", [["--workspace"], ["--workspace="], ["--workspace", ""], ["x"], ["--json"], ["--workspace", "a", "b"]]
)
def test_another_word_is_named(words):
    with pytest.raises(InputError) as caught:
        workspace_flag(words)
    assert "--workspace DIR" in caught.value.hint
