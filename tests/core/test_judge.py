"""The judge finds each kind of mistake by its own rule, and says what it could not decide."""

import pytest

from code_evolver.core.compose import compose
from code_evolver.core.judge import CHECKS, MENDS, judge
from code_evolver.core.judge_seen import covers_whole, pair_keys
from code_evolver.core.preamble import PREAMBLE
from code_evolver.core.proof_cases import cases
from code_evolver.core.task_types import TASK_TYPES
from code_evolver.core.trials import Run
from code_evolver.edges.trial import ChildTrials
from tests.honest_nodes import HONEST as HAND_WRITTEN

PAIRS = [{"from": "en", "to": "fr"}, {"from": "de", "to": "it"}]
TOOLS = ("summarizer", "quick_translator")
SAMPLE = {"id": "s-1", "content": "The Harbour opened.", "translationLanguages": PAIRS}
ROW = TASK_TYPES["summarize"]
HONEST = compose(ROW, translations=True, fields=("content",)).decode()


def verdict(code, sample=SAMPLE, row=ROW, tools=TOOLS, **given):
    tried = cases(row, sample, tools)
    trial = ChildTrials().run(code.encode(), tried, tools)
    assert not trial.failed
    return judge(row, tried, trial.runs, allowed_tools=tools, **given)


def rules(found):
    return {finding.rule for finding in found.findings}


WRONG = [
    ("one-json-document", "    print(json.dumps(document", "    print('working')\n    print(json.dumps(document"),
    ("one-json-document", "    print(json.dumps(document, ensure_ascii=False))", "    print('{\"result\": 1, \"result\": 2}')"),
    ("one-json-document", "    print(json.dumps(document, ensure_ascii=False))", "    print('{\"result\": NaN}')"),
    ("one-json-document", "print(json.dumps(document, ensure_ascii=False))", "pass"),
    ("exit-status", "sys.exit(status)", "sys.exit(0)"),
    ("exit-status", "sys.exit(status)", "sys.exit(1)"),
    ("output-keys", '{"result": call_tool("summarizer", text)}', '{"summary": call_tool("summarizer", text), "result": None}'),
    ("output-keys", "print(json.dumps(document,", "print(json.dumps([document],"),
    ("output-keys", '"task_type": TASK_TYPE}', '"task_type": TASK_TYPE, "error": None}'),
    ("wrong-translations", "        if pairs:\n", "        if not pairs:\n            document['translations'] = {'fr': 'x'}\n        else:\n"),
    ("wrong-translations", 'document["translations"] = ', 'document["languages"] = '),
    ("task-id", 'task.get("id", "")', '"s-1"'),
    ("task-type", '"task_type": TASK_TYPE', '"task_type": "summary"'),
    ("failure-object", '"success": False, ', ""),
    ("failure-object", '"code": code', '"code": str(error)'),
    ("failure-object", "{**document, ", '{"result": "Sorry", **document, '),
    ("text-not-whole", 'call_tool("summarizer", text)', 'call_tool("quick_translator", text)'),
    ("text-not-whole", 'call_tool("summarizer", text)', 'call_tool("summarizer", text[:19000])'),
    ("text-not-whole", 'call_tool("summarizer", text)', 'call_tool("summarizer", text.lower())'),
    ("asked-twice", 'document = {"result"', 'call_tool("summarizer", text)\n        document = {"result"'),
    ("pair-missing", "for source, target in pairs]\n    )", "for source, target in pairs[:1]] * len(pairs)\n    )"),
    ("pair-twice", "answers = call_tools_parallel(", "call_tool('quick_translator', text, source_language=pairs[0][0], target_language=pairs[0][1])\n    answers = call_tools_parallel("),
    ("pair-unknown", '"source_language": source, "target_language": target', '"source_language": target, "target_language": source'),
    ("pair-text", 'translate(document["result"], pairs)', "translate(text, pairs)"),
    ("wrong-result", 'call_tool("summarizer", text)}', 'call_tool("summarizer", text)[:8]}'),
    ("wrong-translations", "zip(names, answers", "zip(names, answers[::-1]"),
    ("wrong-translations", "names = [to if", "names = [source if"),
    ("same-output", '{"result": call_tool("summarizer", text)}', '{"result": ["fixed", call_tool("summarizer", text)][0]}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "right", "wrong"), WRONG, ids=[f"{rule} {number}" for number, (rule, *_) in enumerate(WRONG)]
)
def test_a_mistake_is_found_by_its_rule_and_comes_with_a_way_to_mend_it(rule, right, wrong):
    assert right in HONEST
    found = verdict(HONEST.replace(right, wrong))
    assert rule in rules(found)
    assert all(finding.mend and finding.message.endswith(".") for finding in found.findings)
    failed = {check.name for check in found.checks if not check.passed}
    assert failed == {name for name, covered in CHECKS.items() if rules(found) & set(covered)}


def test_every_rule_has_a_mend_and_belongs_to_one_check():
    listed = [rule for covered in CHECKS.values() for rule in covered]
    assert sorted(listed) == sorted(MENDS)


def test_a_crash_is_told_with_what_it_said():
    found = verdict(HONEST.replace("text, pairs = ", "task['nothing']\n        text, pairs = "))
    message = next(finding.message for finding in found.findings if finding.rule == "exit-status")
    assert "KeyError" in message
    assert "Case 'sample'" in message


def test_a_tool_of_another_type_is_found():
    sample = {"content": "The Harbour opened."}
    code = compose(ROW, translations=False, fields=("content",)).decode()
    wrong = code.replace('document = {"result"', 'call_tool("quick_translator", "x")\n        document = {"result"')
    assert rules(verdict(wrong, sample)) == {"tool-of-another-type"}


def test_tools_beside_the_plan_are_found():
    assert rules(verdict(HONEST, planned_tools=("summarizer",))) == {"tool-not-planned"}
    assert rules(verdict(HONEST, planned_tools=TOOLS)) == set()


def test_a_tool_that_is_not_allowed_is_found_even_where_the_trial_let_it_through():
    tried = cases(ROW, SAMPLE)
    trial = ChildTrials().run(HONEST.encode(), tried, TOOLS)
    assert "tool-not-allowed" in rules(judge(ROW, tried, trial.runs, allowed_tools=("summarizer",)))


def test_a_field_that_does_not_reach_the_tool_is_found():
    sample = {"content": "The Harbour opened.", "tone": "dry"}
    without = compose(ROW, translations=False, fields=("content",)).decode()
    assert rules(verdict(without, sample)) == {"field-ignored"}
    assert rules(verdict(compose(ROW, translations=False, fields=("content", "tone")).decode(), sample)) == set()


def test_names_of_pairs_that_share_a_target_count_only_where_the_sample_has_such_pairs():
    plain = HONEST.replace(
        'names = [to if targets.count(to) == 1 else f"{source}-{to}" for source, to in pairs]', "names = targets"
    )
    assert plain != HONEST
    found = verdict(plain)
    assert (rules(found), found.covers["shared_target"]) == (set(), False)
    assert verdict(HONEST).covers["shared_target"]
    shared = {**SAMPLE, "translationLanguages": [{"from": "en", "to": "fr"}, {"from": "de", "to": "fr"}]}
    assert rules(verdict(plain, shared)) == {"wrong-translations"}


@pytest.mark.parametrize(("change", "said"), [("signal", "killed"), (None, "no run")])
def test_a_run_that_the_system_killed_or_that_is_missing_is_not_judged(change, said):
    tried = cases(ROW, SAMPLE)
    runs = list(ChildTrials().run(HONEST.encode(), tried, TOOLS).runs)
    last = runs.pop()
    if change:
        runs.append(Run(last.case, None, b"", "", (), "signal", 0.1))
    found = judge(ROW, tried, runs, allowed_tools=TOOLS)
    assert said in found.undecided
    assert (found.findings, found.checks) == ((), ())


def test_a_program_that_never_ends_is_found_with_the_reason():
    tried = cases(ROW, SAMPLE)
    runs = [Run(case.name, None, b"", "", (), "wall", 5.0) for case in tried]
    found = judge(ROW, tried, runs, allowed_tools=TOOLS)
    assert "stopped (wall)" in next(finding.message for finding in found.findings if finding.rule == "stopped")


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_an_honest_program_in_another_style_has_no_finding(name):
    kind, sample, code = HAND_WRITTEN[name]
    row = TASK_TYPES[kind]
    assert rules(verdict(code, sample, row, [tool for tool in (row.tool, row.pair_tool) if tool])) == set()


SMALL = HAND_WRITTEN["summarize small"]
PIECES = """
        parts = [data["content"][at:at + 6000] for at in range(0, len(data["content"]), 6000)] or [""]
        answers = [call_tool("summarizer", part) for part in parts]
        answer = answers[0] if len(answers) == 1 else call_tool("summarizer", "Join: " + " ".join(answers))
"""


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("6000", "7000"), set()),
        (("at + 6000", "at + 5999"), {"text-not-whole"}),
        (('"Join: " + " ".join(answers)', '"Join: " + answers[0]'), {"wrong-result"}),
    ],
)
def test_a_long_text_may_reach_the_tool_in_pieces_whose_answers_are_all_used(change, found):
    code = SMALL[2].replace(
        '\n        answer = call_tool("summarizer", data["content"], audience=data.get("audience", ""))\n', PIECES
    )
    assert "Join" in code
    assert rules(verdict(code.replace(*change), {"content": "The Harbour opened."})) == found


def test_a_program_may_answer_an_empty_text_with_nothing_and_without_a_tool():
    line = "    try:\n        answer = call_tool("
    assert line in SMALL[2]
    code = SMALL[2].replace(
        line,
        '    if not data["content"]:\n        return 0, {"result": "", "task_id": data.get("id", ""), "task_type": "summarize"}\n'
        + line,
    )
    assert rules(verdict(code, SMALL[1])) == set()
    refused = SMALL[2].replace(
        line,
        '    if not data["content"]:\n        return 2, {"success": False, "error": {"code": "bad_input", "message": "x"}}\n'
        + line,
    )
    assert rules(verdict(refused, SMALL[1])) == {"exit-status"}


def translate_verdict(*change):
    code = compose(TASK_TYPES["translate"], translations=True, fields=("content",)).decode()
    assert change[0] in code
    return verdict(code.replace(*change), SAMPLE, TASK_TYPES["translate"], ("nmt_translator",))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("len(pairs) > 1", "len(pairs) > 0"), {"wrong-result"}),
        (("len(pairs) > 1", "len(pairs) > 9"), {"wrong-result"}),
        (('{source}-{target}" for', '{target}-{source}" for'), {"wrong-translations"}),
        (('"nmt_translator", text', '"nmt_translator", text[:100]'), {"pair-text"}),
        (("if not pairs:", "if pairs == 0:"), {"exit-status"}),
    ],
)
def test_mistakes_in_a_translation_are_found(change, found):
    assert rules(translate_verdict(*change)) == found


def test_a_program_that_remembers_earlier_inputs_is_found():
    tried = cases(ROW, SAMPLE)
    runs = list(ChildTrials().run(HONEST.encode(), tried, TOOLS).runs)
    again = runs[1]
    runs[1] = Run(again.case, 0, again.stdout.replace(b"}", b" }"), "", again.calls, "", 0.1)
    assert rules(judge(ROW, tried, runs, allowed_tools=TOOLS)) == {"not-deterministic"}


# ── unknown types ────────────────────────────────────────────────────────────────────────────────────────────────────
UNKNOWN = f'''"""Feel."""
{PREAMBLE}
from node_runtime import ToolError, call_tool


def main():
    status = 0
    try:
        data = json.load(sys.stdin)
        if not isinstance(data, dict) or not isinstance(data.get("content"), str):
            raise ValueError("content must be text")
        document = {{"result": call_tool("feeler", data["content"]), "task_id": data.get("id"), "task_type": "sentiment"}}
    except ValueError as error:
        document, status = {{"success": False, "error": {{"code": "bad_input", "message": str(error)}}}}, 2
    except ToolError as error:
        document, status = {{"success": False, "error": {{"code": error.code, "message": str(error)}}}}, 1
    print(json.dumps(document))
    sys.exit(status)


if __name__ == "__main__":
    main()
'''
FEEL = {"id": "u-1", "content": "I like the Harbour.", "translationLanguages": PAIRS}


def unknown(code):
    return verdict(code, FEEL, None, ("feeler",), task_type="sentiment")


def test_an_honest_program_of_an_unknown_type_passes_and_the_verdict_says_that_it_is_weaker():
    found = unknown(UNKNOWN)
    assert (rules(found), found.weaker) == (set(), True)
    assert found.covers["languages"] == 5
    assert not any("language pair" in check.name for check in found.checks)


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("same-output", 'call_tool("feeler", data["content"])', '"positive"'),
        ("same-output", 'call_tool("feeler", data["content"])', 'call_tool("feeler", "I like the Harbour.")'),
        ("text-not-whole", 'data["content"])', 'data["content"][:500])'),
        ("task-type", '"task_type": "sentiment"', '"task_type": "feeling"'),
        ("task-id", 'data.get("id")', '"u-1"'),
        ("exit-status", "sys.exit(status)", "pass"),
        ("one-json-document", "    print(", "    print(1)\n    print("),
        ("failure-object", '"success": False', '"success": True'),
    ],
)
def test_mistakes_in_a_program_of_an_unknown_type_are_found(rule, right, wrong):
    assert right in UNKNOWN
    assert rule in rules(unknown(UNKNOWN.replace(right, wrong)))


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("prompts", "whole"),
    [
        (["abc def"], True), (["abc ", " def"], True), (["abc", "def"], True), (["abc d", "c def"], True),
        (["abc"], False), (["def", "abc"], False), (["abc", "ef"], False), (["Summary of parts", "abc", "def"], True), ([], False),
    ],
)  # fmt: skip
def test_pieces_make_the_whole_only_where_nothing_between_them_is_lost(prompts, whole):
    assert covers_whole(prompts, "abc def") is whole


def test_pairs_are_named_by_target_and_by_both_where_targets_are_shared():
    pairs = [("en", "fr"), ("de", "fr"), ("en", "it")]
    assert pair_keys(TASK_TYPES["summarize"], pairs) == ["en-fr", "de-fr", "it"]
    assert pair_keys(TASK_TYPES["translate"], pairs[:1]) == ["en-fr"]
