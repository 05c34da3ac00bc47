// Runs the npm package etcd3 against the endpoints in ENDPOINTS.
"use strict";

const assert = require("assert");
const { Etcd3 } = require("etcd3");

const hosts = process.env.ENDPOINTS.split(",");
const one = new Etcd3({ hosts });
const other = new Etcd3({ hosts: hosts[hosts.length - 1] });

function within(promise, what) {
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`${what}: too late`)), 15000).unref());
  return Promise.race([promise, late]);
}

async function kv() {
  await one.put("js/a").value("1");
  await one.put("js/b").value("2");
  assert.strictEqual(await other.get("js/a").string(), "1");
  assert.strictEqual(await other.get("js/missing").string(), null);
  assert.deepStrictEqual(await other.getAll().prefix("js/").strings(), { "js/a": "1", "js/b": "2" });
  assert.deepStrictEqual(await other.getAll().prefix("js/").sort("Key", "Descend").limit(1).keys(), ["js/b"]);
  assert.strictEqual(await one.getAll().prefix("js/").count(), 2);
  const deleted = await one.delete().key("js/a").getPrevious();
  assert.strictEqual(deleted[0].value.toString(), "1");
  assert.strictEqual((await other.delete().prefix("js/").exec()).deleted, "1");
}

async function txn() {
  const create = () => one.if("js/txn", "Create", "==", 0)
    .then(one.put("js/txn").value("new"))
    .else(one.get("js/txn"))
    .commit();
  assert.strictEqual((await create()).succeeded, true);
  const again = await create();
  assert.strictEqual(again.succeeded, false);
  assert.strictEqual(again.responses[0].response_range.kvs[0].value.toString(), "new");
  await other.stm().transact((stm) =>
    stm.get("js/txn").string().then((value) => stm.put("js/txn").value(value + "er")));
  assert.strictEqual(await one.get("js/txn").string(), "newer");
}

async function watch() {
  const watcher = await one.watch().prefix("js/watch/").withPreviousKV().create();
  const seen = [];
  const done = new Promise((resolve) => {
    watcher.on("put", (pair, previous) => seen.push(["put", pair.value.toString(), previous ? previous.value.toString() : null]));
    watcher.on("delete", (pair, previous) => {
      seen.push(["delete", "", previous.value.toString()]);
      resolve();
    });
  });
  await other.put("js/watch/1").value("a");
  await other.put("js/watch/1").value("b");
  await other.delete().key("js/watch/1");
  await within(done, "watch");
  assert.deepStrictEqual(seen, [["put", "a", null], ["put", "b", "a"], ["delete", "", "b"]]);
  await watcher.cancel();
  const first = (await one.get("js/txn").exec()).kvs[0].create_revision;
  const late = await other.watch().key("js/txn").startRevision(first).create();
  const values = [];
  await within(new Promise((resolve) => late.on("put", (pair) => {
    values.push(pair.value.toString());
    if (values.length === 2) resolve();
  })), "history");
  assert.deepStrictEqual(values, ["new", "newer"]);
  await late.cancel();
}

async function lease() {
  const kept = one.lease(10);
  await kept.put("js/lease").value("kept");
  await kept.keepaliveOnce();
  assert.strictEqual(await other.get("js/lease").string(), "kept");
  await kept.revoke();
  assert.strictEqual(await other.get("js/lease").string(), null);
  const lost = new Promise((resolve) => {
    other.watch().key("js/short").create().then((watcher) => watcher.on("delete", resolve));
  });
  const short = one.lease(2, { autoKeepAlive: false });
  await short.put("js/short").value("short");
  await within(lost, "expiry");
  await one.lock("js/lock").ttl(10).do(async () => {
    await assert.rejects(other.lock("js/lock").acquire());
  });
}

async function main() {
  for (const check of [kv, txn, watch, lease]) {
    await check();
    console.log("ok", check.name);
  }
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
