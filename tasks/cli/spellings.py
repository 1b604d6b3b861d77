"""Options that are written with underscores or with hyphens, and a group with a command that need not be named."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from tasks.contracts.errors import ConfigError


class TwoSpellings(TyperCommand):
    """`--some_name` is also `--some-name`. Both in one call with different values are refused, not one dropped."""

    def __init__(self, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self.epilog = self.epilog or "Options may be written with hyphens too: --some_name is --some-name."

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        plain, given = _read(args, _options(self.params))
        for values in given.values():
            if len(set(values.values())) > 1:
                raise ConfigError(
                    f"{' and '.join(values)} are one option and have different values",
                    where=ctx.command_path,
                    found=" and ".join(filter(None, values.values())) or None,
                    remedy="Write it once.",
                )
        return super().parse_args(ctx, plain)


class FirstCommandByDefault(TyperGroup):
    """`group --option ...` means `group first --option ...`, where `first` was registered before all others."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [self.list_commands(ctx)[0], *args]
        return super().parse_args(ctx, args)


def _options(params: list[Any]) -> dict[str, tuple[str, Any]]:
    """Every spelling of every option -> the declared one, the parameter."""
    declared = [(text, param) for param in params for text in (*param.opts, *param.secondary_opts)]
    return {
        spelling: (text, param)
        for text, param in declared
        if text.startswith("--")
        for spelling in (text, text.replace("_", "-"))
    }


def _read(args: list[str], options: dict[str, tuple[str, Any]]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """The arguments in declared spelling, and what each option that takes one value was given, by spelling."""
    plain: list[str] = []
    given: dict[str, dict[str, str]] = {}
    rest = iter(args)
    for word in rest:
        if word == "--":
            plain += [word, *rest]
            break
        spelling, sign, value = word.partition("=")
        text, param = options.get(spelling, (spelling, None))
        plain.append(f"{text}{sign}{value}")
        if param is None or param.multiple:
            continue
        if param.is_flag:
            value = "" if len(param.secondary_opts) == 0 else text
        elif not sign and (following := next(rest, None)) is not None:
            plain.append(following)
            value = following
        given.setdefault(param.name, {})[spelling] = value
    return plain, given
