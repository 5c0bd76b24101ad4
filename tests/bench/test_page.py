"""The page of a result: what it says first, what it shows, and that nothing in a result can do more than be shown."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from edge_rai.bench.page.document import page
from edge_rai.bench.page.summary import sentences
from edge_rai.bench.result import Machine, Result, SubjectFacts
from edge_rai.bench.saving import save, to_json
from edge_rai.cli import main
from edge_rai.cli.bench_text import lines_of_result
from support.bench_pages import everything, result_of, server, single_stream

HOSTILE = "</title></style><script>alert(1)</script>\"' onload=x &amp; \u202e\udcff\x00\x1b[31m"
SVG = "{*}svg"


@pytest.fixture(scope="module")
def full() -> Result:
    return everything()


def parsed(result: Result) -> ET.Element:
    """As XML, which forgives nothing: a tag left open or a character not escaped is an error."""
    return ET.fromstring(page(result).decode().removeprefix("<!DOCTYPE html>"))


def texts(root: ET.Element, tag: str) -> list[str]:
    return ["".join(element.itertext()) for element in root.iter(tag)]


def test_the_page_needs_nothing_but_itself(full: Result) -> None:
    root, text = parsed(full), page(full).decode()
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & {element.tag for element in root.iter()}
    assert not {name for element in root.iter() for name in element.attrib if name in ("src", "href", "style")}
    assert not [name for element in root.iter() for name in element.attrib if name.startswith("on")]
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in next(meta for meta in root.iter("meta") if "http-equiv" in meta.attrib).get(
        "content"
    )


def test_every_part_of_a_result_has_its_section(full: Result) -> None:
    found = texts(parsed(full), "h2")
    expected = ["Before you rely on it", "Latency", "Beside each other", "What each safeguard costs", "Accuracy"]
    expected += ["Over time", "Rows a second", "Highest rate", "Beside latency", "The machine"]
    assert set(found) == set(expected)


def test_what_was_not_measured_has_no_section() -> None:
    bare = replace(result_of(single_stream(duration_s=2)), subjects=[], machine=Machine({}, {}, [], {}), warnings=[])
    found = texts(parsed(bare), "h2")
    assert not {"Accuracy", "Rows a second", "Highest rate", "Beside latency", "Before you rely on it"} & set(found)


def test_each_drawing_says_what_it_is_and_has_its_numbers_in_a_table(full: Result) -> None:
    figures = list(parsed(full).iter("figure"))
    assert len(figures) >= 8
    for figure in figures:
        drawings = [svg for svg in figure.iter("svg") if svg.get("role") == "img"]
        assert drawings
        for drawing in drawings:
            title, description = drawing.find("title"), drawing.find("desc")
            assert title is not None
            assert title.text
            assert description is not None
            assert description.text
        assert figure.find("details") is not None
        assert len(list(figure.find("details").iter("td"))) > 3


def test_throttling_is_marked_where_it_began(full: Result) -> None:
    root = parsed(full)
    (slow,) = (shape for shape in root.iter("rect") if shape.get("class") == "slow")
    assert float(slow.get("x").rstrip("%")) == pytest.approx(50, abs=8)
    assert any("throttling: 1.3" in note for note in texts(root, "span"))


def section_of(root: ET.Element, title: str) -> ET.Element:
    (found,) = (section for section in root.iter("section") if section.findtext("h2") == title)
    return found


def test_the_line_over_accuracy_joins_the_models_that_no_other_one_beats_in_both(full: Result) -> None:
    best, smallest = full.subjects
    beaten = deepcopy(replace(best, name="beaten.erai"))
    beaten.facts["accuracy"] |= {"value": 0.90, "low_95": 0.88, "high_95": 0.92}
    beaten.facts["file"]["model_bytes"] = 30_000
    section = section_of(parsed(replace(full, subjects=[best, beaten, smallest])), "Accuracy")
    lines = [path.get("d") for path in section.iter("path") if path.get("class") == "front"]
    of_size = [float(dot.get("cx").rstrip("%")) for dot in section.iter("circle")][-3:]
    joined = [float(place.split()[0]) for place in lines[1][1:].split("L")]
    assert len(lines) == 2
    assert joined == pytest.approx([of_size[2], of_size[0]], abs=0.1)


def test_the_machine_is_told_before_during_and_after(full: Result) -> None:
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in section_of(parsed(full), "The machine").iter("tr")}
    assert rows["clock of the fastest core"] == ["2,000 MHz", "1,994 MHz to 1,998 MHz", "1,900 MHz"]
    assert rows["temperature of the hottest zone"] == ["45 °C", "52 °C to 56 °C", "58 °C"]
    assert rows["processor time of others"] == ["3.0%"] * 3
    assert rows["governor"] == ["performance"] * 3


def test_each_safeguard_has_its_price(full: Result) -> None:
    section = section_of(parsed(full), "What each safeguard costs")
    names = [span.text for span in section.iter("span") if span.get("class") == "name"]
    assert sorted(names) == ["all of them", "distance", "ranges"]
    assert len([line for line in section.iter("rect") if "bar" in line.get("class", "")]) >= len(names)


def test_the_first_sentence_names_the_fastest_and_says_that_it_is_sure() -> None:
    scenario = single_stream(duration_s=4)
    first, *others = sentences(result_of(scenario))
    assert first.startswith(
        "int8.erai bare-python is the fastest of 3 beyond doubt: half of its queries take at most 40"
    )
    assert others[0].startswith("int8.erai is faster than float.erai beyond doubt: 0.50 times the latency (0.")
    assert others[1].startswith("int8.erai is slower than int8.erai bare-python beyond doubt: 1.3")
    assert "all safeguards together cost 1" in others[2]
    assert "the dearest one is distance" in others[2]
    assert (
        others[3]
        == "The best accuracy is that of float.erai, 97.00\u00a0% (95.00 to 98.00); that of int8.erai is worse beyond "
        "doubt."
    )


def test_who_cannot_be_told_apart_only_seems_the_fastest() -> None:
    scenario = single_stream(duration_s=4)
    unsure = [replace(ratio, low_99=0.9, high_99=1.1, verdict="cannot tell") for ratio in scenario.ratios]
    scenario = replace(scenario, ratios=unsure)
    first, second, *_ = sentences(result_of(scenario))
    assert " seems the fastest of 3: " in first
    assert second.startswith("Whether int8.erai or float.erai is faster, nobody can tell from this run: ")


def test_what_few_processes_may_be_off_by_is_said_where_it_keeps_from_a_verdict() -> None:
    scenario = single_stream(duration_s=4)
    near = replace(scenario.ratios[0], low_95=0.961, high_95=0.971, low_99=0.96, high_99=0.972, verdict="cannot tell")
    found = result_of(replace(scenario, ratios=[near]))
    assert "0.96 to 0.97 times, and fewer than 8 processes may be off by 5 %." in list(sentences(found))[1]
    shown = "".join(parsed(found).itertext())
    assert "): cannot tell within 5 %" in shown
    assert "holds 1, nobody can tell; nor, of fewer than 8 processes, where it comes within 5 % of 1." in shown
    report = " ".join("\n".join(lines_of_result(found)).split())
    assert "0.961 to 0.971" in report
    assert "cannot tell within 5 % cannot tell within 5 %: fewer than 8 processes" in report


def test_a_guard_that_rejected_rows_is_faster_than_nobody() -> None:
    found = result_of(single_stream(duration_s=4))
    unfair = replace(found, warnings=["int8.erai: the guard rejected 3 of the 9 rows, so this is no fair comparison"])
    said = list(sentences(unfair))
    assert not any("beyond doubt: 0." in one or "the fastest of 3 beyond doubt" in one for one in said)
    assert said[0].startswith("Who is the fastest of 3 cannot be said: the guard of int8.erai rejected rows")
    assert "int8.erai beside float.erai is no fair comparison" in said[1]
    assert said[3].startswith("What safeguards cost in int8.erai cannot be said")
    for report in ("".join(parsed(unfair).itertext()), "\n".join(lines_of_result(unfair))):
        assert "no fair comparison" in report
        assert " faster" not in report.partition("a fresh process")[0].replace("left of 1 faster", "")


def test_a_steady_machine_a_throttled_one_and_a_run_cut_short_are_told_apart() -> None:
    found, throttled = result_of(single_stream(duration_s=4)), result_of(single_stream(slows_down=1.3))
    assert list(sentences(found))[-1].startswith("The machine was steady")
    assert list(sentences(throttled))[-1] == "The machine was not steady: float.erai slowed down during the run."
    warned = list(sentences(replace(found, warnings=["hot"])))[-1]
    assert "read the warnings before" in warned, "the terminal has them above, the page below"
    assert "cut short: these" in list(sentences(replace(found, complete=False)))[-1]


def test_a_server_that_keeps_no_rate_says_so() -> None:
    scenario = server()
    kept, none, *_ = sentences(result_of(scenario))
    assert kept == "float.erai answers 800 queries a second, arriving at random, with p99 of latency within 10\u00a0ms."
    assert none == "int8.erai keeps p99 of latency within 10\u00a0ms at no rate that was tried."


def test_a_hostile_name_is_shown_and_does_nothing() -> None:
    plain = result_of(single_stream(duration_s=2))
    hostile = result_of(
        single_stream(models=(HOSTILE, f"{HOSTILE} without all"), duration_s=2),
        models=(HOSTILE, f"{HOSTILE} without all"),
    )
    root = parsed(replace(hostile, warnings=[HOSTILE], program=HOSTILE, command=[HOSTILE]))
    assert {element.tag for element in root.iter()} <= {element.tag for element in parsed(plain).iter()} | {"div", "ul"}
    shown = next(name for name in texts(root, "span") if name.startswith("</title>"))
    assert shown.startswith("</title></style><script>alert(1)</script>\"' onload=x &amp; \ufffd\ufffd\ufffd\ufffd[31m")


def test_numbers_that_are_none_are_not_shown_as_such() -> None:
    odd = {"file": {"bytes": "many", "model_bytes": True}, "accuracy": {"metric": 3, "value": None}, "per_call": {}}
    odd |= {"cold_start": {"total_ns": 10**400}}
    machine = Machine(
        {"cpu": 5, "cores": None, "versions": [1]}, {"frequency_mhz": ["fast"]}, [{}], {"load_1m": "high"}
    )
    found = replace(result_of(single_stream(duration_s=2)), subjects=[SubjectFacts("m", odd)], machine=machine)
    cells = texts(parsed(found), "td")
    assert "many" not in cells
    assert "True" not in cells
    assert "not shown" in cells


def test_the_same_result_makes_the_same_page(full: Result) -> None:
    assert page(full) == page(full)


def test_a_run_that_was_cut_before_it_measured_has_a_page() -> None:
    found = replace(result_of(), complete=False)
    assert "cut short, before it measured" in "".join(parsed(found).itertext())


def test_a_saved_result_becomes_a_page_beside_it(
    full: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "run.json", full)
    assert main(["bench", "page", str(tmp_path / "run.json")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run.html")
    assert main(["bench", "page", str(tmp_path / "run.json"), "--html", str(tmp_path / "b.html")]) == 0
    assert (tmp_path / "run.html").read_bytes() == (tmp_path / "b.html").read_bytes() == page(full)


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["bench", "page", *map(str, arguments)]) in (2, 4)
    error = capsys.readouterr().err
    assert error.startswith("edge-rai: ")
    assert error.count("\n") == 1
    return error


def test_what_is_no_result_is_refused_in_one_sentence(
    full: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    save(saved, full)
    assert "No such file" in said(capsys, tmp_path / "absent.json")
    assert "expected one saved result" in said(capsys, saved, saved)
    assert "ends in .html" in said(capsys, saved, "--html", tmp_path / "page.txt")
    assert "there is no such directory" in said(capsys, saved, "--html", tmp_path / "absent" / "page.html")
    save(saved, replace(full, scenarios=[]))
    assert "run.json: nothing was measured before this run ended" in said(capsys, saved)
    damaged = json.loads(to_json(full))
    damaged["scenarios"][0]["series"][0]["histogram"] = "AAAA"
    saved.write_text(json.dumps(damaged))
    assert "the histogram of float.erai: this is no HdrHistogram" in said(capsys, saved)
    damaged = json.loads(to_json(full))
    damaged["scenarios"][0]["series"][0]["blocks"]["round"].pop()
    saved.write_text(json.dumps(damaged))
    assert "series[0].blocks: its three lists differ in length" in said(capsys, saved)
    damaged = json.loads(to_json(full))
    damaged["scenarios"][0]["series"][0]["max_ns"] = 10**400
    saved.write_text(json.dumps(damaged))
    assert "holds numbers that no run gives" in said(capsys, saved)
    saved.write_bytes(b"\xff\xfe")
    assert "this is no JSON" in said(capsys, saved)
    saved.write_text(re.sub(r'"ratio": [\d.e-]+', '"ratio": 1e999', to_json(full), count=1))
    assert "run.json: " in said(capsys, saved)
