"""YAML without surprises: plain data, each key once, no aliases, no tags; words stay words."""

import re
from contextlib import suppress
from typing import Any, Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from code_evolver.core.errors import ConfigurationError, ManifestError
from code_evolver.core.strict_json import show

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 20
_PLAIN = {
    "null": re.compile(r"(?:~|null|Null|NULL|)\Z"),
    "true": re.compile(r"(?:true|True|TRUE)\Z"),
    "false": re.compile(r"(?:false|False|FALSE)\Z"),
    "integer": re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z"),
    "number": re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?\Z"),
}
"""YAML 1.2's core words: yes, no, on, off, dates, 12:30, 0777, 1_000 and .inf stay text."""
_FASTEST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML has it; files that it refuses are read again by the other, whose words we know."""


class _Reader:
    """Turns events' nodes into plain data; knows the file for its messages."""

    def __init__(self, path: str, fault: type[ConfigurationError], loader: Any = yaml.SafeLoader) -> None:
        self.path = path
        self.fault = fault
        self.loader = loader

    def read(self, text: str) -> Any:
        self.refuse_constructs(text)
        return self.value(yaml.compose(text, Loader=self.loader))

    def wrong(self, line: int, what: str, hint: str) -> ConfigurationError:
        return self.fault(f"{self.path}, line {line}: {what}", hint)

    def at(self, node: Node, what: str, hint: str) -> ConfigurationError:
        return self.wrong(node.start_mark.line + 1, what, hint)

    def refuse_constructs(self, text: str) -> None:
        """Refuse aliases, anchors, tags and depth on the event stream, before any tree is built."""
        depth = documents = 0
        for event in yaml.parse(text, Loader=self.loader):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1 or event.tags or event.version:
                    raise self.wrong(line, "more than one plain document.", "Keep one document, without % lines.")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise self.wrong(line, "aliases and anchors (* and &) are not taken.", "Write the value out.")
            if tag := getattr(event, "tag", None):
                raise self.wrong(line, f"the tag {show(tag, 40)} is not taken.", "Leave out what begins with !.")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise self.wrong(line, f"nested deeper than {MAX_DEPTH} levels.", "Write it flatter.")

    def value(self, node: Node | None) -> Any:
        if isinstance(node, MappingNode):
            return self.mapping(node)
        if isinstance(node, SequenceNode):
            return [self.value(one) for one in node.value]
        return self.scalar(node) if isinstance(node, ScalarNode) else None

    def mapping(self, node: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                raise self.at(key_node, "a key is no text.", "Put the key in quotes.")
            if key == "<<":
                raise self.at(key_node, "merge keys (<<) are not taken.", "Write the values out.")
            if key in found:
                raise self.at(key_node, f"the key {show(key, 40)} stands twice.", "Give each key once.")
            found[key] = self.value(value_node)
        return found

    def scalar(self, node: ScalarNode) -> Any:
        word = str(node.value)
        if node.style:  # quoted, or a block; plain is None or "", by the loader
            return word
        if _PLAIN["null"].match(word):
            return None
        if _PLAIN["true"].match(word) or _PLAIN["false"].match(word):
            return word.lower() == "true"
        if _PLAIN["integer"].match(word):
            return int(word)
        if _PLAIN["number"].match(word) and len(word) < 40:
            return float(word)
        return word


def load(text: str | bytes, path: str, fault: type[ConfigurationError] = ManifestError) -> Any:
    """Read one YAML document as plain data (objects, lists, text, numbers, true, false, null).

    Raises `fault` with file and line where it is no such thing, is over 256 KiB or nests deeper than 20 levels.
    """
    reader = _Reader(path, fault)
    if len(text) > MAX_BYTES:
        raise reader.wrong(1, f"the file is over {MAX_BYTES // 1024} KiB.", "Split it, or shorten its texts.")
    try:
        words = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise reader.wrong(line, "not UTF-8.", "Save the file as UTF-8.") from None
    with suppress(yaml.YAMLError, ConfigurationError):
        return _Reader(path, fault, _FASTEST).read(words)
    try:
        return reader.read(words)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = (error.problem or "not valid YAML").splitlines()[0]
        raise reader.wrong(mark.line + 1 if mark else 1, f"{problem[:200]}.", "Mend the line.") from None
    except yaml.YAMLError as error:
        line = words[: getattr(error, "position", 0)].count("\n") + 1
        raise reader.wrong(line, f"{str(error).splitlines()[0][:200]}.", "Mend the line.") from None


def line_of(text: str, keys: tuple[str | int, ...]) -> int:
    """Find the line (1-based) at which the value under `keys` stands; the nearest outer one where it is missing."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for key in keys:
        if isinstance(node, MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == key), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line + 1
        else:
            return line
    return line
