"""Renders what is generated in the documentation; with --check, fails where a file is out of date.

Generated: the folder picture of DEVELOPING.md (from the modules' own first sentences), docs/cli.md (from
the help texts), docs/issues.md (from mappings/issues.csv), docs/mapping.md (from mappings/README.md and the
drawn tests), docs/endpoints.md (from the study files and the drawn tests), docs/reliability.md (from the
names of the tests), the marked blocks of docs/statistics.md, and the results of the benchmarks (from their
raw rounds).
Also checked: relative links in Markdown, and that every id of docs/reliability.md has a test.
"""

import ast
import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from render_endpoints import endpoints
from render_mapping import mapping
from render_reliability import reliability, untested
from render_statistics import statistics

ROOT = Path(__file__).parent.parent
SHOWN = ("fhir_srs", "mappings", "docker", "benchmarks", "docs", "tests")
LEAVES = ("decisions", "terminology", "fhir", "results", "tests")
HIDDEN = {"__pycache__", "target", ".gitignore"}
WIDTH = 90
PAGES = ("*.md", "docs/**/*.md", "*/README.md", "docker/*/*.md")


def sentence(path: Path) -> str:
    """The first sentence of the file's docstring or title, without its full stop."""
    if path.is_dir():
        path = path / "__init__.py"
    if not path.exists() or path.suffix not in {".py", ".md", ".toml"}:
        return ""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    first = re.sub(r"\s+", " ", text.lstrip("# ").split("\n\n")[0])
    first = re.split(r"(?<!et al)\.(?: |$)", first)[0]
    return first if len(first) <= WIDTH else first[:WIDTH].rsplit(" ", 1)[0] + " ..."


def tree(folder: Path, indent: str = "  ") -> Iterator[str]:
    """The lines of the picture below *folder*: files first, then folders, each with its sentence."""
    entries = [
        entry for entry in folder.iterdir() if entry.name not in HIDDEN and entry.name != "__init__.py"
    ]
    for entry in sorted(entries, key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.is_dir() and not any(entry.iterdir()):
            continue
        name = f"{indent}{entry.name}{'/' if entry.is_dir() else ''}"
        yield f"{name:<34}{sentence(entry)}".rstrip()
        if entry.is_dir() and entry.name not in LEAVES and folder.name != "tests":
            yield from tree(entry, indent + "  ")


def picture(current: str) -> str:
    """DEVELOPING.md with the folder picture as the folders are now."""
    lines = [line for name in SHOWN for line in (f"{name}/", *tree(ROOT / name)) if (ROOT / name).exists()]
    block = "\n".join(["<!-- picture: make docs -->", "```text", *lines, "```", "<!-- end -->"])
    return re.sub(r"<!-- picture.*?<!-- end -->", lambda _: block, current, flags=re.DOTALL)


COMMANDS = (
    "demo", "sync", "map", "endpoints", "profile check", "profile explain", "schema", "testserver", "synth",
)  # fmt: skip


def cli(_: str) -> str:
    """The help text of every command, as a terminal of 100 columns shows it."""
    parts = ["# Commands\n\nMade by `make docs` from the program itself.\n"]
    parts += [f"## {name}\n\n```text\n{help_text(name)}\n```\n" for name in COMMANDS]
    return "\n".join(parts)


def help_text(command: str) -> str:
    """What `fhir-srs COMMAND --help` prints."""
    run = subprocess.run(
        [sys.executable, "-m", "fhir_srs", *command.split(), "--help"],
        env=os.environ | {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in run.stdout.strip().splitlines())


def issues(_: str) -> str:
    """The closed list of issue reasons as a table."""
    with (ROOT / "mappings" / "issues.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    head = list(rows[0])
    table = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    table += ["| " + " | ".join(row[key] or "" for key in head) + " |" for row in rows]
    return "# Issue reasons\n\nMade by `make docs` from `mappings/issues.csv`.\n\n" + "\n".join(table) + "\n"


def benchmarks(page: str) -> Callable[[str], str]:
    """A renderer of one page of benchmarks, of what its runs kept in benchmarks/results."""
    sys.path.insert(0, str(ROOT))
    from benchmarks import table

    return lambda _: table.page(ROOT / "benchmarks" / "results", table.PAGES[page])


RENDERED: dict[str, Callable[[str], str]] = {
    "docs/cli.md": cli,
    "docs/endpoints.md": endpoints,
    "docs/issues.md": issues,
    "docs/mapping.md": mapping,
    "docs/reliability.md": reliability,
    "docs/statistics.md": statistics,
    "DEVELOPING.md": picture,
    **{f"benchmarks/{page}": benchmarks(page) for page in ("RESULTS.md", "RESULTS-hapi.md")},
}


def broken_links() -> list[str]:
    """Relative links in Markdown files that lead nowhere."""
    pages = [page for pattern in PAGES for page in ROOT.glob(pattern)]
    return [
        f"{page.relative_to(ROOT)}: {link} does not exist"
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]


def stale(*, write: bool) -> list[str]:
    """Names of rendered files that differ from what they should be; with *write*, mends them."""
    found = []
    for name, render in RENDERED.items():
        path = ROOT / name
        current = path.read_text(encoding="utf-8") if path.exists() else ""
        wanted = render(current)
        if wanted != current:
            found.append(f"{name} is out of date: run make docs")
            if write:
                path.write_text(wanted, encoding="utf-8")
    return found


def main() -> int:
    """Render, or check; 1 if something is wrong."""
    check = "--check" in sys.argv[1:]
    outdated = stale(write=not check)
    problems = [*(outdated if check else []), *broken_links(), *untested()]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
