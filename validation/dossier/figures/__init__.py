"""Figures of the dossier, drawn with Matplotlib from the record, as SVG for HTML and PDF and PNG for Word."""
