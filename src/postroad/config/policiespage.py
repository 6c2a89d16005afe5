"""The reference page of the policies: those that are asked for by name with all their options, those that always run.

A policy that is asked for is described by its function's docstring and the sentences of its options, one that always
runs by its file's docstring.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postroad import policies
from postroad.config.builtins import BUILT_INS
from postroad.config.document import NOTE, options_table, page_text, prose
from postroad.config.policies import SERVICES
from postroad.policy import findings
from postroad.policy.bind import STAGES, Declaration, declaration_of

_INTRO: Final = (
    "A policy decides about one stage of a session: it may accept, refuse, defer or discard, ask for a change of the "
    "message, or have no opinion. The first verdict of a stage wins."
)
_NAMED: Final = (
    "These are asked for by name in `[[policies]]`, in the order of the file and before it is decided who may relay. "
    "Beside their own options each has `use` and `listeners`, see [Configuration](configuration.md)."
)
_FACTS: Final = (
    "What the policies above find out they leave to those after them, whatever they make of it themselves: "
    "`ctx.facts.get(Type)`, from `postroad.policy.findings`."
)
_OWN: Final = (
    "Your own are functions in Python: [Write a policy](../howto/write-a-policy.md) shows how. The type of the first "
    "parameter names the stage:"
)


def policies_page() -> str:
    """Every policy that comes with Postroad, the stages, and what a policy may ask for."""
    out = [NOTE, "# Policies", _INTRO, "## Asked for by name", _NAMED]
    for name, declaration in built_in_policies():
        out += [f"### {name}", f"Stage {declaration.stage}. {prose(declaration.text)}"]
        out += options_table(dict(declaration.options.model_fields))
    out += ["## Always there", "Their options stand in [Configuration](configuration.md)."]
    for name, text in policy_docstrings():
        if name not in BUILT_INS:
            out += [f"### {name}", prose(text)]
    out += [
        "## Your own",
        _OWN,
        _stages(),
        "What a policy may have by the type of a keyword-only parameter:",
        _services(),
    ]
    out += ["## Facts", _FACTS, *_facts()]
    return page_text(out)


def built_in_policies() -> Iterator[tuple[str, Declaration]]:
    """Those that are asked for by name, with what they say of themselves."""
    for name, late in BUILT_INS.items():
        yield name, declaration_of(late.load().function, SERVICES)


def policy_docstrings() -> list[tuple[str, str]]:
    """The name and docstring of every file of the package `policies`."""
    files = sorted(file for folder in policies.__path__ for file in Path(folder).glob("[a-z]*.py"))
    return [(file.stem, ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "") for file in files]


def _stages() -> str:
    rows = ["| Context | Stage | Has |", "|---|---|---|"]
    for kind, stage in STAGES.items():
        fields = ", ".join(f"`{name}`" for name in getattr(kind, "__struct_fields__", ()))
        rows.append(f"| `{getattr(kind, '__name__', '')}` | {stage} | {fields} |")
    return "\n".join(rows)


def _facts() -> Iterator[str]:
    for fact in (entry for entry in vars(findings).values() if isinstance(entry, type)):
        if fact.__module__ == findings.__name__:
            fields = ", ".join(f"`{name}`" for name in getattr(fact, "__struct_fields__", ()))
            yield f"### {fact.__name__}"
            yield f"{prose(fact.__doc__)}\n\nHas {fields}."


def _services() -> str:
    rows = ["| Type | What it does | From |", "|---|---|---|"]
    for kind, text in SERVICES.items():
        module = getattr(kind, "__module__", "") if isinstance(kind, type) else "postroad.model.records"
        name = getattr(kind, "__name__", "") if isinstance(kind, type) else "Emit"
        rows.append(f"| `{name}` | {text} | `{module}` |")
    return "\n".join(rows)
