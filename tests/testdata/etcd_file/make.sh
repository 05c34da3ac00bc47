#!/bin/sh
# Makes small.db, and small.txt with what etcd says of it. Needs etcd, etcdctl and
# etcdutl of 3.7 in PATH, and ports 24791 and 24792. One lease id and the hashes of
# passwords differ from run to run, so the tests read small.txt.
set -eu
cd "$(dirname "$0")"
data=$(mktemp -d)
etcd --name s1 --data-dir "$data" --initial-cluster s1=http://127.0.0.1:24792 \
    --listen-client-urls http://127.0.0.1:24791 \
    --advertise-client-urls http://127.0.0.1:24791 \
    --listen-peer-urls http://127.0.0.1:24792 \
    --initial-advertise-peer-urls http://127.0.0.1:24792 2>/dev/null &
server=$!
trap 'kill $server; rm -rf "$data"' EXIT
ctl() { etcdctl --endpoints http://127.0.0.1:24791 "$@"; }
until ctl endpoint health >/dev/null 2>&1; do sleep 0.1; done
{
    ctl put a 1
    for i in 1 2 3 4 5 6 7 8; do ctl put "k$i" "v$i"; done
    ctl del k3
    ctl del k4
    ctl put k4 again
    # At the deletion of k4: its tombstone stays, that of k3 goes.
    ctl compaction 12
    ctl lease grant 100000
    curl -sf http://127.0.0.1:24791/v3/lease/grant -d '{"ID":10,"TTL":3600}'
    ctl put leased v --lease=a
    ctl put k1 new --lease=a
    ctl put k1 newer
    ctl del k8
    printf 'mod("a") > "0"\n\nput t1 x\nput t2 y\ndel k5\n\nput no no\n\n' | ctl txn
    ctl user add root:rootpw
    ctl role add root
    ctl user grant-role root root
    ctl user add alice:alicepw
    ctl role add reader
    ctl role grant-permission reader read k --prefix
    ctl role grant-permission reader readwrite a
    ctl user grant-role alice reader
    ctl role add writer
    ctl role grant-permission writer write t1
    ctl user grant-role alice writer
    ctl auth enable
    ctl --user root:rootpw put after auth
    rm -f small.db
    ctl --user root:rootpw snapshot save small.db
} >/dev/null 2>&1
{
    # Of a copy: etcdutl writes into the file that it hashes.
    cp small.db "$data/copy.db"
    echo "status $(etcdutl snapshot status "$data/copy.db")"
    for revision in 12 13 14 15 16 17 18 19; do
        echo "hashkv $(etcdutl hashkv "$data/copy.db" --rev $revision)"
    done
    ctl --user root:rootpw lease list | sed -n 's/^\([0-9a-f]*\)$/lease \1/p'
} >small.txt
