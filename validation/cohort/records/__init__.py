"""Importers of health records: MEDS, OMOP CDM and FHIR into one form of patients and dated events.

An importer only copies and counts. What it left out, and why, stands in ``import.json`` beside the tables, so that no
record is lost silently between a hospital's system and a study.
"""

from validation.cohort.records.fhir import read_fhir
from validation.cohort.records.meds import read_meds
from validation.cohort.records.omop import read_omop
from validation.cohort.records.tables import Records, Split, write_records

__all__ = ["Records", "Split", "read_fhir", "read_meds", "read_omop", "write_records"]
