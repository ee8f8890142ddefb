"""Removing identities from DICOM objects by PS3.15 Annex E, under a key, so that every pull gives the same pseudonyms.

Everything that the Basic Profile removes is removed. Beyond it, private attributes, attributes that the data dictionary
does not know, overlays, curves and persons' names go, every UID that is not of the standard is replaced, and texts that
repeat an identifier of the patient are dropped. Pixels are not changed: an image that may show text is refused, and
faces in heads are not hidden.
"""

from __future__ import annotations

import hmac
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from validation import __version__
from validation.dicom.confidentiality import Options, Rules, rules
from validation.dicom.services import pulled_classes
from validation.dicom.uids import uid_of
from validation.errors import DataProblem

_TEXT = ("CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT")
_DUMMIES = {"DA": "19000101", "TM": "000000", "DT": "19000101", "AS": "", "CS": "REMOVED", "AE": "REMOVED"}
_OFFSET_DAYS = 3652
_OLDEST = 90
_TIME = re.compile(r"[0-9:.+-]*")


class Deidentifier:
    """De-identifies objects of any number of patients under one key and one profile.

    Attributes
    ----------
    done
        How often which action was taken, by keyword of the attribute; holds no values.
    """

    def __init__(self, key: bytes, options: Options) -> None:
        self._key = key
        self.options = options
        self.done: Counter[str] = Counter()
        self._rules: Rules = rules()

    def patient(self, identifier: str) -> str:
        """Return the pseudonym of a patient's identifier, the same in every pull under this key."""
        return "P-" + self._digest("patient", identifier.strip()).hex()[:16]

    def uid(self, uid: str) -> str:
        """Return the replacement of a UID; UIDs of the standard (classes, syntaxes) stay."""
        if uid.startswith("1.2.840.10008.") or not uid:
            return uid
        return uid_of(self._digest("uid", uid.strip()))

    def apply(self, ds: Any) -> Any:
        """De-identify a dataset in place and return it; its file meta information is replaced.

        Raises
        ------
        DataProblem
            PACS-021 if its kind is not pulled or its pixels may show text; PACS-022 without patient and study.
        """
        self._check(ds)
        ds.decode()
        patient = str(ds.get("PatientID") or "").strip() or str(ds.get("StudyInstanceUID") or "").strip()
        if not patient:
            raise _refused("this object names no patient and no study.", "PACS-022")
        needles = _identifiers(ds)
        days = 1 + int.from_bytes(self._digest("dates", patient)[:8], "big") % _OFFSET_DAYS
        self._clean(ds, timedelta(days=-days), needles)
        ds.PatientID = self.patient(patient)
        ds.PatientName = f"Pseudonym^{ds.PatientID}"
        ds.PatientIdentityRemoved = "YES"
        ds.LongitudinalTemporalInformationModified = "MODIFIED" if self.options.dates == "shift" else "REMOVED"
        ds.DeidentificationMethod = f"genmed-validation {__version__}, PS3.15 {self._rules.edition}"
        ds.DeidentificationMethodCodeSequence = [_code(value, meaning) for value, meaning in self.options.codes()]
        self._meta(ds)
        self.done["object"] += 1
        return ds

    def _check(self, ds: Any) -> None:
        name = pulled_classes().get(str(ds.get("SOPClassUID") or ""))
        if name is None:
            raise _refused("objects of this kind are not pulled.", "PACS-021")
        burned = str(ds.get("BurnedInAnnotation") or "").strip().upper()
        often = name in self._rules.text_classes or str(ds.get("Modality") or "") in self._rules.text_modalities
        screen = "SCREEN SAVE" in [str(part).upper() for part in ds.get("ImageType") or []]
        if burned == "YES" or ((often or screen) and burned != "NO"):
            raise _refused("the pixels of this object show text, or may show it, and are not cleaned.", "PACS-021")

    def _clean(self, ds: Any, shift: timedelta, needles: list[str]) -> None:
        """Clean one level and everything below it."""
        from pydicom.datadict import dictionary_has_tag

        for element in list(ds):
            tag, keyword = element.tag, element.keyword or str(element.tag)
            if tag.is_private or tag.group in range(0x5000, 0x5100) or tag.group in range(0x6000, 0x6100):
                self._remove(ds, tag, "private" if tag.is_private else "overlay or curve")
            elif not dictionary_has_tag(tag) or element.VR == "UN":
                self._remove(ds, tag, "unknown")
            elif not self._by_rule(ds, element, keyword, shift):
                if element.VR == "SQ":
                    for item in element.value:
                        self._clean(item, shift, needles)
                elif element.VR == "UI":
                    self._replace_uids(element, keyword)
                elif element.VR == "PN":
                    self._remove(ds, tag, keyword)
                elif element.VR in _TEXT and _holds(element.value, needles):
                    self._remove(ds, tag, f"repeats an identifier: {keyword}")

    def _by_rule(self, ds: Any, element: Any, keyword: str, shift: timedelta) -> bool:
        """Apply table and options; return whether the attribute is settled."""
        action, options = self._rules.actions.get(int(element.tag)), self.options
        if action is None or action == "U":
            return False
        if element.tag in self._rules.characteristics and options.patient_characteristics:
            if keyword == "PatientAge":
                element.value = _age(str(element.value))
            return True
        if element.tag in self._rules.device and options.device != "remove":
            if options.device == "pseudonym":
                element.value = "D-" + self._digest("device", str(element.value)).hex()[:12]
                self.done[f"pseudonym: {keyword}"] += 1
            return True
        if element.tag in self._rules.descriptors and options.descriptors == "clean":
            kept = self._words(str(element.value))
            if kept or "X" not in action:
                element.value = kept or "removed"
                self.done[f"cleaned: {keyword}"] += 1
                return True
        if element.VR in ("DA", "DT", "TM") and options.dates == "shift" and keyword != "PatientBirthDate":
            if element.VR == "TM" and _TIME.fullmatch(str(element.value)):  # days are shifted, so times of day stay
                return True
            shifted = [_shifted(str(v), shift) for v in (element.value if element.VM > 1 else [element.value])]
            if element.VR != "TM" and all(shifted):
                element.value = shifted if len(shifted) > 1 else shifted[0]
                self.done[f"shifted: {keyword}"] += 1
                return True
        if action == "X/Z/U*":
            return False  # keep the reference, replace its UIDs
        if "Z" in action and element.VR != "SQ":
            element.value = ""
            self.done[f"emptied: {keyword}"] += 1
        elif action == "D" and element.VR in (*_DUMMIES, *_TEXT):
            element.value = _DUMMIES.get(element.VR, "removed")
            self.done[f"dummy: {keyword}"] += 1
        else:
            self._remove(ds, element.tag, keyword)
        return True

    def _replace_uids(self, element: Any, keyword: str) -> None:
        values = [str(v) for v in (element.value if element.VM > 1 else [element.value])]
        replaced = [self.uid(v) for v in values]
        if replaced != values:
            element.value = replaced if len(replaced) > 1 else replaced[0]
            self.done[f"UID: {keyword}"] += 1

    def _meta(self, ds: Any) -> None:
        """Replace the file meta information, which may name the source application, and the preamble."""
        from pydicom.dataset import FileMetaDataset

        syntax = ds.file_meta.TransferSyntaxUID
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = syntax
        ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = (
            ds.SOPClassUID,
            ds.SOPInstanceUID,
        )
        ds.preamble = bytes(128)

    def _remove(self, ds: Any, tag: Any, what: str) -> None:
        del ds[tag]
        self.done[f"removed: {what}"] += 1

    def _words(self, text: str) -> str:
        words = re.findall(r"[A-Za-z]+\d*|\d+(?:\.\d+)?mm\b", text)
        kept = [w for w in words if w.lower() in self._rules.words or re.fullmatch(r"\d{1,2}(\.\d{1,2})?mm", w)]
        return " ".join(kept)[:64]

    def _digest(self, domain: str, text: str) -> bytes:
        return hmac.digest(self._key, f"{domain}\0{text}".encode(), "sha256")


def _identifiers(ds: Any) -> list[str]:
    """Return, in lower case, what identifies the patient in this object and might be repeated in a text."""
    found = {
        part.lower()
        for keyword in ("PatientName", "OtherPatientNames", "PatientBirthName")
        for part in re.split(r"[\^=\s,]+", str(ds.get(keyword) or ""))
        if len(part) >= 3
    }
    for keyword in ("PatientID", "AccessionNumber", "PatientBirthDate", "StudyID"):
        value = str(ds.get(keyword) or "").strip().lower()
        if len(value) >= 4:
            found.add(value)
    return sorted(found)


def _holds(value: Any, needles: list[str]) -> bool:
    text = str(value).lower()
    return any(re.search(rf"(?<![a-z0-9]){re.escape(needle)}(?![a-z0-9])", text) for needle in needles)


def _age(text: str) -> str:
    """Return an age string with everybody older than 89 years as 90 (45 CFR 164.514(b)(2)(i)(C)).

    >>> _age("104Y"), _age("045Y"), _age("x")
    ('090Y', '045Y', '')
    """
    match = re.fullmatch(r"\s*(\d{3})([YMWD])\s*", text)
    if match is None:
        return ""
    years = int(match[1]) / {"Y": 1, "M": 12, "W": 52.1775, "D": 365.25}[match[2]]
    return f"{_OLDEST:03d}Y" if years > _OLDEST - 1 else text.strip()


def _shifted(text: str, shift: timedelta) -> str:
    """Return a date (DA) or time stamp (DT) shifted by whole days; empty if it is not one.

    >>> [_shifted(text, timedelta(days=-1)) for text in ("20240301", "20240301101112.5+0100", "20240301 Smith", "?")]
    ['20240229', '20240229101112.5+0100', '', '']
    """
    head = text.strip()[:8]
    try:
        tail = text.strip()[8:]
        return (datetime.strptime(head, "%Y%m%d") + shift).strftime("%Y%m%d") + tail if _TIME.fullmatch(tail) else ""
    except (ValueError, OverflowError):
        return ""


def _code(value: str, meaning: str) -> Any:
    from pydicom.dataset import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _refused(what: str, code: str) -> DataProblem:
    return DataProblem(
        what,
        code=code,
        why="What the profile does not clean must not reach a cohort folder.",
        action="Leave it out of the query, or have the site clean it.",
    )
