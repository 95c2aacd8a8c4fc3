"""Cloud Storage, as Google's own client and gcsfs see it."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest

exceptions = pytest.importorskip("google.api_core.exceptions")
MIB = 2**20


def names(found: Any) -> list[str]:
    return [blob.name for blob in found]


def test_an_object_is_a_plain_file(bucket: Any, emulator: Any) -> None:
    """What a client writes is a file, and what a step writes is an object."""
    bucket.blob("a/x.txt").upload_from_string("hi", content_type="text/plain")
    assert emulator.file(f"gs://{bucket.name}/a/x.txt").read_text() == "hi"
    written = emulator.file(f"gs://{bucket.name}/a/b/step.bin")
    written.parent.mkdir()
    written.write_bytes(b"by a step")
    assert names(bucket.list_blobs()) == ["a/b/step.bin", "a/x.txt"]
    first = bucket.get_blob("a/b/step.bin")
    assert (first.size, first.content_type) == (9, "application/octet-stream")
    written.write_bytes(b"by a step, again")
    second = bucket.get_blob("a/b/step.bin")
    assert second.generation > first.generation
    assert second.download_as_bytes() == b"by a step, again"
    written.unlink()
    assert bucket.get_blob("a/b/step.bin") is None
    assert names(bucket.list_blobs()) == ["a/x.txt"]


@pytest.mark.parametrize("size", [0, 1, MIB, 9 * MIB])
def test_bytes_come_back_as_they_went(bucket: Any, size: int) -> None:
    """Small ones in one message, large ones resumed, with checksums that the client holds."""
    data = os.urandom(size)
    blob = bucket.blob("data.bin")
    blob.upload_from_string(data)
    assert blob.size == size
    assert bucket.blob("data.bin").download_as_bytes() == data


def test_a_large_object_goes_in_pieces(bucket: Any) -> None:
    """A resumable upload in chunks, from a stream of unknown length too."""
    data = os.urandom(3 * MIB + 17)
    chunked = bucket.blob("chunked", chunk_size=MIB)
    chunked.upload_from_file(io.BytesIO(data), size=len(data))
    assert bucket.blob("chunked").download_as_bytes() == data
    with bucket.blob("stream").open("wb", chunk_size=MIB) as stream:
        stream.write(data)
    assert bucket.blob("stream").download_as_bytes() == data
    with bucket.blob("text").open("w") as stream:
        stream.write("line\n" * 3)
    with bucket.blob("text").open("r") as stream:
        assert stream.readlines() == ["line\n"] * 3


def test_an_upload_goes_on_where_it_broke(bucket: Any, faults: Any) -> None:
    """A reply that is lost within a resumable upload costs nothing and repeats nothing."""
    data = os.urandom(2 * MIB)
    faults(method="Storage.InsertObject", drop=True, skip=1, count=1)
    blob = bucket.blob("broken", chunk_size=MIB)
    blob.upload_from_file(io.BytesIO(data), size=len(data))
    assert bucket.blob("broken").download_as_bytes() == data


@pytest.mark.parametrize(
    "start, end, wanted",
    [(0, 0, b"0"), (2, 4, b"234"), (5, None, b"56789"), (8, 99, b"89")],
)
def test_a_range_is_read(bucket: Any, start: int, end: int | None, wanted: bytes) -> None:
    """The ends count, and what is behind the last byte is not there."""
    bucket.blob("digits").upload_from_string(b"0123456789")
    assert bucket.blob("digits").download_as_bytes(start=start, end=end) == wanted


def test_a_range_behind_the_end_is_refused(bucket: Any) -> None:
    """As Cloud Storage does, with 416."""
    bucket.blob("digits").upload_from_string(b"0123456789")
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        bucket.blob("digits").download_as_bytes(start=10)


def test_a_generation_is_a_lock(bucket: Any) -> None:
    """Preconditions decide who writes: only if it is not there, only if it is the one that was read."""
    blob = bucket.blob("lock")
    blob.upload_from_string("first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lock").upload_from_string("second", if_generation_match=0)
    read = bucket.get_blob("lock")
    read.upload_from_string("third", if_generation_match=read.generation)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lock").upload_from_string("fourth", if_generation_match=blob.generation - 1)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("lock").delete(if_generation_match=blob.generation - 1)
    assert bucket.blob("lock").download_as_text() == "third"
    big = bucket.blob("lock", chunk_size=MIB)
    with pytest.raises(exceptions.PreconditionFailed):
        big.upload_from_file(io.BytesIO(bytes(2 * MIB)), size=2 * MIB, if_generation_match=0)


def test_a_bucket_may_keep_versions(bucket: Any) -> None:
    """What was replaced or deleted is still there by its generation, until that is deleted too."""
    bucket.versioning_enabled = True
    bucket.patch()
    generations = []
    for text in ("one", "two"):
        blob = bucket.blob("x")
        blob.upload_from_string(text)
        generations.append(blob.generation)
    bucket.blob("y").upload_from_string("other")
    bucket.blob("x").delete()
    assert names(bucket.list_blobs()) == ["y"]
    listed = [(b.name, b.generation) for b in bucket.list_blobs(versions=True, page_size=1)][:2]
    assert listed == [("x", generation) for generation in generations]
    assert bucket.blob("x", generation=generations[0]).download_as_text() == "one"
    restored = bucket.copy_blob(bucket.blob("x"), bucket, "x", source_generation=generations[1])
    assert restored.download_as_text() == "two"
    bucket.blob("x", generation=generations[0]).delete()
    with pytest.raises(exceptions.NotFound):
        bucket.blob("x", generation=generations[0]).download_as_text()


def test_metadata_has_a_generation_of_its_own(bucket: Any) -> None:
    """A patch changes it, new bytes begin it again."""
    blob = bucket.blob("x")
    blob.upload_from_string("1")
    blob.metadata = {"owner": "me", "gone": "soon"}
    blob.content_type = "text/csv"
    blob.patch()
    assert (blob.metageneration, blob.content_type) == (2, "text/csv")
    blob.metadata = {"owner": "you", "gone": None}
    blob.patch(if_metageneration_match=2)
    assert bucket.get_blob("x").metadata == {"owner": "you"}
    with pytest.raises(exceptions.PreconditionFailed):
        blob.patch(if_metageneration_match=2)
    blob.upload_from_string("2")
    assert bucket.get_blob("x").metageneration == 1


def test_a_listing_folds_and_pages(bucket: Any) -> None:
    """Prefixes, delimiters, offsets, patterns and pages, in the order of the names."""
    for name in ("a.txt", "d/1", "d/2", "d/e/3", "z", "é", "d.txt"):
        bucket.blob(name).upload_from_string(name)
    assert names(bucket.list_blobs()) == ["a.txt", "d.txt", "d/1", "d/2", "d/e/3", "z", "é"]
    top = bucket.list_blobs(delimiter="/")
    assert (names(top), top.prefixes) == (["a.txt", "d.txt", "z", "é"], {"d/"})
    below = bucket.list_blobs(prefix="d/", delimiter="/")
    assert (names(below), below.prefixes) == (["d/1", "d/2"], {"d/e/"})
    assert names(bucket.list_blobs(start_offset="d/2", end_offset="z")) == ["d/2", "d/e/3"]
    assert names(bucket.list_blobs(match_glob="**.txt")) == ["a.txt", "d.txt"]
    assert names(bucket.list_blobs(match_glob="d/*")) == ["d/1", "d/2"]
    paged = bucket.list_blobs(page_size=2, delimiter="/")
    assert [names(page) for page in paged.pages] == [["a.txt", "d.txt"], ["z"], ["é"]]
    assert names(bucket.list_blobs(max_results=3)) == ["a.txt", "d.txt", "d/1"]


@pytest.mark.parametrize(
    "name",
    [
        "folder/",
        "a//b",
        "../up",
        "a/./b",
        "/absolute",
        "~",
        "sp ace/ü+&?#%.txt",
        "x" * 300,
        "c:\\dir",
        "a/.nbv",
        "%2F",
    ],
)
def test_any_name_may_be_an_objects(bucket: Any, emulator: Any, name: str) -> None:
    """Also one that no file can have; none leads out of the bucket's folder."""
    bucket.blob(name).upload_from_string("data")
    assert names(bucket.list_blobs()) == [name]
    assert bucket.blob(name).download_as_text() == "data"
    assert bucket.get_blob(name).name == name
    bucket.blob(name).delete()
    assert names(bucket.list_blobs()) == []
    assert not (emulator.folder / "up").exists()


def test_a_name_may_be_a_folder_and_an_object(bucket: Any) -> None:
    """`a` and `a/b` are two objects, whichever came first."""
    bucket.blob("a").upload_from_string("1")
    bucket.blob("a/b").upload_from_string("2")
    bucket.blob("c/d").upload_from_string("3")
    bucket.blob("c").upload_from_string("4")
    assert [bucket.blob(name).download_as_text() for name in ("a", "a/b", "c/d", "c")] == ["1", "2", "3", "4"]
    assert names(bucket.list_blobs()) == ["a", "a/b", "c", "c/d"]
    bucket.blob("a").upload_from_string("5")
    bucket.blob("a/b").delete()
    assert names(bucket.list_blobs()) == ["a", "c", "c/d"]
    assert bucket.blob("a").download_as_text() == "5"


def test_objects_are_composed_copied_and_moved(bucket: Any) -> None:
    """Within a bucket and between two."""
    for name in ("1", "2"):
        bucket.blob(name).upload_from_string(name * 2, content_type="text/plain")
    joined = bucket.blob("joined")
    joined.compose([bucket.blob("1"), bucket.blob("2")])
    assert (joined.download_as_text(), joined.component_count, joined.md5_hash) == ("1122", 2, None)
    copied = bucket.copy_blob(joined, bucket, "copied")
    assert copied.download_as_text() == "1122"
    token, rewritten, total = bucket.blob("rewritten").rewrite(bucket.blob("1"))
    assert (token, rewritten, total) == (None, 2, 2)
    assert bucket.get_blob("rewritten").content_type == "text/plain"
    renamed = bucket.rename_blob(bucket.blob("copied"), "renamed")
    assert renamed.download_as_text() == "1122"
    assert names(bucket.list_blobs()) == ["1", "2", "joined", "renamed", "rewritten"]
    with pytest.raises(exceptions.NotFound):
        bucket.blob("never").compose([bucket.blob("missing")])


def test_what_is_not_there_is_said(bucket: Any) -> None:
    """404 for objects and buckets, 409 for names that are taken and buckets that are full."""
    with pytest.raises(exceptions.NotFound):
        bucket.blob("missing").download_as_bytes()
    with pytest.raises(exceptions.NotFound):
        bucket.blob("missing").delete()
    assert bucket.get_blob("missing") is None
    client = bucket.client
    assert client.lookup_bucket("no-such-bucket") is None
    with pytest.raises(exceptions.Conflict):
        client.create_bucket(bucket.name)
    with pytest.raises(exceptions.BadRequest):
        client.create_bucket("not!a!bucket")
    bucket.blob("x").upload_from_string("1")
    with pytest.raises(exceptions.Conflict):
        bucket.delete()
    bucket.delete(force=True)
    assert client.lookup_bucket(bucket.name) is None


def test_a_bucket_has_properties(bucket: Any) -> None:
    """Its project's number, labels, a policy; all buckets of the project are listed."""
    bucket.reload()
    assert bucket.project_number > 10**11
    bucket.labels = {"team": "ml"}
    bucket.patch()
    assert bucket.client.get_bucket(bucket.name).labels == {"team": "ml"}
    policy = bucket.get_iam_policy()
    policy["roles/storage.objectViewer"] = {"user:a@example.com"}
    bucket.set_iam_policy(policy)
    assert bucket.get_iam_policy()["roles/storage.objectViewer"] == {"user:a@example.com"}
    assert bucket.name in [one.name for one in bucket.client.list_buckets()]
    assert bucket.test_iam_permissions(["storage.objects.get"]) == ["storage.objects.get"]


def test_many_calls_go_in_one(bucket: Any) -> None:
    """A batch deletes several objects in one request."""
    for name in ("1", "2", "3"):
        bucket.blob(name).upload_from_string(name)
    with bucket.client.batch():
        bucket.blob("1").delete()
        bucket.blob("2").delete()
    assert names(bucket.list_blobs()) == ["3"]


def test_a_damaged_upload_is_refused(bucket: Any) -> None:
    """The checksum that a client says is held against the bytes."""
    blob = bucket.blob("x")
    blob.md5_hash = "AAAAAAAAAAAAAAAAAAAAAA=="
    with pytest.raises(exceptions.BadRequest, match="md5"):
        blob.upload_from_string("data", checksum=None)
    assert bucket.get_blob("x") is None


def test_gcsfs_reads_and_writes(bucket: Any) -> None:
    """The file system behind pandas' gs:// paths, which takes no proxy from the environment."""
    gcsfs = pytest.importorskip("gcsfs")
    files = gcsfs.GCSFileSystem(project="test-project", token="anon", skip_instance_cache=True)
    base = f"{bucket.name}/g"
    files.pipe(f"{base}/1.txt", b"one")
    data = os.urandom(6 * MIB)
    with files.open(f"{base}/big", "wb") as stream:
        stream.write(data)
    assert files.cat(f"{base}/1.txt") == b"one"
    assert files.cat(f"{base}/big") == data
    assert files.ls(base) == [f"{base}/1.txt", f"{base}/big"]
    assert files.info(f"{base}/big")["size"] == len(data)
    files.copy(f"{base}/1.txt", f"{base}/2.txt")
    files.rm(base, recursive=True)
    files.invalidate_cache()
    assert not files.exists(f"{base}/1.txt")


def test_pandas_reads_and_writes(bucket: Any) -> None:
    """As notebooks do."""
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("gcsfs")
    frame = pandas.DataFrame({"a": [1, 2]})
    frame.to_csv(f"gs://{bucket.name}/frame.csv", index=False)
    assert pandas.read_csv(f"gs://{bucket.name}/frame.csv").equals(frame)


def test_an_object_has_a_plain_address(bucket: Any) -> None:
    """Its public address gives the bytes, also through the proxy and in Google's name."""
    import requests

    bucket.blob("a b.txt").upload_from_string("hi", content_type="text/plain")
    address = f"https://storage.googleapis.com/{bucket.name}/a%20b.txt"
    reply = requests.get(address)
    assert (reply.status_code, reply.text, reply.headers["content-type"]) == (200, "hi", "text/plain")
    assert requests.head(address).headers["content-length"] == "2"
    assert requests.put(address, data=b"put").status_code == 200
    assert bucket.blob("a b.txt").download_as_text() == "put"
    missing = requests.get(f"https://storage.googleapis.com/{bucket.name}/missing")
    assert (missing.status_code, "NoSuchKey" in missing.text) == (404, True)


def test_a_large_file_goes_in_parts(bucket: Any, tmp_path: Any) -> None:
    """As the client's transfer manager sends and fetches it, several parts at once."""
    from google.cloud.storage import transfer_manager as manager

    data = os.urandom(3 * MIB + 5)
    (tmp_path / "data").write_bytes(data)
    blob = bucket.blob("in/parts")
    blob.metadata = {"kind": "large"}
    manager.upload_chunks_concurrently(
        str(tmp_path / "data"), blob, chunk_size=MIB, worker_type=manager.THREAD
    )
    assert bucket.blob("in/parts").download_as_bytes() == data
    assert bucket.get_blob("in/parts").metadata == {"kind": "large"}
    manager.download_chunks_concurrently(
        bucket.blob("in/parts"), str(tmp_path / "back"), chunk_size=MIB, worker_type=manager.THREAD
    )
    assert (tmp_path / "back").read_bytes() == data


def test_a_signed_address_opens(bucket: Any) -> None:
    """An address that the client signs with its key."""
    import datetime as dt

    import google.auth
    import requests

    bucket.blob("x").upload_from_string("signed")
    credentials, _ = google.auth.default()
    address = bucket.blob("x").generate_signed_url(
        dt.timedelta(minutes=5), version="v4", credentials=credentials
    )
    assert requests.get(address).text == "signed"


def test_what_is_zipped_is_read_either_way(bucket: Any) -> None:
    """A client that knows the encoding gets it, one that does not gets the plain bytes."""
    import gzip
    import urllib.request

    blob = bucket.blob("z")
    blob.content_encoding = "gzip"
    blob.upload_from_string(gzip.compress(b"plain" * 100), content_type="text/plain")
    assert bucket.blob("z").download_as_bytes() == b"plain" * 100
    assert bucket.blob("z").download_as_bytes(raw_download=True)[:2] == b"\x1f\x8b"
    with urllib.request.urlopen(f"https://storage.googleapis.com/{bucket.name}/z") as reply:
        assert reply.read() == b"plain" * 100


def test_a_body_may_come_in_chunks(bucket: Any) -> None:
    """Of a length that nobody says."""
    import requests

    address = (
        f"https://storage.googleapis.com/upload/storage/v1/b/{bucket.name}/o?uploadType=media&name=chunks"
    )
    reply = requests.post(address, data=(bytes([number]) * 1000 for number in range(100)))
    assert reply.json()["size"] == "100000"
    assert bucket.blob("chunks").download_as_bytes()[-1:] == b"c"
