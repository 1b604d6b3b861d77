"""The error tree of all workloads.

StagegateError                      exit 4
├── ConfigError                     exit 2  a setting is unknown, mistyped, out of range or contradictory
├── MissingInputError               exit 2  a named input does not exist (also FileNotFoundError)
├── HandshakeError                  exit 2  the data of a handoff are refused
│   ├── UnsafeArchiveError          exit 2  an archive claims too much, or holds Python objects
│   └── UnsafePathError             exit 2  a path leaves the folder it must stay in
├── UnsafeCheckpointError           exit 2  a checkpoint could run code, or is not the one that was named
├── BenchmarkContractError          exit 3  a contract is broken or not met
├── RedFlagError                    exit 3  a guardrail stopped the run; it can be restarted
│   ├── ReloadMismatchError         exit 3  the reloaded model predicts something else
│   ├── CalibrationError            exit 3  intervals cannot be calibrated on what is there
│   ├── IncompleteRunError          exit 3  a product that makes a run complete is missing
│   └── InterruptedStepError        exit 3  a signal stopped a step, which left its progress behind
├── ItemsFailedError                exit 1  the run finished, but some of its items failed
├── NonFiniteLossError              exit 4  the loss is NaN or infinite (also FloatingPointError)
├── PoolError                       exit 4  no work pool, deployment or worker can take a step
│   └── ContainerLostError          exit 4  a container ended without an answer; another one is worth trying
├── DependencyError                 exit 4  a package that this step needs is not installed
└── StoreError                      exit 4  bytes could not be written or read
    ├── BlobMissingError            exit 4  a reference names bytes that the store does not hold
    ├── DigestMismatchError         exit 4  bytes are not what their name says
    └── StorageFullError            exit 4  no space left where the bytes should go
"""


class StagegateError(Exception):
    """An error that says what, where, expected and found, and what to do."""

    exit_code = 4

    def __init__(self, what: str, *, where: str = "", expected: object = None, found: object = None, remedy: str = ""):
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        super().__init__(_sentence(what, where, expected, found, remedy))


def _sentence(what: str, where: str, expected: object, found: object, remedy: str) -> str:
    facts = [f"expected {expected}"] if expected is not None else []
    facts += [f"found {found}"] if found is not None else []
    head = " ".join(part for part in (where, what) if part)
    head = f"{head}: {', '.join(facts)}" if facts else head
    return " ".join(part for part in (head.rstrip(".") + ".", remedy) if part)


class ConfigError(StagegateError):
    """A setting is unknown, mistyped, out of range or contradictory."""

    exit_code = 2


class MissingInputError(StagegateError, FileNotFoundError):
    """A named input does not exist."""

    exit_code = 2

    def __str__(self) -> str:
        return self.args[0]


class HandshakeError(StagegateError):
    """The data of a handoff are refused."""

    exit_code = 2


class UnsafeArchiveError(HandshakeError):
    """An archive claims more than the limits allow, or holds Python objects."""


class UnsafePathError(HandshakeError):
    """A path leaves the folder it must stay in."""


class UnsafeCheckpointError(StagegateError):
    """A checkpoint could run code, or is not the one that was named."""

    exit_code = 2


class BenchmarkContractError(StagegateError):
    """A benchmark contract is broken or not met."""

    exit_code = 3


class RedFlagError(StagegateError):
    """A guardrail stopped the run; it can be restarted."""

    exit_code = 3


class ReloadMismatchError(RedFlagError):
    """The reloaded model predicts something else than the trained one."""


class CalibrationError(RedFlagError):
    """Intervals cannot be calibrated on what is there."""


class IncompleteRunError(RedFlagError):
    """A product that makes a run complete is missing."""


class InterruptedStepError(RedFlagError):
    """A signal stopped a step, which left its progress behind."""


class ItemsFailedError(StagegateError):
    """The run finished, but some of its items failed; they are named."""

    exit_code = 1


class NonFiniteLossError(StagegateError, FloatingPointError):
    """The loss is NaN or infinite; the last good weights are kept."""


class PoolError(StagegateError):
    """No work pool, deployment or worker can take a step."""


class ContainerLostError(PoolError):
    """A container ended without an answer: killed, out of memory, or its image is missing."""


class DependencyError(StagegateError):
    """A package that a step needs is not installed."""


class StoreError(StagegateError):
    """Bytes could not be written or read."""


class BlobMissingError(StoreError):
    """A reference names bytes that the store does not hold."""


class DigestMismatchError(StoreError):
    """Bytes are not what their name says."""


class StorageFullError(StoreError):
    """No space is left where the bytes should go."""
