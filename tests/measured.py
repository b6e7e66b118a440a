"""What long simulations found, kept in docs/measured, so that no figure of a page is typed."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "measured"


def keep(name: str, found: dict[str, Any]) -> None:
    """*found* as docs/measured/NAME.json, with the date, and the commit that the program stood at."""
    told = {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), **found}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "-uno", "--", "fhir_srs", "tests")
    return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
