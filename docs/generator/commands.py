"""The commands of the command line, from their parsers."""

import argparse

from napari_sam.cli.parsing.parser import make_parser


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return {verb: its parser}."""
    parser = make_parser()
    return next(
        dict(action.choices)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )


def option_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options and arguments of a verb, as they are typed."""
    return [name for action in _shown(parser) for name in _names(action)]


def commands_page() -> str:
    """Write a section for each verb: what it does, an example, its options."""
    return "\n".join(_section(name, parser) for name, parser in verbs().items())


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    example = (parser.epilog or "").removeprefix("example: ")
    lines = [f"## {name}", "", parser.description or "", ""]
    lines += ["```sh", example, "```", ""]
    for action in _shown(parser):
        names = ", ".join(f"`{text}`" for text in _names(action))
        value = _value(action)
        lines += [f"{names}{f' `{value}`' if value else ''}", f": {_help(action)}", ""]
    return "\n".join(lines)


def _shown(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]


def _names(action: argparse.Action) -> list[str]:
    return list(action.option_strings) or [action.dest]


def _value(action: argparse.Action) -> str:
    if action.nargs == 0 or not action.option_strings:
        return ""
    if action.metavar:
        metavar = action.metavar
        return metavar if isinstance(metavar, str) else " ".join(metavar)
    if action.choices:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def _help(action: argparse.Action) -> str:
    text = (action.help or "").replace("%(default)s", str(action.default))
    return _as_markdown(text.replace("%%", "%"))


def _as_markdown(text: str) -> str:
    """Keep brackets, stars and angle brackets as they are."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        for sign in "\\*_[]<>{}|$":
            parts[place] = parts[place].replace(sign, f"\\{sign}")
    return "`".join(parts)
