"""Models side by side on one locked protocol and one set of cases: what differs, and which model is fit for what."""
