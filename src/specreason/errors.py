"""Every error that specreason raises on purpose, as one small tree.

A message names what was wrong, where, and what to do; the command line shows it as it stands.
Exit codes: an error about what the user gave is 2, an engine or file that failed is 1.
"""


class SpecReasonError(Exception):
    """Root of the tree; catch this to catch everything that specreason raises on purpose."""

    exit_code = 1


class ConfigError(SpecReasonError):
    """A setting, flag or input is unknown, impossible or missing."""

    exit_code = 2


class InputError(SpecReasonError):
    """The problem itself cannot be used: empty, too long, not text."""

    exit_code = 2


class ModelFileError(SpecReasonError):
    """Weights are missing, damaged or could not be fetched."""


class StudyError(SpecReasonError):
    """A study's file is damaged, or cannot be written, as on a full disk."""


class TraceError(SpecReasonError):
    """A trace could not be written to its end; the run itself came to its end."""


class PolicyError(SpecReasonError):
    """A policy broke its contract: it asks for the same signal again, or for one that cannot be had there."""


class EngineError(SpecReasonError):
    """A model server failed. `engine` is the configured name of the engine ("base", "small")."""

    def __init__(self, message: str, *, engine: str = "") -> None:
        super().__init__(f"{engine}: {message}" if engine else message)
        self.engine = engine


class EngineUnavailable(EngineError):
    """Nothing answers there, or the connection broke, and retrying did not help.

    `retry_after` is what the server asked for (seconds), if it asked.
    """

    retry_after: float | None = None


class EngineTimeout(EngineError):
    """The engine accepted the request but stayed silent for too long."""


class EngineRejected(EngineError):
    """The engine answered, but refused the request or sent something that is not its API."""


class AnswerFormRejected(EngineRejected):
    """The engine refuses the form that the answer is to have, or did not keep to it."""

    exit_code = 2


class ContextOverflow(EngineError):
    """The prompt does not fit into the model's context."""

    exit_code = 2
