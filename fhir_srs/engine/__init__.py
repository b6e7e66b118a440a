"""Mapping of any amount of files: local processes, and a spill folder between the steps.

`mapped_files` is the door. It gives what `mapping.map_resources` gives, in files' order and without holding
it in memory.
"""

from fhir_srs.engine.run import MappedFiles, mapped_files

__all__ = ["MappedFiles", "mapped_files"]
