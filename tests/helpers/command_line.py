"""The command line, called in this process."""

import json
from typing import Any

from typer.testing import CliRunner, Result

from service import main


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main.app, [str(argument) for argument in arguments])


def shown(*arguments: object) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)
