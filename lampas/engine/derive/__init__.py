"""Derivatives: a rule for each primitive, the tape, and the backward walk."""
