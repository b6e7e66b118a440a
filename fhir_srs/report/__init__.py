"""Estimates as people and programs read them: tables, JSON, CSV. No figure is computed here."""
