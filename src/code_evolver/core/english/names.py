"""Which words may be a name in a request: of a client method (the hub's name), of a hub method, of a token file."""

import re

from code_evolver.core.english.rules import KNOWN_WORDS
from code_evolver.core.english.tokens import Token
from code_evolver.core.english.words import HARMLESS, PRODUCTS, words

_IDENTIFIER = re.compile(r"[^\W\d][\w.]{0,127}")
_CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2,}[a-z]{2,}|[A-Za-z]_[A-Za-z]")
_NO_NAMES = words(
    """
    invocation invocations call calls menu window information name names method methods event events context
    contexts down up slow fast new old first last second next other same right wrong good bad here there
    somewhere too not and or but if when while because where how why who whose than
    """
)


def is_known_word(word: str) -> bool:
    """Say whether the rules know `word`, so that it is no name unless quoted."""
    return word in KNOWN_WORDS or word in HARMLESS


def fits(kind: str, token: Token) -> bool:
    """Say whether `token` may be the name in a phrase of this kind."""
    if kind == "token_file":
        return token.kind in {"file", "path"} or (token.kind == "quoted" and bool(re.search(r"[\\/.]", token.text)))
    if token.kind == "quoted":
        return _may_be_quoted(token.text)
    return token.kind == "word" and bool(_IDENTIFIER.fullmatch(token.text)) and _may_be_unquoted(kind, token.text)


def _may_be_unquoted(kind: str, name: str) -> bool:
    word = name.lower()
    if word in PRODUCTS or word in _NO_NAMES or word == "hub":
        return False
    # Without "called" or the like, only a name that looks like one: "the NewTask method", not "the slow method".
    return kind == "hub_suffix" or (not is_known_word(word) and (kind == "hub_name" or bool(_CAMEL.search(name))))


def _may_be_quoted(name: str) -> bool:
    return 0 < len(name) <= 128 and name.isprintable() and name == name.strip() and not re.search(r"[<>{}\"]", name)
