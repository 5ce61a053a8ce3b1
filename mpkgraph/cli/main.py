"""The `mpkgraph` command: a group whose commands load on use, and the one place errors end."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn

import click

from mpkgraph._version import __version__
from mpkgraph.cli.lazy_commands import LazyCommands
from mpkgraph.cli.start import EXIT_INTERRUPTED
from mpkgraph.errors import MpkGraphError

COMPLETION_VARIABLE = "_MPKGRAPH_COMPLETE"
EXIT_UNREADABLE = 3
EXIT_WRONG_USAGE = 2

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_PATH_ERRORS = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}


@click.group(
    commands=LazyCommands(
        {
            "compile": "mpkgraph.cli.compile:compile_",
            "diff": "mpkgraph.cli.diff:diff",
            "show": "mpkgraph.cli.show:show",
            "verify": "mpkgraph.cli.verify:verify",
        }
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", "-V", prog_name="mpkgraph")
def cli() -> None:
    """Read, show and check the task graphs of Mirage Persistent Kernel (MPK).

    Exit codes: 0 clean or equal, 1 findings or differences, 2 wrong usage, 3 input that can't be
    read or compiled.
    """


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code; every error a user can cause is one message."""
    sys.exit(run(argv))


def run(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    # numpy's OpenBLAS would start threads, which nothing here needs, as numpy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _prepare_streams()
    try:
        code = cli.main(argv, prog_name="mpkgraph", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except SystemExit:
        if COMPLETION_VARIABLE in os.environ:
            raise
        # The reader of our output has gone (`| head`); click ends with 1, which means findings here
        return 0
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return EXIT_WRONG_USAGE
    except MpkGraphError as error:
        _complain(str(error), error.details)
        return error.exit_code
    except BrokenPipeError:
        return _end_of_pipe()
    except MemoryError:
        _complain(
            "out of memory. Ask for less at once: a summary, or a selection (--operator, --ids)"
        )
        return EXIT_UNREADABLE
    except OSError as error:
        if error.errno not in _DISK_ERRORS | _PATH_ERRORS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        reason = (error.strerror or str(error)).lower()
        _complain(f"{where}{reason}. Check the path, its permissions and the space on its disk")
        return EXIT_UNREADABLE
    return code if isinstance(code, int) else 0


def _prepare_streams() -> None:
    """Standard streams that take any text, and that are there (`>&-` closes them)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _complain(message: str, details: tuple[str, ...] = ()) -> None:
    from mpkgraph.render.escape import printable

    click.echo(f"mpkgraph: error: {printable(message)}", err=True)
    for line in details:
        click.echo(f"  | {printable(line)}", err=True)


def _interrupted() -> int:
    from mpkgraph.io.atomic import remove_unfinished

    remove_unfinished()
    return EXIT_INTERRUPTED


def _end_of_pipe() -> int:
    """The reader of our output has gone (`| head`): end quietly, and keep Python quiet at exit."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return 0
