"""The auditor's viewer: one page of a run without a network, the same page served here, and a shelf of runs.

The page is a view. It is made from the record alone, it changes nothing, and the same run gives the same bytes, so that
a page that was altered is found by making it again.
"""

from validation.dossier.viewer.page import made_by_this_version, run_page
from validation.dossier.viewer.server import serve
from validation.dossier.viewer.shelf import shelf_page

__all__ = ["made_by_this_version", "run_page", "serve", "shelf_page"]
