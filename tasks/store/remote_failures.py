"""Failures of object storage as typed errors that say what to set or check, and never show a key or a secret."""

import re
from collections.abc import Iterator

from tasks.contracts.errors import StorageFullError, StoreError
from tasks.store.failures import store_error

_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_BY_CODE = {
    "NoSuchBucket": "Make the bucket, or correct the URL of the store (STAGEGATE_STORE).",
    "InvalidBucketName": "Correct the URL of the store (STAGEGATE_STORE): s3://bucket/prefix.",
    "InvalidAccessKeyId": f"Check {_KEYS}: the server does not know this key.",
    "SignatureDoesNotMatch": f"Check {_KEYS}: the secret does not fit the key.",
    "ExpiredToken": f"Renew {_KEYS} and AWS_SESSION_TOKEN.",
    "InvalidToken": f"Renew {_KEYS} and AWS_SESSION_TOKEN.",
    "AccessDenied": f"Check {_KEYS}, or give their owner access to the bucket.",
    "403": f"Check {_KEYS}, or give their owner access to the bucket.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
}
_FULL = {"QuotaExceeded", "InsufficientCapacity", "507"}
_BY_CLASS = {
    "NoCredentialsError": f"Set {_KEYS}, or AWS_PROFILE.",
    "PartialCredentialsError": f"Set both {_KEYS}.",
    "ProfileNotFound": f"Correct AWS_PROFILE, or set {_KEYS}.",
}
_NO_ANSWER = {"HTTPClientError", "ConnectionError", "FSTimeoutError", "TimeoutError"}  # with all their subclasses
_DROPPED = {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError"}


def remote_error(error: BaseException, doing: str, url: str) -> StoreError:
    """The typed error for a failure met while `doing` something (a verb such as "write") to an object."""
    code, kind = code_of(error), type(error).__name__
    if code in _FULL:
        remedy = "Raise the quota or clean up, then run again; what was finished is kept."
        return StorageFullError(f"no space left to {doing} it", where=url, found=code, remedy=remedy)
    if code in _BY_CODE or kind in _BY_CLASS:
        remedy = _BY_CODE.get(code) or _BY_CLASS[kind]
        return StoreError(f"could not {doing} it", where=url, found=code or kind, remedy=remedy)
    if _NO_ANSWER & _classes(error):
        remedy = "Check that the server runs and that AWS_ENDPOINT_URL is its address, then run again."
        return StoreError(f"could not {doing} it", where=url, found=f"no answer ({kind})", remedy=remedy)
    if isinstance(error, ValueError) and str(error).startswith("Invalid endpoint"):
        remedy = "Correct AWS_ENDPOINT_URL: http://host:port."
        return StoreError(f"could not {doing} it", where=url, found="no usable endpoint", remedy=remedy)
    return _other(error, doing, url, code)


def code_of(error: BaseException | None) -> str:
    """What an S3 server calls the failure, for example `NoSuchKey`; empty where it is not the server's."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def was_dropped(error: BaseException) -> bool:
    """Whether the connection broke in the middle of an answer."""
    return bool(_DROPPED & _classes(error))


def without_user_info(url: str) -> str:
    """The text with the user and password of every URL in it masked."""
    return _USER_INFO.sub("***@", url)


def _other(error: BaseException, doing: str, url: str, code: str) -> StoreError:
    typed = store_error(error, doing, url)
    if code and type(typed) is StoreError:
        return StoreError(typed.what, where=url, found=f"{type(error).__name__} {code}", remedy=typed.remedy)
    found = without_user_info(str(typed.found)) if typed.found is not None else None
    return type(typed)(typed.what, where=url, found=found, remedy=typed.remedy)


def _classes(error: BaseException) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
