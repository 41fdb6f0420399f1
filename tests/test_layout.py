"""The tree that README.md shows is the tree on disk, and what must be light is light."""

import importlib.metadata
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent", "memory", "policies", "service")
HEAVY = ("torch", "transformers", "peft", "faiss", "sentence_transformers", "fastapi", "uvicorn")
TESTED_WITH = {  # modules whose test bears the name of what uses them
    "folder.py": "test_intake.py",
    "watcher.py": "test_intake.py",
    "formats.py": "test_extract.py",
    "markup.py": "test_extract.py",
    "sentences.py": "test_chunking.py",
    "skills.py": "test_practice.py",
    "settings.py": "test_config.py",
    "base.py": "test_registry.py",  # policies/base.py and service/engines/base.py
    "admin.py": "test_http.py",
    "report.py": "test_main.py",
    "options.py": "test_main.py",
    "commands.py": "test_absorb.py",
}


def modules(package: str) -> list[Path]:
    return sorted(
        path.relative_to(ROOT)
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__init__.py"
    )


def test_readme_names_every_module() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^\s+([\w/]+\.py)\s", readme, re.MULTILINE))
    missing = [str(path) for one in PACKAGES for path in modules(one) if path.name not in named]
    assert not missing


def test_readme_names_no_module_that_is_not_there() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"^\s+(\w+\.py)\s", readme, re.MULTILINE))
    known = {path.name for one in PACKAGES for path in modules(one)} | {"__init__.py"}
    assert named and named <= known


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_has_its_test(package: str) -> None:
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    wanted = {path: TESTED_WITH.get(path.name, f"test_{path.name}") for path in modules(package)}
    untested = [str(path) for path, test in wanted.items() if test not in tests]
    assert untested == []


@pytest.mark.parametrize(
    "module",
    [
        "service.config",
        "service.main",
        "service.bench.absorb",
        "memory.store",
        "policies",
        "agent.settings",
    ],
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    check = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_help_comes_at_once() -> None:
    """Under half a second by design; the best of five, and twice that, as machines are noisy."""
    command = [sys.executable, "-m", "service.main", "--help"]

    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(5)) < 1.0


def test_the_names_of_our_packages_are_ours() -> None:
    owners = importlib.metadata.packages_distributions()
    assert {name: set(owners[name]) for name in PACKAGES} == {n: {"learnd"} for n in PACKAGES}


def test_there_are_no_files_at_the_top_that_nobody_expects() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {path.split("/")[0] for path in tracked} <= {
        *PACKAGES, "tests", "examples", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE",
        "Makefile", ".ci", ".gitignore",
    }  # fmt: skip
