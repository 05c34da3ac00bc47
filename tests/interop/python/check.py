"""Runs the Python package etcd3 against the endpoints in ENDPOINTS."""

import os
import queue
import time
import urllib.parse

import etcd3


def connect(url):
    """A client of one endpoint: this package knows only one."""
    parts = urllib.parse.urlparse(url)
    return etcd3.client(host=parts.hostname, port=parts.port, timeout=10)


def check_kv(one, other):
    one.put("py/a", "1")
    one.put("py/b", "2")
    assert other.get("py/a")[0] == b"1"
    value, meta = other.get("py/b")
    assert value == b"2" and meta.version == 1 and meta.create_revision == meta.mod_revision
    found = [(meta.key, value) for value, meta in other.get_prefix("py/")]
    assert found == [(b"py/a", b"1"), (b"py/b", b"2")], found
    found = [value for value, _ in one.get_prefix("py/", sort_order="descend")]
    assert found == [b"2", b"1"], found
    assert one.get("py/missing") == (None, None)
    previous = one.put("py/a", "3", prev_kv=True).prev_kv
    assert previous.value == b"1"
    assert other.delete("py/a") is True
    assert other.delete("py/a") is False
    assert one.delete_prefix("py/").deleted == 1


def check_txn(one, other):
    calls = one.transactions
    done, _ = one.transaction(
        compare=[calls.version("py/txn") == 0],
        success=[calls.put("py/txn", "new")],
        failure=[calls.get("py/txn")],
    )
    assert done
    done, replies = other.transaction(
        compare=[calls.value("py/txn") == "old", calls.version("py/txn") > 0],
        success=[calls.delete("py/txn")],
        failure=[calls.get("py/txn")],
    )
    assert not done and replies[0][0][0] == b"new", replies
    assert one.put_if_not_exists("py/txn", "other") is False
    assert one.replace("py/txn", "new", "newer") is True
    assert other.get("py/txn")[0] == b"newer"


def check_watch(one, other):
    events = queue.Queue()
    watch = one.add_watch_prefix_callback("py/watch/", events.put)
    other.put("py/watch/1", "a")
    other.put("py/watch/1", "b")
    other.delete("py/watch/1")
    seen = []
    while len(seen) < 3:
        for event in events.get(timeout=10).events:
            seen.append((type(event).__name__, event.value))
    expected = [("PutEvent", b"a"), ("PutEvent", b"b"), ("DeleteEvent", b"")]
    assert seen == expected, seen
    one.cancel_watch(watch)
    first = other.get("py/txn")[1].create_revision
    iterator, cancel = one.watch("py/txn", start_revision=first)
    assert next(iterator).value == b"new" and next(iterator).value == b"newer"
    cancel()


def check_lease(one, other):
    lease = one.lease(60)
    other.put("py/lease", "kept", lease=lease)
    assert lease.remaining_ttl > 50 and lease.granted_ttl == 60
    assert lease.keys == [b"py/lease"], lease.keys
    assert list(lease.refresh())[0].TTL == 60
    lease.revoke()
    assert other.get("py/lease") == (None, None)
    short = one.lease(2)
    one.put("py/lease", "short", lease=short)
    deadline = time.monotonic() + 15
    while other.get("py/lease")[0] is not None:
        assert time.monotonic() < deadline, "the lease did not expire"
        time.sleep(0.1)
    with one.lock("py/lock", ttl=10) as lock:
        assert lock.is_acquired()
        assert other.get(lock.key)[0] is not None
    assert other.get("/locks/py/lock") == (None, None)


def main():
    urls = os.environ["ENDPOINTS"].split(",")
    one, other = connect(urls[0]), connect(urls[-1])
    for check in (check_kv, check_txn, check_watch, check_lease):
        check(one, other)
        print("ok", check.__name__.removeprefix("check_"), flush=True)
    assert one.status().version.startswith("3.")
    assert len(list(one.members)) == len(urls)


main()
# A watch thread of the package may still hold its stream.
os._exit(0)
