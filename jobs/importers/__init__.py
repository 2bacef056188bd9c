"""Jobs from other schedulers: read what they have, say what of it cannot be carried over.

Pure: knows no Django. Each importer answers `Candidate`s; the commands save them.
"""

from jobs.importers.candidate import Candidate
from jobs.importers.names import Names

__all__ = ["Candidate", "Names"]
