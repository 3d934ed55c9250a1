"""What stats show: sums that add up, rates, what reuse saved, and a plot that is well-formed."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

from code_evolver.core.usage_report import cells, date, plot, rows, saved, saved_line, totals


@dataclass(frozen=True)
class Day:
    day: int
    type: str
    outcome: str
    tasks: int
    tokens_in: float = 0
    tokens_out: float = 0
    llm_seconds: float = 0
    llm_calls: float = 0
    repairs: float = 0


DAYS = [
    Day(20000, "summarize", "generated", 2, 100, 50, 3.5, 4, 1),
    Day(20000, "summarize", "reused", 6),
    Day(20001, "translate", "failed", 1, 10, 5, 1.0, 2, 3),
    Day(20001, "translate", "reused", 3),
]


def test_a_row_a_day_and_type():
    first, second = rows(DAYS)
    assert first == {"day": "2024-10-04", "type": "summarize", "tasks": 8, "generated": 2, "reused": 6, "failed": 0, "calls": 4,
                     "tokens_in": 100, "tokens_out": 50, "seconds": 3.5, "repairs": 1, "reuse_rate": 0.75}  # fmt: skip
    assert second["reuse_rate"] == 1.0
    assert second["failed"] == 1


def test_totals_are_the_sums_of_the_rows():
    whole, parts = totals(DAYS), rows(DAYS)
    for key in ("tasks", "generated", "reused", "failed", "calls", "tokens_in", "tokens_out", "repairs"):
        assert whole[key] == sum(row[key] for row in parts)
    assert whole["reuse_rate"] == 0.8182


def test_nothing_done_has_no_rate():
    assert totals([])["reuse_rate"] is None
    assert totals([Day(1, "x", "failed", 1)])["reuse_rate"] is None
    assert cells(rows([Day(1, "x", "failed", 1)]))[0][6] == "-"


def test_days_count_from_1970():
    assert date(0) == "1970-01-01"


def test_what_reuse_saved_goes_by_what_generating_cost():
    found = saved(fresh=4, without=96, calls=8, tokens=4000, seconds=20.0)
    assert found == {"tasks": 96, "of": 100, "calls": 192, "tokens": 96000, "seconds": 480.0}
    assert (
        saved_line(found)
        == "96 of 100 tasks needed no new program: about 192 model calls, 96,000 tokens and 480 s saved"
    )
    assert saved_line(saved(fresh=1, without=2, calls=0, tokens=0, seconds=0)) == "2 of 3 tasks needed no new program"
    assert saved_line(saved(fresh=0, without=0, calls=0, tokens=0, seconds=0)) == ""
    assert saved_line({}) == ""


def test_the_plot_has_a_bar_an_outcome_and_a_line():
    drawn = ET.fromstring(plot(rows(DAYS)))
    ns = "{http://www.w3.org/2000/svg}"
    titles = [one.text for one in drawn.iter(f"{ns}title")]
    assert titles == ["reused: 6", "generated: 2", "reused: 3", "failed: 1"]
    bars = [one for one in drawn.iter(f"{ns}rect") if one.find(f"{ns}title") is not None]
    assert sum(float(bar.get("height", 0)) for bar in bars[:2]) == 240.0
    assert len(list(drawn.iter(f"{ns}polyline"))) == 1


def test_a_plot_of_nothing_or_of_hostile_text_is_well_formed():
    assert ET.fromstring(plot([])) is not None
    assert "polyline" not in plot([])
    many = [Day(day, "<script>", "reused", 1) for day in range(1000)]
    drawn = plot(rows(many))
    assert drawn.count("<title>") == 60
    ET.fromstring(drawn)
