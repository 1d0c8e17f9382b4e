"""What files tell about a patient, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Privacy(StrEnum):
    """What is done about what a file would tell of the patient.

    ``TELL`` writes it as it is, ``ANONYMOUS`` leaves the patient out, ``REFUSE`` writes nothing
    that would tell anything.
    """

    TELL = "tell"
    ANONYMOUS = "anonymous"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Disclosure:
    """Something that a file would tell.

    Attributes
    ----------
    what : str
        In words, e.g. "the patient's name"; never the value.
    file_name : str
    is_in_name : bool
        It stands in the name of the file or of a label, which nobody but the user changes.
    """

    what: str
    file_name: str
    is_in_name: bool = False
