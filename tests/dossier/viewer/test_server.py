"""The server: this machine only, reading only, files of the run only."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from validation.dossier.viewer.server import make_server
from validation.errors import UsageProblem


@pytest.fixture(scope="module")
def port(shown: Path) -> Iterator[int]:
    """Serve the folder of studies that holds the run."""
    server = make_server(shown.parent.parent.parent)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def _ask(port: int, path: str, *, method: str = "GET", host: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, path, skip_host=host is not None)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_index_leads_to_the_run_and_its_files(port: int, shown: Path) -> None:
    address = f"/study-a/runs/{shown.name}"
    status, body, _ = _ask(port, "/")
    assert status == 200
    assert f'href="{address[1:]}/"'.encode() in body
    assert _ask(port, address)[0] == 301
    assert b'id="verdicts"' in _ask(port, f"{address}/")[1]
    status, body, headers = _ask(port, f"{address}/results.json")
    assert body == (shown / "results.json").read_bytes()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert _ask(port, f"{address}/measurements/part-00000.parquet")[2]["Content-Disposition"] == "attachment"


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/study-a/runs/{run}/../../ledger.jsonl",
        "/study-a/runs/{run}/%2e%2e/%2e%2e/ledger.jsonl",
        "/study-a/runs/{run}//etc/passwd",
        "/study-a/runs/{run}/results.json/",
        "/study-a/runs/{run}/measurements",
        "/study-a",
        "/%ff",
    ],
)
def test_nothing_but_files_of_the_run_is_given(port: int, shown: Path, path: str) -> None:
    assert _ask(port, path.format(run=shown.name))[0] in {400, 404}


def test_another_host_and_other_methods_are_refused(port: int) -> None:
    assert _ask(port, "/", host="evil.example")[0] == 403
    assert _ask(port, "/", host="")[0] == 403
    assert _ask(port, "/", method="POST")[0] == 501
    status, body, _ = _ask(port, "/", method="HEAD")
    assert (status, body) == (200, b"")


def test_a_link_in_a_run_is_not_followed(shown: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(shown, run)
    (run / "secret").symlink_to("/etc/passwd")
    server = make_server(run)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert _ask(server.server_address[1], "/secret")[0] == 404
    server.shutdown()
    server.server_close()


def test_a_run_that_changes_while_it_is_served_is_shown_as_it_is_now(shown: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(shown, run)
    server = make_server(run)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    first = _ask(port, "/")[1]
    assert _ask(port, "/")[1] == first
    assert b"NOT INTACT" not in first
    (run / "environment.json").write_text("{}")
    assert b"NOT INTACT" in _ask(port, "/")[1]
    server.shutdown()
    server.server_close()


def test_a_folder_without_runs_and_a_taken_port_are_refused(port: int, shown: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem) as refusal:
        make_server(tmp_path)
    assert refusal.value.code == "VIEW-001"
    with pytest.raises(UsageProblem) as refusal:
        make_server(shown, port=port)
    assert refusal.value.code == "VIEW-002"
