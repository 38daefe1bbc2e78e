"""Job files: what they can say, and that every mistake is named with its line."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from seer_integration.errors import JobFileError, PlanError
from seer_integration.jobfile import JobFile, read
from seer_integration.operations import (
    OPERATIONS,
    Aggregate,
    Collect,
    Distinct,
    Filter,
    Groupby,
    Join,
    Limit,
    Sample,
    Scan,
    Select,
    Sort,
    Transform,
    Union,
    Write,
)

EXAMPLES = Path(__file__).parents[3] / "examples" / "jobs"
JOIN = """\
stages:
  1:
    - Scan: {file: a.csv, header: true}
  right side:
    - Scan: b.csv
  joined:
    after: [1, right side]
    operations:
      - Join: shop
      - Collect
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.yaml"


def stage(*steps: str) -> str:
    """A job of one stage."""
    return "\n".join(["stages:", "  all:", "    - Scan: in.csv", *(f"    - {step}" for step in steps), ""])


def made(path: Path, text: str, **parameters: str) -> JobFile:
    path.write_text(text, encoding="utf-8")
    return read(path, parameters)


def operations(path: Path, *steps: str, **parameters: str) -> list[Any]:
    """The operations of a stage after its Scan."""
    return list(made(path, stage(*steps), **parameters).stages[0].operations[1:])


def mistakes(path: Path, text: str | bytes, **parameters: str) -> list[tuple[int, str]]:
    """(line, reason) of each mistake; line 0 for those of none."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(JobFileError) as caught:
        read(path, parameters)
    found = []
    for sentence in str(caught.value).splitlines():
        where, _, reason = sentence.removeprefix(str(path)).partition(": ")
        found.append((int(where.removeprefix(", line ") or 0), reason))
    assert caught.value.args[:2] == (str(path), found[0][0])
    return found


def test_stages_have_names_or_numbers_and_know_their_lines(path: Path) -> None:
    job = made(path, JOIN)
    assert [(each.name, each.line, each.after) for each in job.stages] == [
        (1, 2, ()),
        ("right side", 4, ()),
        ("joined", 6, (1, "right side")),
    ]
    assert job.stages[2].operations == (Join("shop"), Collect())
    assert job.stages[2].lines == (9, 10)
    assert job.collected == ("joined",)
    assert made(path, JOIN.replace("- Collect", "- Distinct")).collected == ("joined",)
    assert made(path, JOIN.replace("- Collect", "- Write: out")).collected == ()
    assert list(job.graph().children[1]) == ["joined"]


def test_operations_have_short_forms(path: Path) -> None:
    steps = ["Filter: price > 10", "Select: [a, b]", "Select: {c: a * b}", "Select: {columns: [c]}", "Sample: 0.5",
             "Sort: c", "Limit: 10", "Write: out/", "Collect"]  # fmt: skip
    assert operations(path, *steps) == [
        Filter("price > 10"),
        Select(["a", "b"]),
        Select({"c": "a * b"}),
        Select(["c"]),
        Sample(0.5),
        Sort("c"),
        Limit(10),
        Write(key="out/"),
        Collect(),
    ]


def test_names_of_columns_are_texts_as_they_are_written(path: Path) -> None:
    """Not numbers and truth values, which YAML takes them for."""
    assert operations(path, "Sort: 0", "Select: [0, no, 1.50]", "Groupby: {key: [yes]}", "Distinct: {columns: 1}") == [
        Sort("0"),
        Select(["0", "no", "1.50"]),
        Groupby(["yes"]),
        Distinct("1"),
    ]
    job = made(path, "stages: {all: [Scan: {file: 2024, bucket: 007, names: [on, off], quote: null}]}")
    assert job.stages[0].operations == (Scan("2024", "007", names=["on", "off"], quote=None),)


def test_aggregates_and_indexes(path: Path) -> None:
    found = operations(
        path, "Aggregate: {by: city, values: {sold: [sum, 0], rows: count}}", "Write: {key: out, index: true}"
    )
    assert found == [Aggregate({"sold": ("sum", "0"), "rows": "count"}, "city"), Write(key="out", index=True)]
    (write,) = operations(path, "Write: {key: out, index: [city]}")
    assert write.index == ("city",)


def test_the_rest_of_the_job(path: Path) -> None:
    text = """
name: a-name
confidential: true
policy: fastest
profile: {deadline_s: 60, input_bytes: 5 GB}
storage: minio
lithops: {lithops: {backend: shm}, minio: {endpoint: here}}
"""
    job = made(path, stage() + text)
    assert (job.name, job.confidential, job.policy) == ("a-name", True, "fastest")
    assert job.profile is not None
    assert (job.profile.deadline_s, job.profile.input_bytes) == (60, 5_000_000_000)
    wanted = {"lithops": {"backend": "shm", "storage": "minio"}, "minio": {"endpoint": "here"}}
    assert job.config() == wanted
    assert job.config({"lithops": {"backend": "localhost"}}) == {
        "lithops": {"backend": "localhost", "storage": "minio"}
    }


def test_a_configuration_can_be_another_file(path: Path) -> None:
    path.with_name("lithops.yaml").write_text("lithops: {backend: shm}\n")
    assert made(path, stage() + "lithops: lithops.yaml\n").config() == {"lithops": {"backend": "shm"}}
    assert made(path, stage()).config() is None
    ((line, reason),) = mistakes(path, stage() + "lithops: other.yaml\n")
    assert line == 4
    assert str(path.with_name("other.yaml")) in reason


PARAMETERS = """\
parameters:
  input:
  rows: 10
  columns: [a, b]
  output: ${input}/out
stages:
  all:
    - Scan: ${input}/$${x}.csv
    - Filter: a > ${rows} AND b = '${input}'
    - Select: ${columns}
    - Limit: {rows: "${rows}"}
    - Write: ${output}
"""


def test_parameters_have_defaults_and_kinds(path: Path) -> None:
    assert made(path, PARAMETERS, input="in").stages[0].operations == (
        Scan("in/${x}.csv"),
        Filter("a > 10 AND b = 'in'"),
        Select(["a", "b"]),
        Limit(10),
        Write(key="in/out"),
    )
    found = made(path, PARAMETERS, input="no", rows="3", columns="[0]").stages[0].operations
    assert found[:4] == (Scan("no/${x}.csv"), Filter("a > 3 AND b = 'no'"), Select(["0"]), Limit(3))


def test_here_is_where_the_file_is(path: Path) -> None:
    (scan,) = made(path, "stages: {all: [Scan: '${here}/in.csv']}").stages[0].operations
    assert scan == Scan(str(path.with_name("in.csv")))


def test_wrong_parameters(path: Path) -> None:
    assert mistakes(path, PARAMETERS.replace("${columns}", "${colums}"), rosw="3") == [
        (0, "--set rosw: there is no parameter 'rosw'; did you mean 'rows'?"),
        (2, "the parameter 'input' has no value; give it with --set input=..."),
        (10, "there is no parameter 'colums'; did you mean 'columns'?"),
    ]
    ((line, reason),) = mistakes(path, PARAMETERS.replace("${input}/$", "${columns}/$"), input="x")
    assert (line, "'columns' is not a text" in reason) == (8, True)
    ((line, reason),) = mistakes(path, "parameters: {here: /}\n" + stage())
    assert (line, "'here' cannot name a parameter" in reason) == (1, True)
    assert mistakes(path, "parameters: [a]\n" + stage())[0][0] == 1


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("Fliter: a > 1", "there is no operation 'Fliter'; did you mean 'Filter'?"),
        ("sort: a", "did you mean 'Sort'?"),
        ("Sort: {keys: a}", "did you mean 'key'?"),
        ("Sort: {key: }", "Sort: key has no value"),
        ("Sort", "'key'"),
        ("Limit: many", "is not a whole number"),
        ("Limit: {rows: 3, descending: maybe}", "'maybe' is neither true nor false"),
        ("Write: {key: out, format: parket}", "did you mean 'parquet'?"),
        ("Aggregate: {values: {total: [summ, price]}}", "did you mean 'sum'?"),
        ("Aggregate: {values: total}", "is not a mapping"),
        ("Collect: {rows: 3}", "is no parameter"),
        ("Collect: 3", "is no parameter"),
        ("Filter: price >> 10", "'price >> 10'"),
        ("Filter: [a, b]", "is not an expression"),
        ("Select: {a: [b]}", "is not an expression"),
        ("Select: {a: b +}", "'b +'"),
        ("[Collect]", "a step is one operation"),
        ("{Sort: a, Collect: }", "a step is one operation"),
        ("Transform: clean", "write module:function"),
        ("Transform: {action: 'json:dump s'}", "write module:function"),
        ("Transform: json:dupms", "did you mean 'dumps'?"),
        ("Reduce: no_such_module_here:f", "there is no module 'no_such_module_here'"),
    ],
)
def test_wrong_operations_are_named_with_their_line(path: Path, step: str, reason: str) -> None:
    ((line, found),) = mistakes(path, stage("Distinct", step))
    assert line == 5
    assert reason in found


def test_the_line_is_that_of_the_parameter(path: Path) -> None:
    text = stage(
        "Scan:\n        file: x\n        malformed: ignore", "Aggregate:\n        values:\n          a: [man, b]"
    )
    assert [line for line, _ in mistakes(path, text)] == [6, 9]


def test_parameters_that_are_not_indented_far_enough(path: Path) -> None:
    ((line, reason),) = mistakes(path, stage("Sort:\n      key: a"))
    assert (line, "indented further" in reason) == (4, True)


def test_all_mistakes_of_a_file_are_reported_in_the_order_of_their_lines(path: Path) -> None:
    text = """\
stagse: {}
confidential: perhaps
policy: fastets
profile: {deadlines: 3, functions: 0}
stages:
  a:
    after: [b, c]
    operations:
      - Sort: {key: x, kye: y}
  b:
    oprations: []
  a: []
"""
    assert [line for line, _ in mistakes(path, text)] == [1, 2, 3, 4, 4, 7, 9, 11, 12]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 0, "no section `stages`"),
        ("- a\n", 1, "no section `stages`"),
        ("name: x\n", 1, "there are no stages"),
        ("stages: []\n", 1, "mapping of names"),
        ("stages: {a: Scan}\n", 1, "is a list of operations"),
        ("stages:\n  a: [Scan: x\n", 3, "is not YAML"),
        ("stages:\n\ta: x\n", 2, "is not YAML"),
        ("a: 1\n---\nb: 2\n", 2, "is not YAML"),
        ("a: &x [*x]\n", 1, "contains itself"),
        ("a: !!python/object/apply:os.system [ls]\n", 1, "is not allowed"),
        ("a: !x y\n", 1, "is not allowed"),
        ("? [a, b]\n: c\n", 1, "a key has to be a name"),
        (b"a: b\nc: \xff\n", 2, "is not UTF-8"),
        ("a: b\nc: \x07\n", 2, "is not allowed in YAML"),
        ("[" * 1_000, 0, "nested too deeply"),
        ("confidential: !!bool x\n" + stage(), 1, ""),
        ("name: a name\n" + stage(), 1, "is not of letters"),
        ("lithops: [a]\n" + stage(), 1, "neither a configuration nor the path"),
    ],
)
def test_what_is_no_job_file(path: Path, text: str | bytes, line: int, reason: str) -> None:
    found = mistakes(path, text)
    assert (line, True) in [(at, reason in each) for at, each in found]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (JOIN.replace("[1, right side]", "[1, rihgt side]"), 7, "did you mean 'right side'?"),
        (JOIN.replace("[1, right side]", "[1]"), 6, "two parents"),
        (JOIN.replace("Join: shop", "Union") + "  unused: [Scan: c.csv]\n", 11, "add Write or Collect"),
        ("stages:\n  a: {after: b, operations: [Distinct]}\n  b: {after: a, operations: [Distinct]}\n", 2, "circle"),
        ("stages:\n  a:\n    - Sort: 0\n", 2, "has to begin with Scan"),
        ("stages:\n  a: []\n", 2, "no operations"),
    ],
)
def test_stages_that_do_not_fit_together(path: Path, text: str, line: int, reason: str) -> None:
    ((at, found),) = mistakes(path, text)
    assert at == line
    assert reason in found


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("stage 1", 2),
        ("stage joined, Join", 9),
        ("stage joined, Filter", 6),
        ("Join", 9),
        ("Filter", 0),
        ("stage 3, Filter", 0),
        ("the job", 0),
    ],
)
def test_errors_of_the_plan_are_at_the_line_they_name(path: Path, where: str, line: int) -> None:
    job = made(path, JOIN.replace("- Collect", "- Filter: a > 1\n      - Filter: b > 1"))
    assert job.located(PlanError(where, "a reason")).args == (str(path), line, f"{where}: a reason")


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(JobFileError, match="cannot be read: No such file"):
        read(path)


@pytest.fixture
def functions(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module beside the job file; gives its name."""
    name = f"functions_of_{path.parent.name}"
    monkeypatch.setattr(sys, "path", [*sys.path])
    path.with_name(f"{name}.py").write_text("def double(frame, by=2):\n    return frame * by\n")
    yield name
    if (module := sys.modules.pop(name, None)) is not None:
        cloudpickle.unregister_pickle_by_value(module)


def test_functions_lie_beside_the_job_file_and_travel_by_value(path: Path, functions: str) -> None:
    place = f"'{functions}:double'"
    (transform,) = operations(path, f"Transform: {{action: {place}, arguments: {{by: 3}}, library: arrow}}")
    assert isinstance(transform, Transform)
    assert (transform.action(2, **transform.arguments or {}), transform.library) == (6, "arrow")
    assert b"_make_function" in cloudpickle.dumps(transform.action)


def test_a_module_that_cannot_be_imported(path: Path, functions: str) -> None:
    path.with_name(f"{functions}.py").write_text("import no_such_module_at_all\n")
    assert "No module named 'no_such_module_at_all'" in mistakes(path, stage(f"Transform: {functions}:f"))[0][1]
    path.with_name(f"{functions}.py").write_text("1 / 0\n")
    assert "ZeroDivisionError" in mistakes(path, stage(f"Transform: {functions}:f"))[0][1]


@pytest.mark.parametrize("name", ["terasort", "sales"])
def test_the_examples_are_valid_and_short(name: str) -> None:
    file = EXAMPLES / f"{name}.yaml"
    assert read(file, {"input": "x"} if name == "terasort" else {}).stages
    assert len(file.read_text().splitlines()) < 40


def test_the_job_file_of_the_documentation_is_valid(path: Path) -> None:
    documentation = (Path(__file__).parents[3] / "docs" / "seer.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", documentation, re.DOTALL)
    assert [each.name for each in made(path, text).stages] == ["sales", "shops", "cities"]
    for name in OPERATIONS:
        assert f"| `{name}(" in documentation


def test_operations_of_several_parents(path: Path) -> None:
    job = made(path, JOIN.replace("Join: shop", "Union"))
    assert job.stages[2].operations[0] == Union()
