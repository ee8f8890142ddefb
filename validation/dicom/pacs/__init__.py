"""Talking to a picture archive over DICOMweb and DIMSE: pull a cohort, push derived objects, prove what it keeps."""
