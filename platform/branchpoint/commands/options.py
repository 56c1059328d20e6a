"""Options that several commands share, and commands whose options are the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from branchpoint.store import Store

T = TypeVar("T")

StoreOption = Annotated[str, typer.Option("--store", help="Folder or URI of the results store.")]
StudyOption = Annotated[
    str | None, typer.Option("--study", help="Name of the study; it may be left out if the store holds only one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ConfigOption = Annotated[Path, typer.Option(help="File with a Config as JSON, such as `best --json` prints.")]
DataRootOption = Annotated[Path | None, typer.Option(help="Folder of the release.")]
HomeOption = Annotated[
    Path | None,
    typer.Option(help="Folder for results, cache and state; by default $BRANCHPOINT_HOME, else the current folder."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Address of a Ray cluster; by default $RAY_ADDRESS, else this machine alone.")
]
CohortsOption = Annotated[
    str | None,
    typer.Option(help="Bucket (URI) that brings the prepared cohort to other nodes; by default Ray does."),
]
RefitOption = Annotated[
    bool,
    typer.Option("--refit", help="Train final networks on all cases, too, for as many steps as the folds' ended with."),
]
SkipFaultyOption = Annotated[
    bool, typer.Option("--skip-faulty", help="Leave out patients whose files or labels have errors.")
]


def with_options(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Turn a function of one dataclass into a command that takes the dataclass's fields as its options.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True, kw_only=True)
        ... class Greeting:
        ...     name: Annotated[str, typer.Option(help="Who is greeted.")] = "world"
        >>> @with_options(Greeting)
        ... def greet(options):
        ...     print("hello", options.name)
        >>> greet(name="reader")
        hello reader
    """

    def decorate(body: Callable[[T], None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            body(options(**given))

        # Field annotations are texts that name what their own module imports.
        hints = get_type_hints(options, include_extras=True)
        taken: tuple[Field[Any], ...] = fields(options)  # type: ignore[arg-type]
        command.__name__, command.__doc__ = body.__name__, body.__doc__
        command.__annotations__ = hints
        command.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(f.name, Parameter.KEYWORD_ONLY, default=_default(f), annotation=hints[f.name]) for f in taken]
        )
        return command

    return decorate


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return Parameter.empty if field.default is MISSING else field.default


def chosen_study(store: Store, name: str | None) -> str:
    """``name``, or the only study that ``store`` holds.

    Raises:
        FileNotFoundError: there is no store.
        ValueError: no name is given and the store holds several studies or none.
    """
    store.require()
    if name:
        return name
    known = sorted({*store.studies()["study"].to_pylist(), *store.proposals()["study"].to_pylist()})
    if len(known) == 1:
        return str(known[0])
    found = f"it holds {', '.join(known)}" if known else "it holds no study"
    raise ValueError(f"name one study of the store {store.uri} with --study: {found}")
