"""Configuration: command line > LEARND_SECTION__KEY > credentials > TOML file > defaults.

The sections of the pipeline, [intake] to [consolidate], are the dataclasses of agent.settings
themselves, so that a number is declared, defaulted and documented in one place. Imports nothing
heavy.
"""

import ipaddress
import json
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from platformdirs import user_cache_path, user_config_path, user_state_path
from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from agent.settings import (
    ConsolidateSettings,
    GateSettings,
    IntakeSettings,
    PipelineSettings,
    StudySettings,
    TrainSettings,
)
from memory.errors import BadConfig

AnyPath = Annotated[Path, AfterValidator(Path.expanduser)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_PIPELINE = PipelineSettings()
_NO_TOKEN = SecretStr("")
_SECRETS = {"token": "server", "api_key": "engine"}  # key -> section


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The HTTP server and its limits."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8765  # 0: any free port
    token: SecretStr = _NO_TOKEN  # for admin routes, and for all of /v1 off loopback
    parallel: Positive = 8  # requests that are decoded at the same time
    queue: Count = 32  # requests that may wait for that; beyond it 429
    max_tokens: Positive = 256  # of an answer whose request names no limit
    max_body_bytes: Positive = 1_000_000
    connections: Positive = 256  # requests in the server at once, whatever they do; beyond it 503
    request_seconds: Seconds = 300.0  # an answer that takes longer is cut off
    drain_seconds: Seconds = 30.0  # what SIGTERM leaves running answers

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What runs the model that answers."""

    kind: Literal["embedded", "vllm"] = "embedded"
    route: bool = True  # what is not about the documents the untouched model answers
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"  # float32: equal answers in any company
    weights: Literal["adapter", "merged"] = "adapter"  # what vLLM loads; see README
    urls: tuple[str, ...] = ()  # of vLLM servers that run already; none: learnd starts its own
    api_key: SecretStr = _NO_TOKEN  # of those servers
    servers: Positive = 1  # vLLM servers that learnd starts
    python: AnyPath = Path(".venv-vllm/bin/python")  # that has vLLM
    arguments: tuple[str, ...] = ()  # more options for the vLLM that learnd starts
    study_share: Share = 0.25  # of each vLLM, for writing study items; 0: learnd does it itself
    start_seconds: Seconds = 600.0  # until vLLM must hold a generation


class Config(BaseSettings):
    """Everything a user can set. Build it with load()."""

    model_config = SettingsConfigDict(
        env_prefix="LEARND_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    docs: AnyPath | None = None  # the folder to learn
    state: AnyPath = Field(default_factory=lambda: _directory("STATE", user_state_path))
    cache: AnyPath = Field(default_factory=lambda: _directory("CACHE", user_cache_path))
    model: str = _PIPELINE.model
    embedder: str = _PIPELINE.embedder
    attempts: Positive = _PIPELINE.attempts
    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    intake: IntakeSettings = IntakeSettings()
    study: StudySettings = StudySettings()
    train: TrainSettings = TrainSettings()
    gate: GateSettings = GateSettings()
    consolidate: ConsolidateSettings = ConsolidateSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        credentials = InitSettingsSource(settings_cls, _credentials())
        return init_settings, env_settings, credentials, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Refuse unknown keys, which pydantic lets pass in a standard dataclass; split lists."""
        sections = {name: field.annotation for name, field in cls.model_fields.items()}
        _check_keys("", data, sections)
        return {
            name: _section(name, sections[name], value) if isinstance(value, dict) else value
            for name, value in data.items()
        }

    @model_validator(mode="after")
    def _finite(self) -> Self:
        """No number of the pipeline has a meaning below zero, and none may be NaN."""
        for section in ("intake", "study", "train", "gate", "consolidate"):
            for name, value in asdict(getattr(self, section)).items():
                if isinstance(value, int | float) and not 0 <= value < math.inf:
                    raise BadConfig(f"configuration: {section}.{name} must be 0 or more")
        return self

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        for url in self.engine.urls:
            if not url.startswith(("http://", "https://")):
                raise BadConfig(f"configuration: engine.urls: {url!r} is no http:// address")
        if len(set(self.engine.urls)) < len(self.engine.urls):
            raise BadConfig("configuration: engine.urls names a server twice")
        if self.engine.urls and self.engine.weights == "merged":
            raise BadConfig(
                'configuration: engine.weights = "merged" is for servers that learnd starts '
                "itself; engine.urls names others"
            )
        return self

    @property
    def pipeline(self) -> PipelineSettings:
        """The part that the agent takes."""
        return PipelineSettings(
            model=self.model,
            embedder=self.embedder,
            attempts=self.attempts,
            intake=self.intake,
            study=self.study,
            train=self.train,
            gate=self.gate,
            consolidate=self.consolidate,
        )


def load(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the configuration; overrides is nested as the file is. Raises BadConfig."""
    if file is not None and not file.is_file():
        raise BadConfig(f"there is no configuration file {file}")
    source = file or default_file()

    class FromFile(Config):
        model_config = SettingsConfigDict(toml_file=source)

    try:
        return FromFile(**dict(overrides or {}))
    except (ValidationError, SettingsError) as error:
        raise BadConfig("configuration: " + "; ".join(_complaints(error))) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise BadConfig(f"{source}: {error}") from error


def default_file() -> Path | None:
    """$CONFIGURATION_DIRECTORY/config.toml or ~/.config/learnd/config.toml, if it is there."""
    file = _directory("CONFIGURATION", user_config_path) / "config.toml"
    return file if file.is_file() else None


def _directory(kind: str, otherwise: Callable[[str], Path]) -> Path:
    """The directory that systemd made for us ($STATE_DIRECTORY ...), else the user's own."""
    given = os.environ.get(f"{kind}_DIRECTORY", "").split(":")[0]
    return Path(given) if given else otherwise("learnd")


def _credentials() -> dict[str, Any]:
    """Secrets from systemd's LoadCredential=token:FILE and LoadCredential=api_key:FILE."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    files = {key: Path(directory, key) for key in _SECRETS} if directory else {}
    return {
        _SECRETS[key]: {key: file.read_text().strip()}
        for key, file in files.items()
        if file.is_file()
    }


def _section(name: str, section: Any, given: dict[str, Any]) -> dict[str, Any]:
    """One section's keys, checked; a list may be written "a,b", or as JSON, in the environment."""
    types = {field.name: field.type for field in fields(section)} if is_dataclass(section) else {}
    _check_keys(f"{name}.", given, types)
    return {
        key: _listed(value) if types[key] == tuple[str, ...] else value
        for key, value in given.items()
    }


def _listed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else value.split(",")


def _check_keys(prefix: str, given: Iterable[str], known: Iterable[str]) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise BadConfig(
            f"configuration: there is no {prefix}{unknown[0]}; known: {', '.join(sorted(known))}"
        )


def _complaints(error: ValidationError | SettingsError) -> Iterator[str]:
    """One 'section.key: what is wrong' per error, without the value, which may be the token."""
    if isinstance(error, SettingsError):
        yield str(error)
        return
    for detail in error.errors(include_url=False, include_input=False):
        where = ".".join(str(part) for part in detail["loc"])
        yield f"{where}: {detail['msg'].lower()}"
