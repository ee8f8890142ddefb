"""Integration documents: what the program speaks, what it writes, what a site must open, and what its archive keeps.

``templates/dicom/services.yaml``, from which the program itself negotiates, and ``integration.yaml`` serve all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from validation.data import shipped
from validation.dicom.confidentiality import profile, rules
from validation.dicom.services import services
from validation.dossier.plain_document import (
    Block,
    Heading,
    Paragraph,
    Table,
    block_html,
    document_docx,
    document_html,
    document_pdf,
)
from validation.dossier.runfiles import INTERFACE_FILE

OUTCOMES = {"met": "Met", "not_met": "Not met", "reported": "Reported"}


def integration_tables() -> dict[str, Table]:
    """Return the tables of the integration documentation by name, for the dossier and the stand-alone document."""
    speaks, more = services(), _more()
    classes: list[tuple[str, ...]] = [
        (str(name), str(uid), "SCP while retrieving") for uid, name in speaks["pulled"].items()
    ]
    written: list[tuple[str, ...]] = [(str(name), str(uid), "SCU") for uid, name in speaks["written"].items()]
    by_name = {str(name): str(uid) for uid, name in speaks["pulled"].items()}
    written += [(str(name), by_name[str(name)], "SCU, derived series") for name in speaks["written_as_source"]]
    syntaxes: list[tuple[str, ...]] = [
        (
            str(name),
            str(uid),
            _use(str(uid), speaks["written_syntax"]),
        )
        for uid, name in speaks["transfer_syntaxes"].items()
    ]
    keys: list[tuple[str, ...]] = [
        (level.capitalize(), ", ".join(names)) for level, names in speaks["query_keys"].items()
    ]
    options = profile("cohort")
    return {
        "services": Table(
            "Services over DIMSE (PS3.4). Extended negotiation and asynchronous operations are not used.",
            ("Service", "SOP class UID", "Role", "Used by"),
            [(s["service"], s["uid"] or "classes below", s["role"], s["used_by"]) for s in speaks["services"]],
        ),
        "web": Table(
            "Services over DICOMweb (PS3.18), as user agent.",
            ("Service", "Resource", "Method", "Media type", "Used by"),
            [(w["service"], w["resource"], w["method"], w["media"], w["used_by"]) for w in speaks["web"]],
        ),
        "pulled": Table("Storage SOP classes that are retrieved.", ("SOP class", "UID", "Role"), classes),
        "written": Table("Storage SOP classes that are written and sent.", ("SOP class", "UID", "Role"), written),
        "syntaxes": Table(
            "Transfer syntaxes, in the order in which they are proposed, each in a presentation context of its own.",
            ("Transfer syntax", "UID", "Use"),
            syntaxes,
        ),
        "keys": Table("Keys of queries (Study Root, QIDO-RS).", ("Level", "Keys"), keys),
        "characters": Table(
            "Character sets.",
            ("Direction", "Sets"),
            [
                ("Read", "All that PS3.3 C.12.1.1.2 defines, with code extensions"),
                ("Written", "ASCII, or ISO_IR 192 (UTF-8) where a text needs it"),
            ],
        ),
        "deidentification": Table(
            f"De-identification of what is pulled: PS3.15 {rules().edition}, profile “cohort”.",
            ("Code (DCM)", "Profile or option"),
            [(value, meaning) for value, meaning in options.codes()],
        ),
        "outputs": Table("Rules of every object that is written.", ("Attribute", "Rule"), _rows(more["outputs"])),
        "ihe": Table(
            "Correspondence with IHE radiology profiles.",
            ("Profile or transaction", "Actor or content", "State", "How"),
            _rows(more["ihe"]["rows"]),
        ),
        "network": Table("Connections.", ("Connection", "Direction", "Port", "Protection"), _rows(more["network"])),
        "security": Table("Security.", ("Subject", "State"), _rows(more["security"])),
        "minimum": Table("Minimum of the machine.", ("Part", "Requirement"), _rows(more["minimum"])),
    }


def site_table(name: str) -> Markup:
    """Return one of the tables as HTML, for the templates of the dossier."""
    return block_html(integration_tables()[name])


def keep_interface(home: Path, study: Path) -> list[Path]:
    """Copy the record of the study's interface test into a run or edition that is not closed yet."""
    from validation.digest import write_atomically

    source, target = study / INTERFACE_FILE, home / INTERFACE_FILE
    if (home / "manifest.json").exists() or not source.is_file():
        return []
    write_atomically(target, source.read_bytes())
    return [target]


def ihe_note() -> str:
    """Return what is said before the table of IHE profiles."""
    return str(_more()["ihe"]["note"]).strip()


def integration_blocks(server: dict[str, Any] | None = None) -> list[Block]:
    """Return the integration documentation: conformance statement, output objects, IHE, network and security."""
    tables = integration_tables()
    blocks: list[Block] = [
        Heading("DICOM conformance statement"),
        Paragraph(
            "The program asks archives for images, de-identifies them for a test cohort, and sends objects that were "
            "derived from images. It is no archive, no viewer and no modality. The tables are made of the data from "
            "which it negotiates."
        ),
        *(tables[name] for name in ("services", "web", "pulled", "written", "syntaxes", "keys", "characters")),
        tables["deidentification"],
        Heading("Output objects"),
        tables["outputs"],
        Heading("IHE profiles"),
        Paragraph(ihe_note()),
        tables["ihe"],
        Heading("Network and security"),
        *(tables[name] for name in ("network", "security", "minimum")),
    ]
    if server is not None:
        blocks += [
            Heading("This site"),
            Table("The archive, as configured.", ("Setting", "Value"), server_rows(server)),
        ]
    return blocks


def acceptance_blocks(record: dict[str, Any]) -> list[Block]:
    """Return the acceptance record of an interface test (``validation.interface/1``)."""
    needed, met = record["n_needed"], record["n_needed_met"]
    proposal = (
        "Every check that acceptance needs was met. The program proposes to accept the interface."
        if record["proposal"] == "accept"
        else f"{needed - met} of {needed} checks that acceptance needs were not met. The program proposes not to "
        "accept the interface."
    )
    blocks: list[Block] = [
        Heading("Result"),
        Paragraph(f"{proposal} A person decides, below."),
        Table(
            "The test.",
            ("Item", "Value"),
            [
                ("Performed", _moment(record["performed"])),
                ("By", record["by"]),
                ("Program", f"genmed-validation {record['program']}"),
                ("Test patients, left in the archive", ", ".join(record["test_patients"]) or "none"),
                *server_rows(record["archive"]),
            ],
        ),
    ]
    for channel, entries in record["channels"].items():
        name = {"dicomweb": "DICOMweb", "dimse": "DIMSE"}[channel]
        rows: list[tuple[str, ...]] = [
            (e["id"], e["title"], "yes" if e["needed"] else "no", OUTCOMES[e["outcome"]], e["detail"]) for e in entries
        ]
        blocks += [
            Heading(f"Over {name}"),
            Table(f"Checks over {name}.", ("Check", "What is proven", "Needed", "Outcome", "Found"), rows),
        ]
    blocks += [
        Heading("Decision"),
        Table(
            "To be filled in by the site.",
            ("Role", "Name", "Decision", "Date and signature"),
            [
                ("Administrator of the archive", "", "", ""),
                ("Clinical physicist or radiologist", "", "", ""),
                ("Quality assurance", "", "", ""),
            ],
        ),
    ]
    return blocks


def server_rows(server: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the settings of an archive as rows, without secrets."""
    rows: list[tuple[str, ...]] = [("Archive", str(server["name"]))]
    if "dicomweb" in server:
        web = server["dicomweb"]
        rows += [
            ("DICOMweb", f"{web['url']}, {'TLS' if web['tls'] else 'no TLS'}, authentication: {web['authentication']}")
        ]
    if "dimse" in server:
        d = server["dimse"]
        words = f"{d['called']} at {d['host']}:{d['port']}, from {d['calling']}, retrieval by C-{d['retrieve'].upper()}"
        rows += [("DIMSE", f"{words}, {'TLS' if d['tls'] else 'no TLS'}")]
    return rows


def write_documents(
    folder: Path, name: str, title: str, subtitle: str, blocks: list[Block], *, moment: str
) -> list[Path]:
    """Write one document as HTML, PDF and Word, and return the paths."""
    from validation.digest import write_atomically

    html = document_html(title, subtitle, blocks)
    contents = {
        ".html": html.encode(),
        ".pdf": document_pdf(html, finished=moment),
        ".docx": document_docx(title, subtitle, blocks, finished=moment),
    }
    written = []
    for suffix, content in contents.items():
        path = folder / f"{name}{suffix}"
        write_atomically(path, content)
        written.append(path)
    return written


def _use(uid: str, written: str) -> str:
    return "read, written" if uid == written else "read"


def _rows(rows: list[list[str]]) -> list[tuple[str, ...]]:
    return [tuple(" ".join(str(cell).split()) for cell in row) for row in rows]


def _moment(text: str) -> str:
    return text.replace("T", " ").replace("Z", " UTC")


def _more() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(shipped("templates", "dicom", "integration.yaml").read_text(encoding="utf-8"))
    return data
