"""What a workflow may use: syntax nodes, builtins, modules with their names, attributes. Everything else is a finding."""

import ast
import builtins
import itertools
import math

_NODES = """
Module Expr Assign AugAssign AnnAssign FunctionDef Return Delete For While If With Raise Try Assert Import ImportFrom Nonlocal
Global Pass Break Continue Match match_case MatchValue MatchSingleton MatchSequence MatchMapping MatchStar MatchAs MatchOr
BoolOp NamedExpr BinOp UnaryOp Lambda IfExp Dict Set ListComp SetComp DictComp GeneratorExp Yield YieldFrom Compare Call
FormattedValue JoinedStr Constant Attribute Subscript Starred Name List Tuple Slice comprehension ExceptHandler arguments arg
keyword alias withitem Load Store Del And Or Add Sub Mult Div FloorDiv Mod Pow LShift RShift BitOr BitXor BitAnd Invert Not
UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn
"""
NODES = frozenset(getattr(ast, name) for name in _NODES.split())
"""Not in it: classes (also in `match`), decorated and async functions, await, MatMult, except*, type aliases, t-strings."""

_NO_CHILDREN = {"ctx", "ops", "op", "type_comment", "kind", "conversion"}
CHILDREN = {
    kind: tuple(name for name in kind._fields if name not in _NO_CHILDREN)
    for kind in NODES
    if kind not in (ast.Constant, ast.Name)
}
"""Fields of a node in which further nodes stand. Operators are looked at with their expression."""

BUILTINS = frozenset(["abs", "all", "any", "ascii", "bin", "bool", "bytes", "bytearray", "callable", "chr", "complex", "dict", "divmod", "enumerate", "filter", "float", "format", "frozenset", "hex", "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "oct", "ord", "pow", "print", "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip", "ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError", "NotImplementedError", "OverflowError", "EOFError", "OSError", "RecursionError", "RuntimeError", "StopIteration", "SystemExit", "TypeError", "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError", "ValueError", "ZeroDivisionError"])  # fmt: skip

ALL_BUILTINS = frozenset(dir(builtins))
MAY_SHADOW = frozenset(["input", "id", "hash", "dir", "help", "all", "any", "bin", "chr", "filter", "format", "hex", "iter", "map", "max", "min", "next", "oct", "ord", "range", "round", "set", "slice", "sum", "zip", "bytes", "license", "copyright", "credits", "object"])  # fmt: skip
"""Builtins whose names people give to parameters and local variables; harmless where the name is not one after all."""

_COLLECTIONS_ABC = frozenset(
    ["Callable", "Collection", "Generator", "Iterable", "Iterator", "Mapping", "MutableMapping", "Sequence", "Set"]
)
MODULES = {
    "json": frozenset(["loads", "dumps", "load", "dump", "JSONDecodeError"]),
    "sys": frozenset(["stdin", "stdout", "stderr", "exit"]),
    "re": frozenset(["compile", "match", "fullmatch", "search", "findall", "finditer", "split", "sub", "subn", "escape", "error", "Pattern", "Match", "I", "IGNORECASE", "M", "MULTILINE", "S", "DOTALL", "X", "VERBOSE", "A", "ASCII", "U", "UNICODE", "NOFLAG"]),
    "statistics": frozenset(["mean", "fmean", "median", "median_low", "median_high", "mode", "multimode", "stdev", "pstdev", "variance", "pvariance", "quantiles", "geometric_mean", "harmonic_mean", "correlation", "covariance", "linear_regression", "StatisticsError"]),
    "textwrap": frozenset(["wrap", "fill", "shorten", "dedent", "indent", "TextWrapper"]),
    "datetime": frozenset(["date", "datetime", "time", "timedelta", "timezone", "UTC", "MINYEAR", "MAXYEAR"]),
    "collections": frozenset(["Counter", "defaultdict", "deque", "OrderedDict", "ChainMap"]),
    "collections.abc": _COLLECTIONS_ABC,
    "math": frozenset(name for name in dir(math) if not name.startswith("_")),
    "string": frozenset(["ascii_letters", "ascii_lowercase", "ascii_uppercase", "digits", "hexdigits", "octdigits", "punctuation", "printable", "whitespace", "capwords", "Template"]),
    "itertools": frozenset(name for name in dir(itertools) if not name.startswith("_")),
    "functools": frozenset(["reduce", "partial", "cmp_to_key"]),
    "operator": frozenset(["itemgetter", "add", "sub", "mul", "truediv", "floordiv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge", "contains", "concat", "and_", "or_", "not_"]),
    "html": frozenset(["escape", "unescape"]),
    "unicodedata": frozenset(["normalize", "is_normalized", "category", "name", "lookup", "combining", "bidirectional", "east_asian_width", "numeric", "digit", "decimal", "mirrored"]),
    "typing": frozenset(["Any", "Callable", "Dict", "Final", "FrozenSet", "Generator", "Iterable", "Iterator", "List", "Literal", "Mapping", "Optional", "Sequence", "Set", "Tuple", "TypeAlias", "Union", "cast"]),
}  # fmt: skip
"""module → names of it. A module itself is never a value: `json.codecs` is the whole file system."""

_METHODS_OF = (str, bytes, bytearray, int, float, complex, list, tuple, dict, set, frozenset, range, slice)
_MORE_ATTRIBUTES = """
read readline readlines write writelines flush buffer reconfigure close
args message code msg pos lineno colno doc reason start end add_note value
group groups groupdict span regs string lastindex lastgroup expand match fullmatch search findall finditer split sub subn pattern flags
groupindex
date time datetime timedelta timezone utc year month day hour minute second microsecond tzinfo fold weekday isoweekday isocalendar
isoformat fromisoformat strftime strptime now today utcnow fromtimestamp timestamp replace astimezone timetuple ctime toordinal
fromordinal combine days seconds microseconds total_seconds utcoffset tzname dst week min max resolution
most_common elements subtract total update appendleft popleft extendleft rotate maxlen move_to_end default_factory maps new_child
substitute safe_substitute template width initial_indent subsequent_indent wrap fill
slope intercept chain from_iterable
call then get send throw
"""
ATTRIBUTES = (
    frozenset(name for kind in _METHODS_OF for name in dir(kind) if not name.startswith("_"))
    | frozenset(_MORE_ATTRIBUTES.split())
) - {"format_map", "throw", "send"}
"""Attributes of values. Not in it: frames (gi_frame, f_globals, tb_next), `obj` of errors, format_map, mro."""

RUNTIME_CALLS = frozenset({"call_tool", "call_tool_resilient", "call_tools_parallel", "call_llm", "ToolChain"})
"""May be called and nothing else: no alias, no argument, so that the tools of a program can be read from its text."""
