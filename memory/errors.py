"""Every error that learnd raises on purpose. The docstring of a class is its default message.

LearndError
├── BadInput              the user or a client gave something unusable
│   ├── BadDocument       one file cannot be read as text; it is quarantined
│   ├── BadConfig         the configuration does not hold together
│   ├── UnknownModel      no such model, built-in name, directory or generation
│   ├── UnknownPolicy     no policy is registered under that name
│   └── PromptTooLong     the prompt does not fit into the model's context
├── StateError            the state directory cannot be used as it is
│   ├── StateLocked       another process holds the state directory
│   ├── StateCorrupt      the store or an artifact fails its check
│   ├── NewerState        the state was written by a newer learnd
│   └── DiskFull          no room is left on the disk
├── IllegalTransition     a batch was asked to move to a stage it may not enter
├── GaveWay               a consolidation was stopped, because there is something new to learn
├── StaleParent           the head moved while an adapter was being trained on the old one
├── PoliciesFailed        every policy of the pipeline raised; nothing can be studied
├── TrainingDiverged      a loss, gradient or weight is not finite
├── ChildFailed           the child process ended without a result
├── Unavailable           what answers is away for the moment
└── Busy                  the queue of requests is full
"""


class LearndError(Exception):
    """learnd failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class BadInput(LearndError):
    """The input is unusable."""


class BadDocument(BadInput):
    """The file cannot be read as text."""


class BadConfig(BadInput):
    """The configuration is not valid."""


class UnknownModel(BadInput):
    """There is no such model."""


class UnknownPolicy(BadInput):
    """There is no such policy."""


class PromptTooLong(BadInput):
    """The prompt does not fit into the model's context."""


class StateError(LearndError):
    """The state directory cannot be used."""


class StateLocked(StateError):
    """Another process holds the state directory."""


class StateCorrupt(StateError):
    """The state directory is damaged; run `learnd check`."""


class NewerState(StateError):
    """The state directory was written by a newer learnd; upgrade learnd."""


class DiskFull(StateError):
    """No space is left on the disk; free some and learnd goes on by itself."""


class IllegalTransition(LearndError):
    """The batch may not move to that stage."""


class StaleParent(LearndError):
    """The head moved while this adapter was being trained; the batch is trained again."""


class GaveWay(LearndError):
    """It gave way to new documents; the next idle hour begins again."""


class PoliciesFailed(LearndError):
    """Every policy of the pipeline failed; name another one in `study.pipeline`."""


class TrainingDiverged(LearndError):
    """A loss, gradient or weight became NaN or infinite; nothing was published."""


class ChildFailed(LearndError):
    """The child process ended without a result."""


class Unavailable(LearndError):
    """What answers is not there at the moment; try again shortly."""


class Busy(LearndError):
    """Too many requests are waiting; try again shortly."""
