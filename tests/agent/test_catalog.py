from pathlib import Path

import pytest

from agent import catalog
from memory.errors import StateCorrupt, UnknownModel


def test_a_directory_is_its_own_model(tiny_path: Path, tmp_path: Path) -> None:
    assert catalog.resolve(str(tiny_path), tmp_path) == tiny_path


def test_a_study_adapter_comes_with_the_built_in_model_only(tiny_path: Path) -> None:
    adapter = catalog.study_adapter("smollm2-135m")
    assert adapter is not None and (adapter / "adapter_model.safetensors").is_file()
    assert catalog.study_adapter(str(tiny_path)) is None


def test_an_unknown_name_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="built-in name"):
        catalog.resolve("nobody/such-model", tmp_path)


@pytest.mark.model
def test_the_built_in_model_is_converted_once(tmp_path: Path) -> None:
    path = catalog.resolve("smollm2-135m", tmp_path)
    assert catalog.resolve("smollm2-135m", tmp_path) == path
    with (path / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x00")
        file.seek(-2, 2)
        file.write(b"\x7f\x7f")
    with pytest.raises(StateCorrupt, match="altered"):
        catalog.resolve("smollm2-135m", tmp_path)
