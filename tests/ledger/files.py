"""The Files API, and files in sessions."""

from tests.ledger.requirement import Requirement

REQUIREMENTS = (
    Requirement(
        "files:upload:metadata",
        "resources F-10",
        "An upload answers the file's metadata, the same for both namespaces of the SDK.",
    ),
    Requirement(
        "files:upload:name",
        "resources F-12",
        "The last component of the filename is kept; without one it is unnamed and an extension.",
    ),
    Requirement(
        "files:upload:name-rules",
        "resources F-12",
        "A filename of more than 255 characters, or with one that is not allowed, is answered 400.",
    ),
    Requirement(
        "files:upload:type",
        "resources F-3",
        "The media type is the part's, else the one of the name's extension or of the first bytes.",
    ),
    Requirement(
        "files:upload:expiry",
        "resources F-13",
        "expires_in_seconds is 3,600 to 7,776,000; without it a file never expires.",
    ),
    Requirement(
        "files:upload:form",
        "resources F-3",
        "A form without a file, with unknown parts or cut off is answered 400, and nothing is kept.",
    ),
    Requirement(
        "files:upload:stream",
        "resources F-15",
        "An upload is stored as it arrives: memory does not grow with its size.",
    ),
    Requirement(
        "files:upload:too-large", "resources F-15", "A file above the limit is answered 413."
    ),
    Requirement(
        "files:upload:quota",
        "resources F-15",
        "Above the storage quota an upload is answered 400 with code storage_quota_exceeded.",
    ),
    Requirement(
        "files:limit:calls",
        "resources F-15",
        "Calls above the operator's limit a minute are answered 429; there is none by default.",
    ),
    Requirement(
        "files:list:pages",
        "resources F-17",
        "Files are listed newest first, limit 1 to 1000 and 20 by default, with page_ cursors.",
    ),
    Requirement(
        "files:list:ids",
        "resources F-17",
        "ids[] gives one page of up to 100 files; unknown ids are left out.",
    ),
    Requirement("files:list:scope", "resources F-18", "scope_id lists the files of one session."),
    Requirement(
        "files:list:legacy",
        "resources F-2",
        "With files-api-2025-04-14 lists are read by ids and metadata has no expires_at.",
    ),
    Requirement(
        "files:retrieve:workspace",
        "resources C-8",
        "A file of another workspace, or none, is answered 404 by every call.",
    ),
    Requirement(
        "files:download:uploads",
        "resources F-11",
        "The content of an uploaded file is answered 400 with code file_not_downloadable.",
    ),
    Requirement(
        "files:download:bytes",
        "resources F-11",
        "What a session made, and uploads if the operator allows it, download as they are.",
    ),
    Requirement(
        "files:expiry:content",
        "resources F-14",
        "After expiry content is answered 404 with code file_expired; metadata and lists stay.",
    ),
    Requirement(
        "files:expiry:use", "resources F-14", "An expired file cannot be used in a session."
    ),
    Requirement(
        "files:delete:answer", "resources F-16", "Delete answers {id, type: file_deleted}."
    ),
    Requirement(
        "files:session:copy",
        "resources F-21",
        "Attaching a file makes a copy with an id and the scope of the session; it does not count.",
    ),
    Requirement(
        "files:session:mount-path",
        "resources F-22",
        "Mount paths are rooted once at /mnt/session/uploads; two files never share a place.",
    ),
    Requirement(
        "files:session:mounted",
        "resources F-23",
        "Mounted files are read-only; files added later appear in the running sandbox.",
    ),
    Requirement(
        "files:session:outputs",
        "resources F-25",
        "What is in /mnt/session/outputs is listed with the session's scope and downloads.",
    ),
    Requirement(
        "files:session:overwritten",
        "resources F-25",
        "An output that was overwritten is a new file in the place of the old one.",
    ),
    Requirement(
        "files:session:deleted",
        "resources F-26",
        "Deleting a session deletes its copies and outputs; uploaded originals stay.",
    ),
    Requirement(
        "files:events:content",
        "resources F-27",
        "Images and documents of events may be files; the model gets their bytes.",
    ),
    Requirement(
        "files:events:refused",
        "resources F-27",
        "An event with an unknown file, or one of the wrong kind, is refused.",
    ),
    Requirement(
        "files:events:rubric", "core 6.3", "A rubric in a file comes back resolved as text."
    ),
)
