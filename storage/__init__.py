"""What a study stores: frozen records, and the database that holds them. Imports no other package of the project."""

from storage.backup import back_up, problems_of
from storage.errors import LockedError, StorageError
from storage.file_check import needs_upgrade
from storage.records import (
    OUT_OF_TIME,
    ChoiceRecord,
    DiagnosisRecord,
    FoldRecord,
    ImageRecord,
    Json,
    LayerRecord,
    Params,
    ReferenceRecord,
    RunRecord,
    Split,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from storage.store import Closing, Store

__all__ = [
    "OUT_OF_TIME",
    "ChoiceRecord",
    "Closing",
    "DiagnosisRecord",
    "FoldRecord",
    "ImageRecord",
    "Json",
    "LayerRecord",
    "LockedError",
    "Params",
    "ReferenceRecord",
    "RunRecord",
    "Split",
    "StorageError",
    "Store",
    "StudyRecord",
    "TrialRecord",
    "TrialState",
    "back_up",
    "needs_upgrade",
    "problems_of",
]
