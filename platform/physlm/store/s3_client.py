"""The requests of an S3 store, by the minio client; imported when such a store is opened, never before."""

from __future__ import annotations

import hashlib
import mimetypes
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import BinaryIO, cast
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.credentials.providers import AWSConfigProvider, IamAwsProvider, Provider, StaticProvider
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError, MaxRetryError

from physlm import environment
from physlm.errors import CorruptObject, MissingObject, StoreConfigError, StoreError
from physlm.store.files import CHUNK, chunks, reason
from physlm.store.keys import is_key

PART = 8 << 20  # bytes of an upload's part; four of them are in memory at a time
MOST_PARTS = 10_000  # S3's limit

_DIGEST = "x-amz-meta-sha256"
_WRITER = "x-amz-meta-writer"

_CREDENTIALS = (
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", "AWS_SESSION_TOKEN"),
    ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "AWS_SESSION_TOKEN"),
)
_REFUSALS = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}


class Bucket:
    """Objects of a bucket, those under a prefix. Methods are those of the Store contract; who calls them checks keys.

    Requests that fail on the way are repeated `retries` times, after 0, 0.4, 0.8, ... seconds. Nothing is asked of the
    server before the first use. Raises StoreConfigError if there are no credentials.
    """

    def __init__(self, endpoint: str, bucket: str, prefix: str, retries: int = 5) -> None:
        self._endpoint, self._bucket, self._prefix = endpoint, bucket, prefix
        self.url = f"s3://{bucket}/{prefix}".removesuffix("/")
        self._retries = urllib3.Retry(
            total=retries,
            backoff_factor=0.2,
            backoff_jitter=0.1,
            allowed_methods=None,  # all of ours may be repeated
            status_forcelist=[409, 429, 500, 502, 503, 504],  # 409: two conditional puts at the same instant
            raise_on_status=False,
            redirect=False,  # a redirect could take credentials and data to another host
        )
        self._client = Minio(
            urlsplit(self._endpoint).netloc,
            secure=self._endpoint.startswith("https"),
            credentials=_credentials(),
            region=environment.text("AWS_REGION"),
            http_client=urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=5, read=60),
                retries=self._retries,
                ca_certs=environment.text("SSL_CERT_FILE") or certifi.where(),
            ),
        )
        self._bucket_seen = False
        self._conditions_checked = False

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; whether it was written."""
        name = self._name(key)
        with self._explained("write", key):
            self._check_conditions()
            return self._put_if_absent(name, data)

    def exists(self, key: str) -> bool:
        """Whether an object is stored under the key."""
        name = self._name(key)
        with self._explained("look for", key):
            found = self._metadata(name) is not None
            if not found and not self._bucket_seen:
                # HEAD answers the same when there is no bucket at all.
                if not self._client.bucket_exists(self._bucket):
                    raise self._no_bucket()
                self._bucket_seen = True
            return found

    def list(self, prefix: str) -> Iterator[str]:
        """Keys that begin with the prefix, in lexicographic order."""
        with self._explained("list", prefix or "objects"):
            found = self._client.list_objects(self._bucket, self._prefix + prefix, recursive=True)
            keys = [item.object_name.removeprefix(self._prefix) for item in found]
        # Some servers go folder by folder, which puts a/b before a-b.
        yield from sorted(filter(is_key, keys))

    def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        name = self._name(key)
        with self._explained("delete", key):
            self._client.remove_object(self._bucket, name)

    def _name(self, key: str) -> str:
        return self._prefix + key

    def read(self, key: str, sink: BinaryIO) -> None:
        """Write the object to the sink, and check it at the end."""
        name = self._name(key)
        with self._explained("read", key):
            digest, recorded = self._download(name, sink)
        if recorded is None:
            raise CorruptObject(f"{key} in {self.url} has no checksum: it wasn't written through physlm")
        if digest != recorded:
            raise CorruptObject(
                f"{key} in {self.url} is corrupt: its content doesn't match its checksum; see `physlm store repair`"
            )

    def _download(self, name: str, sink: BinaryIO) -> tuple[str, str | None]:
        """Read an object, going on where a connection broke. Returns its digest and the one on record."""
        retries, version, done = self._retries, "", 0
        while True:
            try:
                response = self._client.get_object(
                    self._bucket, name, offset=done, request_headers={"If-Match": version} if done else None
                )
            except S3Error as error:
                if not done or error.code != "PreconditionFailed":
                    raise
                done = 0  # another object took its place; read that one
                continue
            if response.status != HTTPStatus.PARTIAL_CONTENT:
                version, recorded = response.headers.get("etag", ""), response.headers.get(_DIGEST)
                digest, done = hashlib.sha256(), 0
                sink.seek(0)
                sink.truncate()
            try:
                for chunk in response.stream(CHUNK):
                    sink.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    retries = self._retries
                return digest.hexdigest(), recorded
            except HTTPError as error:
                retries = retries.increment("GET", name, error=error)
                retries.sleep()
            finally:
                response.close()

    def write(self, key: str, source: BinaryIO) -> None:
        """Write or replace the object with the whole source."""
        name = self._name(key)
        digest, length = hashlib.sha256(), 0
        for chunk in chunks(source):
            digest.update(chunk)
            length += len(chunk)
        source.seek(0)
        with self._explained("write", key):
            try:
                self._client.put_object(
                    self._bucket,
                    name,
                    cast(BinaryIO, _Unchanged(source, length, digest.digest())),
                    length,
                    content_type=_content_type(name),
                    metadata={_DIGEST: digest.hexdigest()},
                    part_size=max(PART, -(-length // MOST_PARTS)),
                )
            except S3Error as error:
                # Of an upload's end that was sent twice the second is refused.
                if error.code != "NoSuchUpload" or (self._metadata(name) or {}).get(_DIGEST) != digest.hexdigest():
                    raise
            except OSError as error:
                raise StoreError(f"can't write {key} in {self.url}: {reason(error)}") from None

    def _put_if_absent(self, name: str, data: bytes) -> bool:
        """One conditional put. Returns whether it was this one that made the object."""
        writer = secrets.token_hex(16)
        headers: dict[str, str | list[str] | tuple[str]] = {
            "If-None-Match": "*",
            "Content-Type": _content_type(name),
            _DIGEST: hashlib.sha256(data).hexdigest(),
            _WRITER: writer,
        }
        try:
            self._client._put_object(self._bucket, name, data, headers)  # the public put_object takes no condition
        except S3Error as error:
            if error.code != "PreconditionFailed":
                raise
            # Unless ours had arrived, its answer was lost, and the repetition met it there.
            return (self._metadata(name) or {}).get(_WRITER) == writer
        return True

    def _check_conditions(self) -> None:
        """See once whether the server refuses a second conditional put: there are some that take it."""
        if self._conditions_checked:
            return
        name = f"{self._prefix}.condition-{secrets.token_hex(16)}"
        self._put_if_absent(name, b"")
        taken_twice = self._put_if_absent(name, b"")
        self._client.remove_object(self._bucket, name)
        if taken_twice:
            raise StoreConfigError(
                f"the S3 server at {self._endpoint} ignores If-None-Match, so that two processes could do the same "
                "work at once; use one that honours it, such as MinIO, SeaweedFS or AWS"
            )
        self._conditions_checked = True

    def _metadata(self, name: str) -> Mapping[str, str] | None:
        """An object's headers, or None if there is no object."""
        try:
            return cast(Mapping[str, str], self._client.stat_object(self._bucket, name).metadata)
        except S3Error as error:
            if error.response.status != HTTPStatus.NOT_FOUND:
                raise
            return None

    def _redirected(self, failure: str) -> StoreConfigError:
        return StoreConfigError(
            f"{failure} sends requests on to another address, where credentials are not taken; set PHYSLM_S3_ENDPOINT "
            "to the address of the server itself"
        )

    def _no_bucket(self) -> StoreConfigError:
        return StoreConfigError(
            f"there is no bucket {self._bucket} at {self._endpoint}; make it with: "
            f"aws s3 mb s3://{self._bucket} --endpoint-url {self._endpoint}"
        )

    @contextmanager
    def _explained(self, doing: str, key: str) -> Iterator[None]:
        """Turn the client's exceptions into ours: one sentence, without secrets."""
        failure = f"can't {doing} {key} in {self.url}: the S3 server at {self._endpoint}"
        try:
            yield
        except S3Error as error:
            if error.code == "NoSuchBucket":
                raise self._no_bucket() from None
            if error.code == "NoSuchKey":
                raise MissingObject(f"there is no object {key} in {self.url}") from None
            if error.code in ("RequestTimeTooSkewed", "RequestExpired"):
                raise StoreConfigError(
                    f"{failure} refused the request since this machine's clock is off by more than it allows "
                    f"({error.code}); set the clock, as NTP does"
                ) from None
            if error.code in _REFUSALS or error.response.status == HTTPStatus.FORBIDDEN:
                raise StoreConfigError(
                    f"{failure} refused the credentials ({error.code}); check AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY, and their rights on the bucket"
                ) from None
            if "Redirect" in str(error.code):
                raise self._redirected(failure) from None
            raise StoreError(f"{failure} answered {error.code} ({error.message})") from None
        except HTTPError as error:
            raise StoreError(f"{failure} can't be reached ({_cause(error)})") from None
        except (MinioException, ParseError, ValueError) as error:
            answer = str(error).partition(", Body:")[0]
            if "Response code: 3" in answer:
                raise self._redirected(failure) from None
            raise StoreError(f"{failure} doesn't answer like one ({answer})") from None


class _Unchanged:
    """Reads a source to its end, which it hands on only if the whole has the expected digest."""

    def __init__(self, source: BinaryIO, length: int, digest: bytes) -> None:
        self._source, self._left, self._expected = source, length, digest
        self._digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        self._left -= len(data)
        if self._left == 0 and self._digest.digest() != self._expected:
            raise StoreError(f"{self._source.name} was changed while it was being stored; store it again")
        return data


def _credentials() -> Provider:
    """Where the credentials come from: the first of the places that has some."""
    for access, hidden, token in _CREDENTIALS:
        key, word = environment.secret(access), environment.secret(hidden)
        if key and word:
            return StaticProvider(key, word, environment.secret(token))
    places = AWSConfigProvider()
    try:
        places.retrieve()
    except (ValueError, OSError):
        if environment.text("AWS_WEB_IDENTITY_TOKEN_FILE"):
            return IamAwsProvider()
        raise StoreConfigError(
            "there are no credentials for the S3 server; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from None
    return places


def _content_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _cause(error: BaseException) -> str:
    """What is at the bottom of a failed request, in a few words."""
    below = error.reason if isinstance(error, MaxRetryError) else error.__cause__ or error.__context__
    if below is not None:
        return _cause(below)
    return reason(error) if isinstance(error, OSError) else str(error)
