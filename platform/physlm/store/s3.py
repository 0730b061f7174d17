"""A store in a bucket of MinIO, SeaweedFS, AWS or any other server that speaks S3.

The SHA-256 of each object is in its metadata (`x-amz-meta-sha256`); S3 itself makes every put atomic. Uploads that a
killed writer left unfinished are invisible; give the bucket a lifecycle rule (AbortIncompleteMultipartUpload) to have
them removed.

Environment:
    PHYSLM_S3_ENDPOINT                            e.g. http://minio.minio:9000 or https://s3.amazonaws.com
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY      or MINIO_ACCESS_KEY, MINIO_SECRET_KEY, or ~/.aws/credentials,
    AWS_SESSION_TOKEN                             or the web identity of a Kubernetes service account
    AWS_REGION                                    spares the question to the server
    SSL_CERT_FILE                                 certificate authorities, where the usual ones don't do
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO
from urllib.parse import urlsplit

from physlm import environment
from physlm.errors import StoreConfigError
from physlm.store.keys import check_key, check_prefix, is_key
from physlm.store.store import Store, register

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@register
class S3Store(Store):
    """Objects of a bucket, those under the address's prefix.

    Nothing is asked of the server before the first use. Raises StoreConfigError if the address, the endpoint or the
    credentials can't be used, or the minio client is not installed.
    """

    scheme = "s3"
    form = "s3://bucket/prefix"

    def __init__(self, address: str) -> None:
        try:
            from physlm.store.s3_client import Bucket
        except ModuleNotFoundError:
            raise StoreConfigError(
                "an s3:// store needs the minio client; install it with: pip install 'physlm[s3]'"
            ) from None
        bucket, prefix = _place(address)
        endpoint = _endpoint()
        environment.warn_of_plain_http(endpoint, "credentials and data of the store")
        self._bucket = Bucket(endpoint, bucket, prefix)
        self.url = self._bucket.url

    @classmethod
    def open(cls, address: str) -> S3Store:
        return cls(address)

    def create(self, key: str, data: bytes) -> bool:
        check_key(key)
        return self._bucket.create(key, data)

    def exists(self, key: str) -> bool:
        check_key(key)
        return self._bucket.exists(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        yield from self._bucket.list(prefix)

    def delete(self, key: str) -> None:
        check_key(key)
        self._bucket.delete(key)

    def _read(self, key: str, sink: BinaryIO) -> None:
        check_key(key)
        self._bucket.read(key, sink)

    def _write(self, key: str, source: BinaryIO) -> None:
        check_key(key)
        self._bucket.write(key, source)


def _place(address: str) -> tuple[str, str]:
    """Bucket and prefix of an address. The prefix ends with a slash unless it is empty."""
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    if not _BUCKET.fullmatch(bucket) or (prefix and not is_key(prefix)):
        raise StoreConfigError(
            "the store's address must be s3://bucket or s3://bucket/prefix: the bucket 3 to 63 lower-case letters, "
            "digits, dots and dashes, the prefix as in keys, and no credentials"
        )
    return bucket, prefix and prefix + "/"


def _endpoint() -> str:
    """The server's address: scheme, host and port."""
    try:
        url = urlsplit(environment.text(environment.S3_ENDPOINT) or "")
        known = url.port is None or url.port > 0
    except ValueError:  # a port that is no number, brackets without an end
        known = False
    if (
        not known
        or url.scheme not in ("http", "https")
        or not url.hostname
        or url.path.strip("/")
        or url.query
        or "@" in url.netloc
    ):
        raise StoreConfigError(
            "PHYSLM_S3_ENDPOINT must be set to the S3 server's http:// or https:// address, without a path and without "
            "credentials, e.g. http://127.0.0.1:9000 or https://s3.amazonaws.com"
        )
    return f"{url.scheme}://{url.netloc}"
