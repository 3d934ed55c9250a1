"""Thirty honest programs in different styles: the gate must pass them and the child must run them.

Each: (name, further imports, names from node_runtime, body). All read {"content", "id"} and print one document.
"""

from code_evolver.core.preamble import PREAMBLE

_GUARD = '\n\nif __name__ == "__main__":\n    main()\n'
_STYLES: list[tuple[str, str, str, str]] = [
    ("plain", "", "call_tool", """
def main():
    data = json.load(sys.stdin)
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "task_id": data.get("id", "")}))
"""),
    ("comprehensions", "", "call_tool", """
def main():
    data = json.loads(sys.stdin.read())
    words = [word.strip(".,").lower() for word in data["content"].split() if len(word) > 3]
    lengths = {word: len(word) for word in words}
    longest = {word for word, size in lengths.items() if size == max(lengths.values())}
    total = sum(size for size in lengths.values())
    result = call_tool("summarizer", " ".join(sorted(longest)) or data["content"])
    print(json.dumps({"result": result, "total": total}))
"""),
    ("helpers and f-strings", "", "call_tool", """
PREFIX = "Summary"

def read():
    return json.load(sys.stdin)

def shape(text, *, width=40):
    return f"{PREFIX}: {text!s:>{width}} ({len(text):,d} letters, {0.5:.1%})"

def main():
    data = read()
    print(json.dumps({"result": shape(call_tool("summarizer", data["content"]))}))
"""),
    ("statistics", "import statistics\n", "call_tool", """
def main():
    data = json.load(sys.stdin)
    sizes = [len(part) for part in data["content"].split()] or [0]
    facts = {"mean": statistics.mean(sizes), "median": statistics.median(sizes), "spread": statistics.pstdev(sizes)}
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "facts": facts}))
"""),
    ("regular expressions", "import re\n", "call_tool", """
SENTENCE = re.compile(r"[^.!?]+[.!?]?")
SPACES = re.compile("[ \\t]+", re.MULTILINE | re.IGNORECASE)

def main():
    data = json.load(sys.stdin)
    sentences = [found.group().strip() for found in SENTENCE.finditer(data["content"])]
    text = SPACES.sub(" ", re.sub(r"(\\w+)", r"\\1", " ".join(sentences)))
    print(json.dumps({"result": call_tool("summarizer", text), "count": len(sentences)}))
"""),
    ("textwrap", "import textwrap\nfrom textwrap import dedent\n", "call_tool", '''
INTRO = dedent("""
    Summarise this:
    """).strip()

def main():
    data = json.load(sys.stdin)
    pieces = textwrap.wrap(data["content"], 200) or [""]
    text = textwrap.shorten(call_tool("summarizer", INTRO + pieces[0]), width=300, placeholder="…")
    print(json.dumps({"result": textwrap.fill(text, width=70)}))
'''),
    ("dates", "from datetime import datetime, timedelta, timezone\n", "call_tool", """
def main():
    data = json.load(sys.stdin)
    start = datetime.fromisoformat("2024-01-31T10:00:00").replace(tzinfo=timezone.utc)
    due = datetime.strptime("2024-02-01", "%Y-%m-%d") + timedelta(days=3)
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "due": due.strftime("%d.%m.%Y"), "from": start.isoformat()}))
"""),
    ("module datetime", "import datetime\n", "call_tool", """
def main():
    data = json.load(sys.stdin)
    day = datetime.date(2024, 2, 29)
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "day": day.isoformat(), "week": day.isocalendar()[1]}))
"""),
    ("collections", "from collections import Counter, defaultdict, deque\n", "call_tool", """
def main():
    data = json.load(sys.stdin)
    counts = Counter(data["content"].lower().split())
    groups = defaultdict(list)
    for word, count in counts.most_common(10):
        groups[count].append(word)
    last = deque(data["content"].split(), maxlen=3)
    last.appendleft("first")
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "groups": {str(k): v for k, v in groups.items()}}))
"""),
    ("type hints", "from typing import Any, Optional\nfrom collections.abc import Iterable, Mapping\n", "call_tool", """
LIMIT: int = 5
Row = dict[str, Any]

def first(items: Iterable[str], default: Optional[str] = None) -> str | None:
    return next(iter(items), default)

def main() -> None:
    data: Mapping[str, Any] = json.load(sys.stdin)
    word: str | None = first(data["content"].split()[:LIMIT])
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "word": word}))
"""),
    ("try around a tool", "", "ToolError, call_tool", """
def main():
    data = json.load(sys.stdin)
    try:
        text = call_tool("summarizer", data["content"])
    except ToolError as error:
        print(json.dumps({"success": False, "error": {"code": error.code, "message": f"{type(error).__name__}: {error}"}}))
        sys.exit(1)
    else:
        print(json.dumps({"result": text}))
    finally:
        sys.stderr.write("done\\n")
"""),
    ("tool name in a constant", "", "call_tool", """
TOOL = "summarizer"
OPTIONS = {"length": "short", "keep_names": True}

def main():
    data = json.load(sys.stdin)
    print(json.dumps({"result": call_tool(TOOL, data["content"], **OPTIONS)}))
"""),
    ("parallel tuples", "", "ToolError, call_tools_parallel", """
def main():
    data = json.load(sys.stdin)
    results = call_tools_parallel([("summarizer", data["content"]), ("quick_translator", data["content"], {"target_language": "fr"})])
    for item in results:
        if isinstance(item, ToolError):
            raise item
    short, french = results
    print(json.dumps({"result": short, "translations": {"fr": french}}))
"""),
    ("parallel built by append", "", "call_tool, call_tools_parallel", """
TRANSLATOR = "quick_translator"

def main():
    data = json.load(sys.stdin)
    calls = []
    for pair in data.get("translationLanguages", []):
        calls.append((TRANSLATOR, data["content"], {"source_language": pair["from"], "target_language": pair["to"]}))
    texts = call_tools_parallel(calls)
    names = [pair["to"] for pair in data.get("translationLanguages", [])]
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "translations": dict(zip(names, map(str, texts)))}))
"""),
    ("parallel dicts", "", "call_tools_parallel", """
def main():
    data = json.load(sys.stdin)
    calls = [{"tool": "quick_translator", "prompt": data["content"], "target_language": code} for code in ("de", "fr", "es")]
    print(json.dumps({"result": [str(text) for text in call_tools_parallel(calls)]}))
"""),
    ("chain", "", "ToolChain", """
def main():
    data = json.load(sys.stdin)
    chain = ToolChain().call("summarizer", data["content"]).then("quick_translator", "Short: {result}", target_language="de")
    print(json.dumps({"result": chain.get()}))
"""),
    ("resilient", "", "call_tool_resilient", """
def main():
    data = json.load(sys.stdin)
    print(json.dumps({"result": call_tool_resilient("summarizer", data["content"], attempts=2, tags=("summary",))}))
"""),
    ("walrus and while", "", "call_tool", """
def main():
    data = json.load(sys.stdin)
    rest, parts = data["content"], []
    while (piece := rest[:50]):
        parts.append(piece)
        rest = rest[50:]
        if len(parts) >= 20:
            break
    else:
        parts.append("")
    if (count := len(parts)) > 3:
        parts = parts[:count]
    print(json.dumps({"result": call_tool("summarizer", "".join(parts))}))
"""),
    ("lambda as key", "from operator import itemgetter\n", "call_tool", """
def main():
    data = json.load(sys.stdin)
    rows = [{"word": word, "size": len(word)} for word in data["content"].split()]
    rows.sort(key=lambda row: (-row["size"], row["word"]))
    best = sorted(rows, key=itemgetter("size"), reverse=True)[:2]
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "best": best, "top": max(rows, key=lambda r: r["size"], default=None)}))
"""),
    ("ternaries and unpacking", "", "call_tool", """
def main():
    data = json.load(sys.stdin)
    text = data["content"] if isinstance(data.get("content"), str) else ""
    first, *others = text.split() or [""]
    kind = "long" if len(others) > 10 else "short" if others else "tiny"
    print(json.dumps({**{"result": call_tool("summarizer", text)}, "kind": kind, "first": first}, ensure_ascii=False, indent=2))
"""),
    ("nested functions", "", "call_tool", """
def main():
    data = json.load(sys.stdin)
    count = 0

    def tell(text, *rest, **options):
        nonlocal count
        count += 1
        return "-".join([text, *map(str, rest), *options])

    parts = [tell("a", 1, x=2), tell("b")]
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "parts": parts, "count": count}))
"""),
    ("sets and dicts", "", "call_tool", """
STOP = frozenset({"the", "a"})

def main():
    data = json.load(sys.stdin)
    words = set(data["content"].lower().split()) - STOP
    both = words & {"fox"} | (words ^ {"dog"})
    table = dict.fromkeys(sorted(both), 0)
    table |= {"extra": 1}
    table.setdefault("x", []) or table.pop("x", None)
    del table["extra"]
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "table": table}))
"""),
    ("with stdin", "", "call_tool", """
def main():
    with sys.stdin as stream:
        data = json.loads(stream.read() or "{}")
    if not isinstance(data, dict):
        raise ValueError("The input must be an object.")
    sys.stdout.write(json.dumps({"result": call_tool("summarizer", data["content"])}) + "\\n")
    sys.stdout.flush()
"""),
    ("format on a literal", "", "call_tool", """
TEMPLATE = "Please summarise in {count} sentences: {text}"

def main():
    data = json.load(sys.stdin)
    prompt = TEMPLATE.format(count=3, text=data["content"])
    label = "{:>10}|{0!r}".replace("{0!r}", "{}").upper() and "{0:>{1}}".format("x", 5)
    print(json.dumps({"result": call_tool("summarizer", prompt), "label": label, "old": "%s-%03d" % ("a", 7)}))
"""),
    ("exit status from main", "from html import escape, unescape\nimport unicodedata\n", "call_tool", """
def main() -> int:
    data = json.load(sys.stdin)
    text = unicodedata.normalize("NFC", unescape(escape(data["content"])))
    print(json.dumps({"result": call_tool("summarizer", text)}))
    return 0
"""),
    ("table of tools", "", "call_tool", """
TOOLS = {"short": "summarizer", "long": "content_generator"}

def main():
    data = json.load(sys.stdin)
    results = {}
    for key, tool in TOOLS.items():
        results[key] = call_tool(tool, data["content"])
    print(json.dumps({"result": results[data.get("style", "short")], "all": results}))
"""),
    ("helper that calls", "import math\nimport itertools\nfrom functools import reduce, partial\n", "call_tool", '''
def ask(tool, text, **options):
    """Ask one tool."""
    return call_tool(tool, text, **options).strip()

def main():
    data = json.load(sys.stdin)
    area = math.floor(math.sqrt(16)) + reduce(lambda a, b: a + b, itertools.chain([1], [2]))
    tenth = partial(round, ndigits=1)
    print(json.dumps({"result": ask("summarizer", data["content"]), "other": ask(tool="quick_translator", text="x"), "area": tenth(area)}))
'''),
    ("match on values", "import string\n", "call_tool, call_llm", """
def describe(value):
    match value:
        case None:
            return "nothing"
        case "short" | "brief":
            return "brief"
        case [first, *_]:
            return f"list of {first}"
        case {"style": style, **rest}:
            return f"{style} and {len(rest)}"
        case other if other:
            return string.capwords(str(other))
    return ""

def main():
    data = json.load(sys.stdin)
    print(json.dumps({"result": call_tool("summarizer", data["content"]), "what": describe(data), "why": call_llm("Why?", tier="fast")}))
"""),
    ("generators and shadowed names", "", "call_tool", """
def pieces(input, size=10):
    for start in range(0, len(input), size):
        yield input[start:start + size]
    yield from ()

def main():
    data = json.load(sys.stdin)
    id = data.get("id")
    assert isinstance(data["content"], str), "content must be text"
    parts = list(pieces(data["content"]))
    print(json.dumps({"result": call_tool("summarizer", "".join(parts)), "task_id": id, "number": len(parts)}))
"""),
    ("careful about input", "", "ToolError, call_tool", """
def fail(code, message, status):
    print(json.dumps({"success": False, "error": {"code": code, "message": message}}))
    sys.exit(status)

def main():
    try:
        data = json.loads(sys.stdin.buffer.read().decode("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        fail("bad_input", f"line {getattr_line(error)}", 2)
    if type(data) is not dict or "content" not in data:
        fail("bad_input", "content is missing", 2)
    try:
        print(json.dumps({"result": call_tool("summarizer", data["content"])}))
    except (ToolError, KeyError) as error:
        fail("tool_failed", str(error), 1)

def getattr_line(error):
    return error.lineno if isinstance(error, json.JSONDecodeError) else 0
"""),
]  # fmt: skip


def _program(name: str, imports: str, names: str, body: str) -> bytes:
    guard = _GUARD.replace("main()\n", "sys.exit(main())\n") if "-> int" in body else _GUARD
    return f'"""{name}."""\n\n{PREAMBLE}\nfrom node_runtime import {names}\n{imports}\n{body}{guard}'.encode()


HONEST: dict[str, bytes] = {style[0]: _program(*style) for style in _STYLES}
