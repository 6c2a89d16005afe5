"""The reference page of the commands, and the program that writes all reference pages.

`python -m postroad.cli.document docs/reference` writes them; tests/meta/test_docs.py fails when a page
is not what the code says.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer

from postroad.api.page import api_text
from postroad.cli import exits
from postroad.cli.main import build
from postroad.cli.postfix import mailqformat, postqueue, postsuper, sendmail
from postroad.cli.postfix.options import OPTIONS as SENDMAIL_OPTIONS
from postroad.config.document import NOTE, configuration_page, records_page, replies_page, table_cell
from postroad.config.policiespage import policies_page
from postroad.observe.metrics.page import metrics_text

PROGRAMS: Final = (
    ("postroad-sendmail", sendmail, SENDMAIL_OPTIONS, "postroad-sendmail -t -i < message.eml"),
    ("postroad-mailq", mailqformat, postqueue.OPTIONS[-2:], "postroad-mailq"),
    ("postroad-postqueue", postqueue, postqueue.OPTIONS, "postroad-postqueue -j"),
    ("postroad-postsuper", postsuper, postsuper.OPTIONS, "postroad-postsuper -h ALL"),
)
_NO_BRACES: Final = str.maketrans("", "", "{}")  # typer puts required arguments in braces


def pages() -> dict[str, str]:
    """Every page by file name."""
    return {
        "cli.md": cli_page(),
        "configuration.md": configuration_page(),
        "http-api.md": f"{NOTE}\n\n{api_text()}",
        "metrics.md": f"{NOTE}\n\n{metrics_text()}",
        "policies.md": policies_page(),
        "records.md": records_page(),
        "replies.md": replies_page(),
    }


def cli_page() -> str:
    """Every command: usage, what it does, an example, its options."""
    out = [
        NOTE,
        "# Commands",
        (
            "Exit codes are those of sysexits.h: "
            + ", ".join(f"{code} {words}" for code, words in exits.WORDS.items())
            + "."
        ),
    ]
    for name, context in commands():
        out += _command(name, context)
    for name, module, options, example in PROGRAMS:
        out += _program(name, module.__doc__ or "", options, example)
    return "\n\n".join(out) + "\n"


def commands() -> Iterator[tuple[str, typer.Context]]:
    """Every command that does something, as ("postroad queue list", its context)."""
    top = typer.main.get_command(build())
    todo = [typer.Context(top, info_name="postroad", **top.context_settings)]
    while todo:
        context = todo.pop(0)
        children = getattr(context.command, "commands", {})
        if not children:
            yield context.command_path, context
        todo = [typer.Context(child, parent=context, info_name=name) for name, child in children.items()] + todo


def _command(name: str, context: typer.Context) -> Iterator[str]:
    command = context.command
    usage = " ".join((name, *command.collect_usage_pieces(context))).translate(_NO_BRACES)
    text, _, example = (command.help or "").partition("Example:")
    yield f"## {name}"
    yield " ".join(text.split())
    yield f"```text\n{usage}\n```"
    rows = ["| Option | What it does |", "|---|---|"]
    for parameter in command.get_params(context):
        if record := parameter.get_help_record(context):
            spelling, sentence = record[0].removesuffix(" <str>"), record[1]
            rows.append(f"| {table_cell(f'`{spelling}`')} | {table_cell(_sentence(sentence))} |")
    yield "\n".join(rows)
    if example:
        yield f"Example:\n\n```sh\n{example.strip()}\n```"


def _program(name: str, text: str, options: tuple[tuple[str, str], ...], example: str) -> Iterator[str]:
    """A program that stands in for one of Postfix's: what its module says of it, its options, an example."""
    yield f"## {name}"
    yield text.strip()
    rows = ["| Option | What it does |", "|---|---|"]
    rows += [f"| {table_cell(f'`{spelling}`')} | {table_cell(sentence)} |" for spelling, sentence in options]
    yield "\n".join(rows)
    yield f"Example:\n\n```sh\n{example}\n```"


def _sentence(help_text: str) -> str:
    """What an option does; typer's remarks about it in words."""
    sentence, mark, remark = help_text.partition("  [")
    name, _, value = remark.removesuffix("]").partition(": ")
    if not mark:
        return sentence
    return (
        f"{sentence} Default: `{value.partition('; ')[0]}`."
        if name == "default"
        else f"{sentence} {remark.removesuffix(']').capitalize()}."
    )


def main() -> None:
    """Write every page into the folder named on the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, "utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
