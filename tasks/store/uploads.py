"""What interrupted multi-part uploads leave on an S3 server: parts that nobody sees, and that take space until dropped.

They are listed under keys of temporary files beside the object they would have become: `.tmp-<name>~<upload id>`.
"""

from collections.abc import Iterator
from typing import Any

import fsspec

from tasks.store.places import TEMP_PREFIX, Stamp, is_temporary
from tasks.store.remote_failures import code_of

_MARK = "~"  # stands in no name of the store
_NOT_LISTED = {"NotImplemented", "501", "MethodNotAllowed", "405", "AccessDenied", "403"}


def is_upload(key: str) -> bool:
    """Whether a key names an unfinished upload."""
    return is_temporary(key) and _MARK in key


def unfinished(fs: fsspec.AbstractFileSystem, root: str, target: str = "") -> Iterator[tuple[str, Stamp]]:
    """Unfinished uploads of objects below a root whose keys start with `target`; none where the server hides them."""
    bucket, _, prefix = root.partition("/")
    top = f"{prefix}/" if prefix else ""
    for upload in _listed(fs, bucket, top + target):
        folder, slash, name = upload["Key"][len(top) :].rpartition("/")
        key = f"{folder}{slash}{TEMP_PREFIX}{name}{_MARK}{upload['UploadId']}"
        yield key, Stamp(_size(fs, bucket, upload), upload["Initiated"].timestamp(), (upload["UploadId"],))


def stamp_of(fs: fsspec.AbstractFileSystem, root: str, key: str) -> Stamp | None:
    """Size and age of one, or None where it is finished or dropped."""
    target, _ = _parsed(key)
    return dict(unfinished(fs, root, target)).get(key)


def drop(fs: fsspec.AbstractFileSystem, root: str, key: str) -> None:
    """Forget the parts; nothing happens where there are none."""
    bucket, _, prefix = root.partition("/")
    target, upload_id = _parsed(key)
    try:
        fs.abort_mpu(bucket, f"{prefix}/{target}".lstrip("/"), upload_id)
    except FileNotFoundError:
        return


def _parsed(key: str) -> tuple[str, str]:
    folder, slash, name = key.rpartition("/")
    target, _, upload_id = name.removeprefix(TEMP_PREFIX).partition(_MARK)
    return f"{folder}{slash}{target}", upload_id


def _listed(fs: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    marks: dict[str, str] = {}
    while True:
        try:
            page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marks)
        except OSError as error:
            if code_of(error) in _NOT_LISTED:
                return
            raise
        yield from page.get("Uploads", ())
        if not page.get("IsTruncated"):
            return
        marks = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}


def _size(fs: Any, bucket: str, upload: dict[str, Any]) -> int:
    try:
        found = fs.call_s3("list_parts", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    except FileNotFoundError:  # finished or dropped since it was listed
        return 0
    return sum(part["Size"] for part in found.get("Parts", ()))
