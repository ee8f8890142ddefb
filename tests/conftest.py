"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent


def _shared_root() -> Path | None:
    """Return the folder of shared reference data: $VALIDATION_SHARED, or ../shared beside the checkout."""
    named = os.environ.get("VALIDATION_SHARED")
    candidate = Path(named) if named else ROOT.parent / "shared"
    return candidate if (candidate / "reference").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of shared reference data; the test is skipped where there is none."""
    root = _shared_root()
    if root is None:
        pytest.skip("no shared reference data: set VALIDATION_SHARED")
    return root


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine: nothing here may need the network."""
    import socket

    original = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        if self.family in (socket.AF_INET, socket.AF_INET6) and str(host) not in {"127.0.0.1", "::1", "localhost"}:
            raise RuntimeError(f"a test tried to reach {host}")
        original(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped because the shared reference data are not here."""
    skipped = [
        r
        for r in terminalreporter.stats.get("skipped", [])
        if "no shared reference data" in str(getattr(r, "longrepr", ""))
    ]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} tests skipped: no shared reference data (set VALIDATION_SHARED)")
