"""Mapping of any amount of files: local processes, and a spill folder between the steps.

`mapped_files` is the door. It gives what `mapping.map_resources` gives, as lines and without holding it in
memory; `map_study` gives what endpoints need of it.
"""

from fhir_srs.engine.run import MappedFiles, map_study, mapped_files

__all__ = ["MappedFiles", "map_study", "mapped_files"]
