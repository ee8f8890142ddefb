"""A PostgreSQL server of the tests' own, on loopback, with a database that disappears with it."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Start a server in a folder and yield the address of an empty database."""
    programs = binaries()
    assert programs is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    as_root = os.geteuid() == 0
    if as_root:  # PostgreSQL refuses to run as root; its package brings a user
        for path in (folder, *folder.parents):
            if path == Path("/tmp"):  # noqa: S108 - where pytest keeps temporary folders
                break
            path.chmod(path.stat().st_mode | 0o011)
        shutil.chown(folder, "postgres")
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if as_root else []
    data = folder / "data"
    owner = "postgres" if as_root else getpass.getuser()

    def run(*command: str) -> None:
        subprocess.run([*user, *command], check=True, capture_output=True, timeout=60, cwd=folder)

    run(str(programs / "initdb"), "-D", str(data), "-A", "trust", "-U", owner, "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql+pg8000://{owner}@127.0.0.1:{port}/postgres"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
