"""The Store as others see it: one light class."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "faiss", "peft", "sentence_transformers", "fastapi", "pandas")


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = (
        f"import sys, memory.store, memory.index; print([m for m in {HEAVY} if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
