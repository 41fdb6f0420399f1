"""Options that several commands of the command line share, and what becomes of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memory.errors import BadInput

if TYPE_CHECKING:
    from service.config import Config

StateOption = Annotated[Path | None, typer.Option("--state", help="State directory.")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelOption = Annotated[
    str | None, typer.Option(help="Built-in name, directory, .gguf file or Hugging Face id.")
]


def configured(file: Path | None, **options: Any) -> "Config":
    """The configuration with the options that were given; server_port stands for server.port."""
    from service import config

    overrides: dict[str, Any] = {}
    for name, value in options.items():
        section, _, key = name.rpartition("_")
        if value is not None:
            (overrides.setdefault(section, {}) if section else overrides)[key] = value
    return config.load(file, overrides)


def check_writable(file: Path | None) -> None:
    """Before the work, not after it."""
    if file is not None and not file.parent.is_dir():
        raise BadInput(f"{file.parent} is no directory to write the figures to")
