"""What is wrong with an S3 store is said in one typed error that names what to do and shows no secret."""

import logging
import time
import traceback

import pytest

from tasks.contracts.errors import ConfigError, StorageFullError, StoreError
from tasks.store.blobs import Store
from tests.engines.ceph import free_ports
from tests.engines.s3 import forget_clients

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"


@pytest.fixture
def settings(bucket, monkeypatch):
    """Change variables of the environment; the clients of the test read them anew."""

    def change(**variables):
        for name, value in variables.items():
            monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        forget_clients()

    yield change
    forget_clients()


def refusal(root: str, error: type[StoreError] = StoreError) -> pytest.ExceptionInfo:
    """How the store refuses the first look, which must be how it refuses a put."""
    with pytest.raises(error) as look:
        Store(root).place.stamp("x")
    with pytest.raises(error) as put:
        Store(root).put_bytes(b"abc", name="x")
    assert look.value.remedy.split(":")[0] == put.value.remedy.split(":")[0]
    return put


@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials(s3, s3_root, settings, caplog, wrong):
    settings(**{wrong: "wrong-on-purpose"})
    with caplog.at_level(logging.DEBUG):
        error = refusal(s3_root)
    assert KEYS in str(error.value) and s3_root in str(error.value)
    told = "".join(traceback.format_exception(error.value)) + caplog.text
    secret = "wrong-on-purpose" if wrong == "AWS_SECRET_ACCESS_KEY" else s3.secret
    assert secret not in told


def test_no_credentials(s3_root, settings, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    settings(AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert f"Set {KEYS}, or AWS_PROFILE." in str(refusal(s3_root).value)


def test_half_of_the_credentials(s3_root, settings):
    settings(AWS_SECRET_ACCESS_KEY=None)
    assert f"Set both {KEYS}." in str(refusal(s3_root).value)


def test_unknown_profile(s3_root, settings):
    settings(AWS_PROFILE="nobody")
    assert "Correct AWS_PROFILE" in str(refusal(s3_root).value)


def test_missing_bucket(bucket):
    error = refusal("s3://bucket-of-nobody/store")
    assert "s3://bucket-of-nobody/store" in str(error.value)
    assert "NoSuchBucket. Make the bucket" in str(error.value)


@pytest.mark.parametrize("url", ["s3://", "s3:///store"])
def test_url_without_a_bucket(url):
    with pytest.raises(ConfigError, match=r"names no bucket.*s3://bucket/prefix"):
        Store(url)


def test_url_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(ConfigError, match=r"s3://\*\*\*@bucket/store holds a user name or a password") as error:
        Store(f"s3://me:{'pass-word'}@bucket/store")
    assert "pass-word" not in str(error.value) and error.value.__cause__ is None


def test_nobody_listens(s3_root, settings):
    (port,) = free_ports(1)
    settings(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"no answer .*AWS_ENDPOINT_URL is its address"):
        Store(s3_root).put_bytes(b"abc", name="x")
    assert time.monotonic() - began < 30


def test_endpoint_that_is_no_url(s3_root, settings):
    settings(AWS_ENDPOINT_URL="nonsense")
    assert "Correct AWS_ENDPOINT_URL" in str(refusal(s3_root).value)


def test_the_endpoint_of_s3_alone_goes_before_the_general_one(s3, s3_root, settings):
    settings(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_ENDPOINT_URL_S3=s3.endpoint)
    assert Store(s3_root).put_bytes(b"abc", name="x").size == 3


def test_exceeded_quota_is_a_full_storage(s3, bucket, s3_root):
    s3.limit_objects(bucket, 1)
    try:
        with pytest.raises(StorageFullError, match="Raise the quota"):
            for i in range(3):
                Store(s3_root).put_bytes(b"%d" % i, name="x")
    finally:
        s3.limit_objects(bucket, -1)
