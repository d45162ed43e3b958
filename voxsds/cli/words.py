"""voxsds words."""

from typing import Annotated

import typer

from voxsds.cli.output import print_json
from voxsds.cli.project import AsJson, examples, teachers

EXAMPLES = examples(
    'voxsds words "a stone castle by the lake"', "voxsds words     (all that the teacher knows)"
)


def words(
    prompt: Annotated[
        str | None, typer.Argument(help="The sentence; without one, all words are listed.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="An entry of `teachers`; else that of guidance.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Show which words of a prompt the teacher was taught."""
    vocabulary = _vocabulary(teacher)
    if prompt is None:
        known = sorted(vocabulary or ())
        print_json({"words": known}) if json else print("\n".join(known) or "any word may be known")
        return
    from voxsds.guidance.words import known_share, prompt_warning

    found = known_share(prompt, vocabulary) if vocabulary is not None else None
    if json:
        share, unknown = (found.share, found.unknown) if found else (None, ())
        print_json({"prompt": prompt, "share": share, "unknown": list(unknown)})
    elif found is None:
        print("the teacher has no list of words; it may know any")
    else:
        print(f"known: {found.share:.0%} of the words")
        print(f"not known: {', '.join(found.unknown) or 'none'}")
        if warning := prompt_warning(prompt, vocabulary):
            print(warning)


def _vocabulary(name: str | None) -> frozenset[str] | None:
    """The words of a teacher; None where it has no list of them."""
    from voxsds.guidance.load import family

    entries, chosen = teachers()
    name = name or chosen
    if name not in entries:
        raise typer.BadParameter(f"{name!r} is none of the teachers {', '.join(entries)}")
    settings = entries[name]
    if isinstance(settings, str):
        raise ValueError(settings)
    try:
        return family(settings.model).vocabulary(settings.model)
    except ValueError as error:
        raise ValueError(
            f"teacher {name} is not here, see voxsds doctor --teacher {name}. {error}"
        ) from error
