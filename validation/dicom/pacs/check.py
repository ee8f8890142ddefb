"""The interface test: whether an archive keeps what the program writes, and gives it back as a viewer needs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation import __version__
from validation.dicom.headers import parse_dataset
from validation.dicom.measurement_report import read_measurements
from validation.dicom.pacs.open import open_channel
from validation.dicom.pacs.query import Channel, Instance, Query, Series
from validation.dicom.pacs.settings import Server
from validation.dicom.pacs.specimens import PRIVATE, SYNTAXES, TEXTS, UNKNOWN, Specimen, make_specimens
from validation.dicom.segmentation import read_segmentation
from validation.dicom.services import transfer_syntaxes
from validation.dicom.structure_set import read_structure_set
from validation.errors import ValidationProblem

# id -> (what is proven, needed for acceptance)
CHECKS: dict[str, tuple[str, bool]] = {
    "IF-01": ("The archive answers", True),
    "IF-02": ("Every object is accepted", True),
    "IF-03": ("A query by patient finds every series and object", True),
    "IF-04": ("Series and image numbers come back, so that viewers can hang the images in order", True),
    "IF-05": ("Pixels come back unchanged", True),
    "IF-06": ("Standard attributes come back unchanged", True),
    "IF-07": ("Private attributes come back", False),
    "IF-08": ("Attributes that are younger than the archive come back, such as Synthetic Data (0008,001C)", True),
    "IF-09": ("Texts in other character sets come back unchanged in the objects", True),
    "IF-10": ("Objects come back in the transfer syntax they were sent in", False),
    "IF-11": (
        "The derived series still says what it is derived from, by which equipment, and that it is synthetic",
        True,
    ),
    "IF-12": ("The segmentation comes back and gives the same masks on its source", True),
    "IF-13": ("The structure set comes back and gives the same masks on its source", True),
    "IF-14": ("The measurement report comes back with its values", True),
    "IF-15": ("Sending an object again leaves one object", True),
    "IF-16": ("What happens when another object is sent under a UID that is taken", False),
    "IF-17": ("Texts in other character sets are right in answers to queries, as work lists show them", False),
}
ORIGIN = (
    "ImageType", "DerivationDescription", "SourceImageSequence", "ContributingEquipmentSequence", "SyntheticData",
    "Manufacturer", "ManufacturerModelName", "SoftwareVersions",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one check of one channel found: ``met``, ``not_met`` or ``reported``, with words for a person."""

    id: str
    outcome: str
    detail: str


def check_archive(
    server: Server,
    channels: Sequence[str],
    *,
    nonce: str,
    by: str,
    progress: Callable[[str], None] = lambda _text: None,
) -> dict[str, Any]:
    """Send a made-up study over each channel, fetch it back, compare, and return the acceptance record.

    The study stays in the archive, since no service that every archive offers removes it; the record names its patient.

    Parameters
    ----------
    server
        The archive.
    channels
        ``dicomweb``, ``dimse``.
    nonce
        Hexadecimal text that makes the UIDs of this test new.
    by
        Who runs the test.
    """
    record: dict[str, Any] = {
        "schema": "validation.interface/1",
        "program": __version__,
        "performed": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "by": by,
        "archive": server.facts(),
        "test_patients": [],
        "channels": {},
    }
    for name in channels:
        own = f"{nonce}{len(record['channels'])}"
        progress(f"{name}: sending the test study and fetching it back")
        with tempfile.TemporaryDirectory(prefix="interface-test-") as folder:
            record["test_patients"].append(f"VALIDATION-TEST-{own}")
            outcomes = _channel(server, name, Path(folder), own)
        record["channels"][name] = [
            {"id": o.id, "title": CHECKS[o.id][0], "needed": CHECKS[o.id][1], "outcome": o.outcome, "detail": o.detail}
            for o in sorted(outcomes, key=lambda o: o.id)
        ]
    every = [entry for entries in record["channels"].values() for entry in entries]
    failed = [entry for entry in every if entry["needed"] and entry["outcome"] != "met"]
    record["proposal"] = "accept" if every and not failed else "do not accept"
    record["n_needed"] = sum(entry["needed"] for entry in every)
    record["n_needed_met"] = record["n_needed"] - len(failed)
    return record


def _channel(server: Server, via: str, folder: Path, nonce: str) -> list[Outcome]:
    specimens = make_specimens(folder / "sent", nonce=nonce)
    try:
        with open_channel(server, via) as channel:
            channel.reach()
            return [_outcome("IF-01", [], "The archive answered."), *_round_trip(channel, specimens, folder, nonce)]
    except ValidationProblem as problem:
        return [
            Outcome(id=key, outcome="not_met" if needed else "reported", detail=f"{problem.code}: {problem.what}")
            for key, (_, needed) in CHECKS.items()
        ]


def _round_trip(channel: Channel, specimens: list[Specimen], folder: Path, nonce: str) -> list[Outcome]:
    refused: dict[Path, str] = {}
    files = [path for specimen in specimens for path in specimen.files]
    channel.store(files, lambda path, reason: refused.__setitem__(path, reason) if reason else None)
    sent = {path: parse_dataset(path.read_bytes(), str(path)) for path in files}
    uid_of = {path: str(ds.SOPInstanceUID) for path, ds in sent.items()}
    series = channel.find_series(Query(patient=f"VALIDATION-TEST-{nonce}"))
    listed = [instance for one in series for instance in channel.find_instances(one)]
    back: dict[str, bytes] = {}
    known = {uid for path, uid in uid_of.items() if path not in refused}
    channel.fetch([i for i in listed if i.uid in known], lambda instance, data: back.__setitem__(instance.uid, data))
    got = {path: parse_dataset(back[uid], "the archive") for path, uid in uid_of.items() if uid in back}
    of = {path: specimen for specimen in specimens for path in specimen.files}
    label = {path: f"{of[path].name}/{path.stem}" for path in files}

    missing = [label[p] for p in files if uid_of[p] not in {i.uid for i in listed}]
    lost = [label[p] for p in files if p not in got]
    differing = {path: _differing(sent[path], new) for path, new in got.items()}
    source = next(s for s in specimens if s.name == "source")
    outcomes = [
        _outcome(
            "IF-02", [f"{label[p]}: {reason}" for p, reason in refused.items()], f"{len(files)} objects accepted."
        ),
        _outcome("IF-03", missing, f"{len(series)} series with {len(listed)} objects found."),
        _outcome("IF-04", _order(sent, series, listed), "All numbers were given in answers to queries."),
        _outcome(
            "IF-05",
            lost + [label[p] for p in got if not _same_pixels(sent[p], got[p])],
            f"{len(got)} objects compared.",
        ),
        _outcome(
            "IF-06",
            lost + [f"{label[p]}: {', '.join(names[:4])}" for p, names in differing.items() if names],
            f"All attributes of {len(got)} objects compared.",
        ),
        _outcome("IF-07", [label[p] for p in source.files if not _private(got.get(p))], "The private block came back."),
        _outcome("IF-08", _young(specimens, got, label), "An unknown attribute and Synthetic Data came back."),
        _outcome("IF-09", _characters(specimens, lambda uid: _description(got, uid)), f"{len(TEXTS)} sets compared."),
        _outcome(
            "IF-17",
            _characters(specimens, {s.uid: s.description for s in series}.get),
            f"{len(TEXTS)} sets compared.",
        ),
        _outcome("IF-10", _syntaxes(sent, got, label), f"Also {', '.join(SYNTAXES)}."),
        _outcome("IF-11", _origin(specimens, sent, got), "All attributes of origin came back."),
        *_objects(specimens, back, uid_of, folder),
        *_again(channel, source, folder, series),
    ]
    return outcomes


def _outcome(key: str, wrong: Sequence[str], right: str) -> Outcome:
    outcome = "met" if not wrong else "not_met" if CHECKS[key][1] else "reported"
    more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return Outcome(id=key, outcome=outcome, detail=right if not wrong else f"Not so: {'; '.join(wrong[:5])}{more}.")


def _differing(old: Any, new: Any) -> list[str]:
    """Return the keywords of standard attributes that differ, pixels, private and unknown ones aside."""
    from pydicom.datadict import dictionary_has_tag

    tags = {e.tag for e in old} | {e.tag for e in new}
    names = []
    for tag in sorted(tags):
        if tag.is_private or not dictionary_has_tag(tag) or tag.group == 0x7FE0 or tag == 0x00080005:
            continue
        if tag not in old or tag not in new or old[tag].value != new[tag].value:
            names.append((old if tag in old else new)[tag].keyword)
    return names


def _same_pixels(old: Any, new: Any) -> bool:
    if "PixelData" not in old:
        return "PixelData" not in new
    if "PixelData" not in new:
        return False
    if old.file_meta.TransferSyntaxUID == new.file_meta.TransferSyntaxUID and old.PixelData == new.PixelData:
        return True
    return bool((old.pixel_array == new.pixel_array).all())


def _order(sent: dict[Path, Any], series: Sequence[Series], listed: Sequence[Instance]) -> list[str]:
    wanted = {str(ds.SOPInstanceUID): int(ds.InstanceNumber) for ds in sent.values()}
    numbers = {str(ds.SeriesInstanceUID): int(ds.SeriesNumber) for ds in sent.values()}
    wrong = [f"image number of {i.uid[-8:]}" for i in listed if i.uid in wanted and i.number != wanted[i.uid]]
    return [f"series number of {s.description or s.uid[-8:]}" for s in series if s.number != numbers.get(s.uid)] + wrong


def _private(ds: Any) -> bool:
    try:
        return bool(ds is not None and bytes(ds.private_block(PRIVATE[1], PRIVATE[0])[0x01].value) == bytes(range(256)))
    except (KeyError, TypeError):
        return False


def _young(specimens: Sequence[Specimen], got: dict[Path, Any], label: dict[Path, str]) -> list[str]:
    wrong = []
    for specimen in specimens:
        for path in specimen.files:
            ds = got.get(path)
            if specimen.name == "source" and (ds is None or _text(ds, UNKNOWN) != "kept"):
                wrong.append(f"{label[path]}: unknown attribute")
            if specimen.name == "derived" and (ds is None or str(ds.get("SyntheticData", "")) != "YES"):
                wrong.append(f"{label[path]}: Synthetic Data")
    return wrong


def _text(ds: Any, tag: int) -> str:
    value = ds[tag].value if tag in ds else ""
    return value.decode("ascii", "replace").strip("\0 ") if isinstance(value, bytes) else str(value).strip()


def _characters(specimens: Sequence[Specimen], told: Callable[[str], str | None]) -> list[str]:
    """Return the character sets whose text is another than the one sent; ``told`` gives it by series."""
    sent = [s for s in specimens if s.purpose == "characters"]
    return [
        characters.strip("\\")
        for specimen, (characters, text) in zip(sent, TEXTS.items(), strict=True)
        if told(specimen.series) != text
    ]


def _description(got: dict[Path, Any], series: str) -> str | None:
    found = (ds for ds in got.values() if str(ds.SeriesInstanceUID) == series)
    return next((str(ds.get("SeriesDescription", "")) for ds in found), None)


def _syntaxes(sent: dict[Path, Any], got: dict[Path, Any], label: dict[Path, str]) -> list[str]:
    names = transfer_syntaxes()
    return [
        f"{label[path]} as {names.get(str(new.file_meta.TransferSyntaxUID), 'another')}"
        for path, new in got.items()
        if new.file_meta.TransferSyntaxUID != sent[path].file_meta.TransferSyntaxUID
    ]


def _origin(specimens: Sequence[Specimen], sent: dict[Path, Any], got: dict[Path, Any]) -> list[str]:
    files = next(s for s in specimens if s.name == "derived").files
    if any(path not in got for path in files):
        return ["the derived series did not come back"]
    return sorted({name for path in files for name in ORIGIN if sent[path].get(name) != got[path].get(name)})


def _objects(
    specimens: Sequence[Specimen], back: dict[str, bytes], uid_of: dict[Path, str], folder: Path
) -> list[Outcome]:
    """Read segmentation, structure set and report as they came back, on the source as it came back."""
    by_name = {s.name: s for s in specimens}
    returned: dict[Path, Path] = {}
    for k, (path, uid) in enumerate(uid_of.items()):
        if uid in back:
            returned[path] = folder / f"back-{k:04d}.dcm"
            returned[path].write_bytes(back[uid])
    sources = list(by_name["source"].files)

    def same(name: str, read: Callable[..., Any], on_source: bool) -> list[str]:
        path = by_name[name].files[0]
        if path not in returned or any(p not in returned for p in sources):
            return ["it, or its source, did not come back"]
        try:
            old = read(path, sources) if on_source else read(path)
            new = read(returned[path], [returned[p] for p in sources]) if on_source else read(returned[path])
        except ValidationProblem as problem:
            return [f"it cannot be read: {problem.what}"]
        alike = old == new if not on_source else list(old) == list(new) and all((old[k] == new[k]).all() for k in old)
        return [] if alike else ["it holds something else"]

    return [
        _outcome("IF-12", same("segmentation", read_segmentation, True), "Masks compared bit by bit."),
        _outcome("IF-13", same("structure set", read_structure_set, True), "Contours filled and compared bit by bit."),
        _outcome("IF-14", same("report", read_measurements, False), "Names, values and units compared."),
    ]


def _again(channel: Channel, source: Specimen, folder: Path, series: Sequence[Series]) -> list[Outcome]:
    """Send one object again, then another one under its UID."""
    path = source.files[0]
    ds = parse_dataset(path.read_bytes(), str(path))
    place = next((s for s in series if s.uid == str(ds.SeriesInstanceUID)), None)
    if place is None:
        gone = ["the source series was not found"]
        return [_outcome("IF-15", gone, ""), _outcome("IF-16", gone, "")]
    channel.store([path], lambda _path, _reason: None)
    count = sum(i.uid == str(ds.SOPInstanceUID) for i in channel.find_instances(place))
    instances = len(channel.find_instances(place))
    wrong = (
        [] if (count, instances) == (1, len(source.files)) else [f"{instances} objects instead of {len(source.files)}"]
    )
    changed = parse_dataset(path.read_bytes(), str(path))
    changed.PixelData = bytes(len(changed.PixelData))
    other = folder / "changed.dcm"
    changed.save_as(other, enforce_file_format=True)
    refused: list[str] = []
    channel.store([other], lambda _path, reason: refused.append(reason))
    kept: list[bytes] = []
    wanted = [i for i in channel.find_instances(place) if i.uid == str(ds.SOPInstanceUID)]
    channel.fetch(wanted[:1], lambda _instance, data: kept.append(data))
    first = bool(kept) and parse_dataset(kept[0], "the archive").PixelData == ds.PixelData
    words = (
        "The archive keeps the first."
        if first
        else "The archive keeps the later one: an object can be replaced unseen."
    )
    if refused and refused[0]:
        words += f" It refuses the second ({refused[0]})."
    return [
        _outcome("IF-15", wrong, "One object after sending it twice."),
        Outcome(id="IF-16", outcome="reported", detail=words),
    ]
