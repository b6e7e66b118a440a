"""See design.md, section 2."""
