"""The `lampas` command: run, info, demo, bench.

Each subcommand's work is in `lampas.command` or `lampas.demo`. What follows the program's name
after `run` belongs to the program, whatever it looks like.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lampas import version
from lampas.command.bench import run_bench
from lampas.command.info import show_info
from lampas.command.run import CannotRun, run_module, run_script
from lampas.demo.session import Options, run_demo


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse and carry out one command; return the exit status (2 for a wrong command line)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        return _run(given[1:])
    if given[:1] == ["bench"]:
        return run_bench(given[1:])
    parser = build_parser()
    options = parser.parse_args(given)
    if options.command == "info":
        return show_info()
    if options.command == "demo":
        return run_demo(_demo_options(options))
    parser.print_help()
    return 0 if not given else 2


def build_parser() -> argparse.ArgumentParser:
    """The parser of everything but the arguments of `run` and `bench`, which are passed on."""
    defaults = Options()
    parser = argparse.ArgumentParser(
        prog="lampas", description="Runs PyTorch programs unchanged, on a CPU."
    )
    parser.add_argument("--version", action="version", version=f"lampas {version.lampas}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser(
        "run", help="run a PyTorch program: script.py or -m module, then its arguments"
    )
    commands.add_parser("info", help="show version, machine, cache, settings and packages")
    commands.add_parser("bench", help="time Lampas, beside PyTorch where it is installed")
    demo = commands.add_parser(
        "demo", help="train a network on handwritten digits and draw the result"
    )
    demo.add_argument("--epochs", type=_positive, default=defaults.epochs)
    demo.add_argument("--batch", type=_positive, default=defaults.batch, help="images a step")
    demo.add_argument("--optimizer", choices=("adam", "sgd"), default=defaults.optimizer)
    demo.add_argument("--seed", type=int, default=defaults.seed)
    demo.add_argument(
        "--target",
        type=float,
        default=defaults.target,
        help="least accuracy, in per cent, for exit status 0",
    )
    demo.add_argument("--output", type=Path, default=defaults.output, help="where the picture goes")
    demo.add_argument("--quiet", action="store_true", help="only the summary")
    return parser


def _demo_options(options: argparse.Namespace) -> Options:
    names = ("epochs", "batch", "optimizer", "seed", "target", "output", "quiet")
    return Options(**{name: getattr(options, name) for name in names})


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


RUN_USAGE = "usage: lampas run script.py [arguments]\n       lampas run -m module [arguments]"


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(RUN_USAGE, file=sys.stdout if given else sys.stderr)
        return 0 if given else 2
    try:
        if given[0] != "-m" and not given[0].startswith("-"):
            return run_script(given[0], given[1:])
        if given[0] == "-m" and len(given) > 1:
            return run_module(given[1], given[2:])
    except CannotRun as error:
        print(f"lampas run: {error}", file=sys.stderr)
        return 2
    wrong = "-m needs a module's name" if given[0] == "-m" else f"unknown option {given[0]!r}"
    print(f"lampas run: {wrong}\n{RUN_USAGE}", file=sys.stderr)
    return 2
