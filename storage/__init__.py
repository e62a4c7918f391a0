"""What a study stores: frozen records, and the database that holds them. Imports no other package of the project."""

from storage.copying import Copied, back_up, copy
from storage.errors import LockedError, StorageError
from storage.place import (
    changes_of,
    is_on_server,
    link,
    needs_upgrade,
    place_of,
    problems_of,
    studies_on,
    writer_of,
)
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
from storage.server import ServerUrl, is_url, linked, name_for
from storage.store import Closing, Store

__all__ = [
    "OUT_OF_TIME",
    "ChoiceRecord",
    "Closing",
    "Copied",
    "DiagnosisRecord",
    "FoldRecord",
    "ImageRecord",
    "Json",
    "LayerRecord",
    "LockedError",
    "Params",
    "ReferenceRecord",
    "RunRecord",
    "ServerUrl",
    "Split",
    "StorageError",
    "Store",
    "StudyRecord",
    "TrialRecord",
    "TrialState",
    "back_up",
    "changes_of",
    "copy",
    "is_on_server",
    "is_url",
    "link",
    "linked",
    "name_for",
    "needs_upgrade",
    "place_of",
    "problems_of",
    "studies_on",
    "writer_of",
]
