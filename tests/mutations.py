"""Mutations of honest programs: the mistakes that people and models make, one at a time."""

import ast
import copy
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    program: str
    what: str
    code: bytes


TEXTS = [
    ("ignore the input", r'call_tool\((GENERATOR|"[a-z_]+"), ([^\n]+?)(, \w+=.*)?\)$', r'call_tool(\1, "Hello, World"\3)'),
    ("hard-code the output", r'"result": [\w.()]+(?=[,}])', '"result": "A fixed answer."'),
    ("result of no call", r'"result": [\w.()]+(?=[,}])', '"result": ""'),
    ("result in a list", r'"result": ([\w.()]+)(?=[,}])', r'"result": [\1]'),
    ("lower-case the result", r'"result": ([\w.()]+)(?=[,}])', r'"result": str(\1).replace("«", "")'),
    ("print twice", r"^( *)(print\(json\.dumps\(.*\)\))$", r"\1\2\n\1\2"),
    ("print a log line first", r"^def main\((.*)\).*:$", "\\g<0>\n    print('working')"),
    ("swallow failures", r"^( *)raise answer$", r"\1continue"),
    ("failures as text", r"^( *)raise answer$", r"\1answers = [str(one) for one in answers]"),
    ("exit 0 on failure", r"sys\.exit\(\w+\)", "sys.exit(0)"),
    ("exit 3", r"sys\.exit\(\w+\)", "sys.exit(3)"),
    ("success true on failure", r'"success": False', '"success": True'),
    ("failure without error", r'"error": ', '"problem": '),
    ("wrong id", r'task\.get\("id", ""\)|data\.get\("id"(, "")?\)', '"task-1"'),
    ("id in upper case", r'task\.get\("id", ""\)|data\.get\("id"(, "")?\)', r"str(\g<0>).upper()"),
    ("id from another key", r'\.get\("id"', '.get("taskName"'),
    ("type of another node", r'"task_type": [\w"]+', '"task_type": "sentiment"'),
    ("truncate the text", r"(?<=return )text$|(?<=, )part(?=, source)|data\[\"(content|prompt)\"\](?=[,).])", r"\g<0>[:5000]"),
    ("lower-case the text", r"(?<=return )text$|(?<=, )part(?=, source)|data\[\"(content|prompt)\"\](?=[,).])", r"\g<0>.lower()"),
    ("squeeze white space", r"(?<=return )text$|(?<=, )part(?=, source)|data\[\"(content|prompt)\"\](?=[,).])", r'" ".join(\g<0>.split())'),
    ("ASCII only", r"(?<=return )text$|(?<=, )part(?=, source)|data\[\"(content|prompt)\"\](?=[,).])", r'\g<0>.encode("ascii", "ignore").decode()'),
    ("skip the last pair", r"\bin (languages|pairs|wanted)\b(?=[:\]])", r"in \1[:-1]"),
    ("skip the first pair", r"\bin (languages|pairs|wanted)\b(?=[:\]])", r"in \1[1:]"),
    ("at most three pairs", r"\bin (languages|pairs|wanted)\b(?=[:\]])", r"in \1[:3]"),
    ("reversed pair", r'"source_language": (\w+), "target_language": (\w+)', r'"source_language": \2, "target_language": \1'),
    ("reversed pair", r"source_language=(\S+), target_language=([^\s)]+)", r"source_language=\2, target_language=\1"),
    ("source always English", r'"source_language": \w+', '"source_language": "en"'),
    ("source always English", r"source_language=[^\s,]+", 'source_language="en"'),
    ("target always French", r'"target_language": \w+', '"target_language": "fr"'),
    ("other argument name", r"target_language", "target"),
    ("other argument name", r"source_language", "from_language"),
    ("wrong key", r"\{source\}-\{target\}", "{target}-{source}"),
    ("wrong key", r"\{source\}-\{target\}", "{target}"),
    ("wrong key", r"found\[target\]|translations\[language\[\"to\"\]\]", 'found_key["x"]'),
    ("key of the source", r'translations\[language\["to"\]\]', 'translations[language["from"]]'),
    ("no translations", r'^( *)(document|output)\["translations"\] = .*$', r"\1pass"),
    ("translations under another name", r'"translations"(?=[:\]])', '"languages"'),
    ("translate the text and not the answer", r'translate\(document\["result"\], pairs\)', "translate(text, pairs)"),
    ("extra tool call", r'^( *)([^\n=]*= )?(.*)call_tool\("summarizer", ([^\n]+?)\)(.*)$', "\\1call_tool('summarizer', 'Hi')\n\\g<0>"),
    ("call twice", r'^( *)(\w[\w\["\]]* = )call_tool\((.+)\)$', r"\g<0>" + "\n" + r"\1again = call_tool(\3)"),
    ("another tool", r'"(summarizer|content_generator)"', '"quick_translator"'),
    ("another tool", r'"(quick_translator|nmt_translator)"', '"summarizer"'),
    ("unlisted tool", r'"(quick_translator|nmt_translator|summarizer|content_generator)"', '"call_llm"'),
    ("decorated text for the translator", r'\("(quick|nmt)_translator", text,', r'("\1_translator", f"Translate: {text}",'),
    ("decorated text for the translator", r'"(quick|nmt)_translator", (summary|part),', r'"\1_translator", "Translate: " + \2,'),
    ("refuse empty text", r"not isinstance\((text|prompt|data\.get\(\"content\"\)), str\)", r"not \1 or \g<0>"),
    ("short text only", r"not isinstance\((text|prompt), str\)", r"\g<0> or len(\1) > 10000"),
    ("accept any text", r"not isinstance\((text|prompt), str\)", r"\1 is None"),
    ("unescaped output", r"json\.dumps\((document|output|\{\n)", r"str(\1"),
    ("single-quoted output", r"print\(json\.dumps\((document|output)(, ensure_ascii=False)?\)\)", r"print(\1)"),
    ("output as JSON text", r"json\.dumps\((document|output)(, ensure_ascii=False)?\)", r"json.dumps(json.dumps(\1))"),
    ("stale variable", r"call_tool\(\"quick_translator\", summary", 'call_tool("quick_translator", data["content"]'),
    ("debug text on stdout", r"^if __name__.*$", "print('done')\n\\g<0>"),
]  # fmt: skip
"""(what, pattern, replacement), each applied to each place where it matches."""


def mutants(program, code):
    """Give every mutant of a program that still compiles and differs from it, without repeats."""
    found: dict[str, Mutant] = {}
    for what, changed in [*_by_text(code), *_by_tree(code)]:
        try:
            compile(changed, "main.py", "exec")
        except SyntaxError:
            continue
        if ast.dump(ast.parse(changed)) != ast.dump(ast.parse(code)):
            found.setdefault(ast.dump(ast.parse(changed)), Mutant(program, what, changed.encode()))
    return list(found.values())


def _by_text(code):
    for what, pattern, replacement in TEXTS:
        for match in re.compile(pattern, re.MULTILINE).finditer(code, code.index("import json")):
            line = code.count("\n", 0, match.start()) + 1
            yield f"{what}, line {line}", code[: match.start()] + match.expand(replacement) + code[match.end() :]


def _by_tree(code):
    """Change one node of the syntax tree below the imports."""
    tree = ast.parse(code)
    for place, node in enumerate(ast.walk(tree)):
        for number, (what, _) in enumerate(_changes(node)):
            other = copy.deepcopy(tree)
            mutated = list(ast.walk(other))[place]
            list(_changes(mutated))[number][1]()
            yield f"{what}, line {getattr(node, 'lineno', 0)}", ast.unparse(ast.fix_missing_locations(other))


def _changes(node):
    """Give (what, a function that does it to the node) for every change that fits this node."""
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.Try | ast.ExceptHandler):
        for index, statement in enumerate(node.body):
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                yield "drop a statement", lambda at=index: node.body.__setitem__(at, ast.Pass())
    if isinstance(node, ast.If):
        yield "negate a condition", lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))
    yield from _changes_of_expressions(node)


def _changes_of_expressions(node):
    if isinstance(node, ast.IfExp):
        yield "swap the branches", lambda: _swap(node, "body", "orelse")
    if isinstance(node, ast.Compare) and isinstance(
        node.ops[0], ast.Eq | ast.Gt | ast.NotIn | ast.Is | ast.IsNot | ast.In
    ):
        opposite = {
            ast.Eq: ast.NotEq,
            ast.Gt: ast.GtE,
            ast.NotIn: ast.In,
            ast.Is: ast.IsNot,
            ast.IsNot: ast.Is,
            ast.In: ast.NotIn,
        }
        yield "another comparison", lambda: node.ops.__setitem__(0, opposite[type(node.ops[0])]())
    if isinstance(node, ast.BoolOp):
        yield "drop half a condition", node.values.pop
    if isinstance(node, ast.Tuple) and len(node.elts) == 2:
        yield "swap a pair", node.elts.reverse
    if isinstance(node, ast.Dict) and len(node.keys) > 1:
        for index in range(len(node.keys)):
            yield "drop a key", lambda at=index: (node.keys.pop(at), node.values.pop(at))
        yield "swap two values", node.values.reverse
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "call_tool" and node.keywords:
        yield "drop an argument", node.keywords.pop


def _swap(node, first, second):
    one, other = getattr(node, first), getattr(node, second)
    setattr(node, first, other)
    setattr(node, second, one)
