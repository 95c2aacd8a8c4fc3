"""The emulator's small rooms, each by itself: routes, pages of objects, conditions, checksums, multipart bodies, faults."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.emulator import digests, listing, uploads
from nbvertex.emulator.faults import Faults
from nbvertex.emulator.identities import jwt, payload
from nbvertex.emulator.preconditions import Conditions, StorageError
from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.routes import Routes

TEMPLATES = [
    ("GET", "/v1/{name=projects/*/jobs/*}", "get"),
    ("GET", "/v1/{parent=projects/*}/jobs", "list"),
    ("POST", "/v1/{name=projects/*/jobs/*}:cancel", "cancel"),
    ("POST", "/v1/{parent=projects/*}/jobs", "create"),
    ("GET", "/v1/{name=projects/**}", "any"),
    ("GET", "/v1/projects:search", "search"),
    ("PATCH", "/v1/{job.name=projects/*/jobs/*}", "patch"),
    ("GET", "/v1/projects/{id}", "one"),
    ("GET", "/v1/{name=projects/*/operations/**}:wait", "wait"),
]


@pytest.mark.parametrize(
    "verb, path, target, variables",
    [
        ("GET", "/v1/projects/p/jobs/1", "get", {"name": "projects/p/jobs/1"}),
        ("GET", "/v1/projects/p/jobs", "list", {"parent": "projects/p"}),
        ("POST", "/v1/projects/p/jobs/1:cancel", "cancel", {"name": "projects/p/jobs/1"}),
        ("POST", "/v1/projects/p/jobs", "create", {"parent": "projects/p"}),
        ("GET", "/v1/projects/p/other/1/deep", "any", {"name": "projects/p/other/1/deep"}),
        ("GET", "/v1/projects:search", "search", {}),
        ("PATCH", "/v1/projects/p/jobs/1", "patch", {"job.name": "projects/p/jobs/1"}),
        ("GET", "/v1/projects/p", "one", {"id": "p"}),
        ("GET", "/v1/projects/p/jobs/a%20b%2Fc", "get", {"name": "projects/p/jobs/a b/c"}),
        ("GET", "/v1/projects/p/jobs/a:b", "get", {"name": "projects/p/jobs/a:b"}),
        ("GET", "/v1/projects/p/operations/1/2:wait", "wait", {"name": "projects/p/operations/1/2"}),
        ("DELETE", "/v1/projects/p/jobs/1", None, {}),
        ("GET", "/v2/projects/p", None, {}),
        ("GET", "/", None, {}),
    ],
)
def test_a_path_leads_to_its_method(
    verb: str, path: str, target: str | None, variables: dict[str, str]
) -> None:
    """The most exact template wins."""
    routes = Routes()
    for one, template, name in TEMPLATES:
        routes.add(one, template, "", name)
    found = routes.find(verb, path)
    assert (found and found.target, found and found.variables) == (target, variables if target else None)


NAMES = ["a.txt", "d/1.csv", "d/2.csv", "d/e/3.csv", "f{x}"]


@pytest.mark.parametrize(
    "glob, wanted",
    [
        ("*.txt", ["a.txt"]),
        ("**.csv", ["d/1.csv", "d/2.csv", "d/e/3.csv"]),
        ("d/*.csv", ["d/1.csv", "d/2.csv"]),
        ("d/?.csv", ["d/1.csv", "d/2.csv"]),
        ("d/[!1].csv", ["d/2.csv"]),
        ("{a,d/1}.*", ["a.txt", "d/1.csv"]),
    ],
)
def test_a_pattern_finds_objects(glob: str, wanted: list[str]) -> None:
    """As Cloud Storage has them."""
    page = listing.page_of([{"name": name} for name in NAMES], {"matchGlob": glob})
    assert [one["name"] for one in page["items"]] == wanted


@given(
    st.lists(st.text("ab/é", min_size=1, max_size=6), unique=True, max_size=20),
    st.integers(1, 4),
    st.sampled_from(["", "/", "a"]),
)
def test_pages_are_the_whole(names: list[str], size: int, delimiter: str) -> None:
    """However small the pages: nothing twice, nothing left out."""
    objects = [{"name": name} for name in sorted(names, key=str.encode)]
    said = {"delimiter": delimiter, "maxResults": "1000"}
    whole = listing.page_of(objects, said)
    items, prefixes, token = [], [], ""
    while True:
        page = listing.page_of(objects, {**said, "maxResults": str(size), "pageToken": token})
        items += page.get("items", [])
        prefixes += page.get("prefixes", [])
        token = page.get("nextPageToken", "")
        if not token:
            break
    assert (items, prefixes) == (whole.get("items", []), whole.get("prefixes", []))


HERE = {"generation": "5", "metageneration": "2"}


@pytest.mark.parametrize(
    "conditions, found, status",
    [
        (Conditions(), HERE, None),
        (Conditions(), None, None),
        (Conditions(generation=5), HERE, None),
        (Conditions(generation=4), HERE, 412),
        (Conditions(generation=0), None, None),
        (Conditions(generation=0), HERE, 412),
        (Conditions(generation=5), None, 412),
        (Conditions(not_generation=5), HERE, 412),
        (Conditions(not_generation=4), HERE, None),
        (Conditions(not_generation=0), None, 412),
        (Conditions(metageneration=2), HERE, None),
        (Conditions(metageneration=1), HERE, 412),
        (Conditions(metageneration=1), None, 412),
        (Conditions(not_metageneration=2), HERE, 412),
    ],
)
def test_a_condition_holds_or_not(
    conditions: Conditions, found: dict[str, str] | None, status: int | None
) -> None:
    """An object that is not there has generation 0."""
    try:
        conditions.check(found)
        answer = None
    except StorageError as error:
        answer = error.http
    assert answer == status


@pytest.mark.parametrize(
    "data, crc, md5",
    [
        (b"", "AAAAAA==", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        (b"123456789", "4waSgw==", "JfnnlDI7RTiF9RgfG2JNCw=="),
        (bytes(32), "ipE2qg==", "cLyPS3KoaSFGi/joRB3OUQ=="),
    ],
)
def test_checksums_are_cloud_storages(data: bytes, crc: str, md5: str) -> None:
    """CRC32C of RFC 3720 and MD5, in base64, over any blocks."""
    assert digests.of([data]) == digests.Digests(crc, md5, len(data))
    assert digests.of([data[:4], data[4:]]) == digests.of([data])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.sampled_from(["\r\n", "\n"]))
def test_a_multipart_body_is_taken_apart(bodies: list[bytes], end: str) -> None:
    """Whatever the bytes are, also ends of lines; with the ends that the client writes."""
    mark = "==b0und4ry=="
    data = b"".join(
        f"--{mark}{end}Content-Type: x/{number}{end}{end}".encode() + body + end.encode()
        for number, body in enumerate(bodies)
    )
    found = uploads.parts_of(f'multipart/related; boundary="{mark}"', data + f"--{mark}--".encode())
    assert found == [({"content-type": f"x/{number}"}, body) for number, body in enumerate(bodies)]


def test_a_fault_counts() -> None:
    """It lets through, strikes, and is used up."""
    faults = Faults(lambda: 0.0)
    faults.add({"method": "A.*", "status": "UNAVAILABLE", "skip": 1, "count": 2})
    struck = [faults.strike("A.B", "me") is not None for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert faults.strike("B.B", "me") is None
    assert faults.at("preempt", "job") is None
    faults.add({"point": "preempt", "name": "job*", "count": 1})
    assert faults.at("preempt", "job 1") is not None
    assert faults.at("preempt", "job 1") is None


def test_a_quota_is_used_up_and_renewed() -> None:
    """So many within so many seconds, whenever they begin."""
    now = [0.0]
    faults = Faults(lambda: now[0])
    faults.add({"quota": 2, "per": 10})
    found = []
    for now[0] in (0, 1, 2, 9.9, 10, 10.5, 11):
        found.append(faults.strike("A.B", "me") is not None)
    assert found == [False, False, True, True, False, True, False]


@pytest.mark.parametrize("said", [{"what": 1}, {"status": "ODD"}])
def test_a_wrong_fault_is_refused(said: dict[str, object]) -> None:
    """It would never strike."""
    with pytest.raises(ApiError):
        Faults(lambda: 0.0).add(said)


@given(st.text(max_size=40))
def test_any_text_is_a_token_or_none(token: str) -> None:
    """What a token says is read without trust."""
    assert payload(token) is None or isinstance(payload(token), dict)
    assert payload(jwt({"iss": token})) == {"iss": token}
