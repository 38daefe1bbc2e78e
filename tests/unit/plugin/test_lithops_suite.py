"""What the comparison with Lithops' own suite counts as a loss."""

from lithops_suite import Outcome, compare, selector

PASSED, FAILED, SKIPPED = Outcome("passed"), Outcome("failed"), Outcome("skipped")


def test_only_what_passes_in_the_reference_can_be_lost() -> None:
    reference = {"same": PASSED, "lost": PASSED, "skipped": PASSED, "gone": PASSED, "bad": FAILED, "won": FAILED}
    candidate = {"same": PASSED, "lost": FAILED, "skipped": SKIPPED, "bad": FAILED, "won": PASSED}
    assert compare(reference, candidate) == ["gone", "lost", "skipped"]


def test_a_name_in_a_report_selects_the_test() -> None:
    assert selector("test_map.TestMap.test_x[a.b-1]") == "test_map.py::TestMap::test_x[a.b-1]"
    assert selector("lithops.tests.test_utils.test_y") == "test_utils.py::test_y"
