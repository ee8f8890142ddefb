"""The record of a run: results, events, manifest, signatures, approvals, and their verification offline."""
