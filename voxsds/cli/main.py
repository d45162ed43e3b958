"""Entry point of `voxsds`. Exit codes: 0 done, 1 it could not be done (stderr says why), 2 wrong usage."""

import sys

import typer

from voxsds.cli import builds, cameras, doctor, picture, watch, words

app = typer.Typer(
    help="Change a block world until it looks like a sentence from every side.\n\n"
    "These commands bring worlds in and out and look at them; `make run` and `dvc` run the pipeline.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("import", epilog=builds.IMPORT_EXAMPLES)(builds.import_build)
app.command("export", epilog=builds.EXPORT_EXAMPLES)(builds.export_map)
app.command("cameras", epilog=cameras.EXAMPLES)(cameras.cameras)
app.command("render", epilog=picture.EXAMPLES)(picture.render)
app.command("watch", epilog=watch.EXAMPLES)(watch.watch)
app.command("words", epilog=words.EXAMPLES)(words.words)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


def main() -> None:
    """Runs the command line; what is wrong with the input is said without a traceback."""
    try:
        app(prog_name="voxsds")
    except (ValueError, OSError) as error:
        print(f"voxsds: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
