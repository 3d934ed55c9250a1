"""What the quick look calls valid compiles; what it does not know is left to the compiler."""

import fastjsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_evolver.core.schema_fit import plainly_valid

values = st.sampled_from(
    [
        "object",
        "string",
        "nothing",
        ["string", "null"],
        [],
        [1],
        {},
        {"a": {"type": "string"}},
        {"a": 1},
        True,
        1,
        0.5,
        None,
        "[",
        "a+",
    ]
)
keys = st.sampled_from(
    ["type", "properties", "items", "required", "enum", "anyOf", "additionalProperties", "pattern", "format", "minLength", "maximum",
     "minItems", "exclusiveMinimum", "default", "$ref", "not"]
)  # fmt: skip
schemas = st.dictionaries(keys, values, max_size=4)


@given(schemas)
@settings(max_examples=300, deadline=None)
def test_a_schema_that_looks_valid_compiles(schema):
    if plainly_valid(schema):
        fastjsonschema.compile(schema, use_default=False, use_formats=False)


@pytest.mark.parametrize(
    ("schema", "plain"),
    [
        (
            {"type": "object", "properties": {"a": {"type": ["string", "null"], "maxLength": 3}}, "required": ["a"]},
            True,
        ),
        ({"type": "text"}, False),
        ({"properties": {"a": {"pattern": "["}}}, False),
        ({"$ref": "http://elsewhere/"}, False),
        ({"type": []}, False),
        ({"type": [["string"]]}, False),
        ({"minLength": 0.5}, False),
    ],
)
def test_the_commonest_keywords_are_known(schema, plain):
    assert plainly_valid(schema) is plain
