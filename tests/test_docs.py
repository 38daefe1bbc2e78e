"""The documents say what is there: their code runs, their links lead somewhere, their tables are complete."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from lithops_shm.config import (
    ConfidentialSettings,
    SelectorSettings,
    ShuffleSettings,
    StoreSettings,
    WorkerSettings,
)

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_CODE = [ROOT / "README.md", ROOT / "docs" / "getting-started.md", ROOT / "docs" / "shuffle.md"]
SECTIONS = (StoreSettings, WorkerSettings, ShuffleSettings, ConfidentialSettings, SelectorSettings)


def blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(
    ("document", "number"),
    [(document, number) for document in WITH_CODE for number in range(len(blocks(document)))],
    ids=lambda value: value.name if isinstance(value, Path) else str(value),
)
def test_code_runs_and_prints_what_it_says(document: Path, number: int, tmp_path: Path, cleaner_finishes: None) -> None:
    code = blocks(document)[number]
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    promised = [line.partition("  # ")[2].strip() for line in code.splitlines() if line.lstrip().startswith("print(")]
    assert [line for line in run.stdout.splitlines() if line.strip()] == promised


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_every_setting_is_documented() -> None:
    table = re.findall(
        r"^\| `(\w+)` \|", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    shared = {field.name for field in fields(StoreSettings)} & {field.name for field in fields(ConfidentialSettings)}
    settings = [(section, field.name) for section in SECTIONS for field in fields(section)]
    assert table == [name for section, name in settings if not (section is StoreSettings and name in shared)]


def test_every_make_target_of_the_readme_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for name in re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert name in targets
