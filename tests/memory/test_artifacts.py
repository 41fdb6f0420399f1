"""An artifact is either exactly what was published or refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from memory.artifacts import Artifacts, canonical
from memory.errors import DiskFull, StateCorrupt

ABOUT = {"batch": 1, "parent": None}


@pytest.fixture
def artifacts(state: Path) -> Artifacts:
    return Artifacts(state)


def publish(artifacts: Artifacts, content: str = "weights") -> str:
    staged = artifacts.stage()
    (staged / "adapter.safetensors").write_text(content * 100)
    (staged / "nested").mkdir()
    (staged / "nested" / "config.json").write_text("{}")
    return artifacts.publish("adapters", staged, ABOUT)


def test_publish_verify_and_manifest(artifacts: Artifacts) -> None:
    digest = publish(artifacts)
    directory = artifacts.verify("adapters", digest)
    manifest = json.loads((directory / "manifest.json").read_text())
    assert directory == artifacts.path("adapters", digest)
    assert manifest["about"] == ABOUT
    assert manifest["files"].keys() == {"adapter.safetensors", "nested/config.json"}
    assert manifest["files"]["adapter.safetensors"]["size"] == 700
    assert list((artifacts.root / "staging").iterdir()) == []


def test_ranks_are_those_of_the_widest_module(artifacts: Artifacts) -> None:
    assert artifacts.ranks() == []
    for config in ({"r": 8}, {"r": 8, "rank_pattern": {"q_proj": 32}}):
        staged = artifacts.stage()
        (staged / "adapter_config.json").write_text(json.dumps(config))
        artifacts.publish("adapters", staged, ABOUT)
    assert sorted(artifacts.ranks()) == [8, 32]


def test_equal_content_has_one_digest(artifacts: Artifacts) -> None:
    assert publish(artifacts) == publish(artifacts)
    assert publish(artifacts, "other") != publish(artifacts)


def _flip_a_bit(directory: Path) -> None:
    path = directory / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[350] ^= 1
    path.write_bytes(data)


def _truncate(directory: Path) -> None:
    path = directory / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:350])


def _delete(directory: Path) -> None:
    (directory / "adapter.safetensors").unlink()


def _add(directory: Path) -> None:
    (directory / "nested" / "extra").write_text("")


def _link(directory: Path) -> None:
    path = directory / "adapter.safetensors"
    path.rename(directory.parent / "elsewhere")
    path.symlink_to(directory.parent / "elsewhere")


def _alter_manifest(directory: Path) -> None:
    path = directory / "manifest.json"
    path.write_text(path.read_text().replace("700", "701"))


def _delete_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def _link_manifest(directory: Path) -> None:
    path = directory / "manifest.json"
    path.rename(directory.parent / "manifest.json")
    path.symlink_to(directory.parent / "manifest.json")


def _link_directory(directory: Path) -> None:
    directory.rename(directory.parent / "elsewhere")
    directory.symlink_to(directory.parent / "elsewhere")


DAMAGES = [
    _flip_a_bit,
    _truncate,
    _delete,
    _add,
    _link,
    _alter_manifest,
    _delete_manifest,
    _link_manifest,
    _link_directory,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_is_refused(artifacts: Artifacts, damage: Callable[[Path], None]) -> None:
    digest = publish(artifacts)
    damage(artifacts.path("adapters", digest))
    with pytest.raises(StateCorrupt):
        artifacts.verify("adapters", digest)


@pytest.mark.parametrize("damage", [_flip_a_bit, _delete_manifest, _add])
def test_publishing_again_heals(artifacts: Artifacts, damage: Callable[[Path], None]) -> None:
    digest = publish(artifacts)
    damage(artifacts.path("adapters", digest))
    assert publish(artifacts) == digest
    artifacts.verify("adapters", digest)


@pytest.mark.parametrize("digest", ["", "..", "../adapters", "A" * 64, "f" * 63, "f" * 64 + "\n"])
def test_only_digests_are_names(artifacts: Artifacts, digest: str) -> None:
    with pytest.raises(StateCorrupt):
        artifacts.path("adapters", digest)


def test_missing_artifact(artifacts: Artifacts) -> None:
    with pytest.raises(StateCorrupt, match="missing"):
        artifacts.verify("models", "f" * 64)


def test_links_are_not_published(artifacts: Artifacts) -> None:
    staged = artifacts.stage()
    (staged / "link").symlink_to("/etc/hostname")
    with pytest.raises(StateCorrupt, match="plain file"):
        artifacts.publish("models", staged, {})


def test_collect_keeps_what_it_is_told(artifacts: Artifacts) -> None:
    kept, garbage = publish(artifacts, "kept"), publish(artifacts, "garbage")
    assert artifacts.collect({"adapters": {kept}}) == [f"adapters/{garbage}"]
    artifacts.verify("adapters", kept)
    assert not artifacts.is_sound("adapters", garbage)


def test_staging_is_emptied(artifacts: Artifacts) -> None:
    (artifacts.stage() / "half").write_text("written")
    artifacts.empty_staging()
    artifacts.empty_staging()
    assert not (artifacts.root / "staging").exists()


def test_full_disk_is_named(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARND_FAILPOINT", "publish.synced=raise")
    with pytest.raises(DiskFull):
        publish(artifacts)
    monkeypatch.delenv("LEARND_FAILPOINT")
    artifacts.verify("adapters", publish(artifacts))


def test_canonical_json_has_one_spelling() -> None:
    assert canonical({"b": 1, "a": [1.5, "é"]}) == canonical({"a": [1.5, "é"], "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"loss": float("nan")})
