"""Textual themes and style sheets, as data."""
