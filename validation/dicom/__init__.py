"""DICOM and other image files as arrays with spacing, unit and tags that identify nobody."""
