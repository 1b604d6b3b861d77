"""Options become models; what the model refuses is said in the words of the command line."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.contracts.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


def checked(kind: type[Model], command: str, /, **values: Any) -> Model:
    """The model with these values. Raises ConfigError that names the first option which is not usable."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"--{'.'.join(map(str, first['loc']))} is not usable" if first["loc"] else "options do not fit together",
            where=command,
            expected=first["msg"],
            found=repr(first["input"]) if first["loc"] else None,
            remedy=f"See stagegate {command} --help.",
        ) from None


def numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """`1,2,3,4` as numbers. Raises ConfigError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"{option} is no list of numbers", expected="for example 1,2,3,4", found=text) from None
