"""What lies in `deploy/`, judged by the programs that will read it: systemd, Prometheus (`make test-deploy`).

Nothing is skipped where one of them is absent: these tests run only when asked for, and then fail.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
# `systemd-analyze security` in tenths, 0 to 100: 12 today. What is open is the network, which a sync needs.
EXPOSURE = 15

pytestmark = pytest.mark.deploy


def said(*command: str | Path, folder: Path) -> str:
    """All that *command* said, in *folder*; it must end well."""
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder, as installed but for the program, which must be there to be judged."""
    for path in DEPLOY.glob("fhir-srs.*"):
        text = path.read_text().replace("/opt/fhir-srs/bin/fhir-srs", "/bin/true")
        (tmp_path / path.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["fhir-srs.service", "fhir-srs.timer"])
def test_systemd_understands_every_line_of_the_units(units: Path, name: str) -> None:
    """`systemd-analyze verify` only warns of a key that it does not know, and ends with 0."""
    assert said("systemd-analyze", "verify", "--man=no", f"./{name}", folder=units) == ""


def test_the_service_is_as_closed_as_a_sync_allows(units: Path) -> None:
    threshold = f"--threshold={EXPOSURE}"
    said("systemd-analyze", "security", "--offline=yes", threshold, "./fhir-srs.service", folder=units)


def test_the_alert_rules_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    (tmp_path / "alerts_under_test.yaml").write_text((DEPLOY / "alerts.yaml").read_text())
    situations = (Path(__file__).parent / "alerts.yaml").read_text()
    (tmp_path / "situations.yaml").write_text(situations)
    said(promtool(), "check", "rules", "alerts_under_test.yaml", folder=tmp_path)
    said(promtool(), "test", "rules", "situations.yaml", folder=tmp_path)
    named = [
        line.split()[-1] for line in (DEPLOY / "alerts.yaml").read_text().splitlines() if "alert:" in line
    ]
    assert named
    assert [name for name in named if f'alertname="{name}"' not in situations] == []


def promtool() -> Path:
    """Debian's, as `make test-deploy` unpacks it, or any on the PATH."""
    unpacked = ROOT / ".tools" / "usr" / "bin" / "promtool"
    return unpacked if unpacked.exists() else Path("promtool")
