// Runs the Go package clientv3 against the endpoints in ENDPOINTS.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func check(holds bool, what ...any) {
	if !holds {
		panic(fmt.Sprintln(what...))
	}
}

func connect(urls []string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: urls, DialTimeout: 10 * time.Second, RejectOldCluster: true,
	})
	must(err)
	return client
}

func kv(ctx context.Context, one, other *clientv3.Client) {
	_, err := one.Put(ctx, "go/a", "1")
	must(err)
	_, err = one.Put(ctx, "go/b", "2")
	must(err)
	got, err := other.Get(ctx, "go/", clientv3.WithPrefix(), clientv3.WithLimit(1),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	must(err)
	check(got.Count == 2 && got.More && string(got.Kvs[0].Key) == "go/b", got)
	past, err := other.Get(ctx, "go/b", clientv3.WithRev(got.Kvs[0].ModRevision-1))
	must(err)
	check(len(past.Kvs) == 0, past)
	_, err = one.Get(ctx, "go/a", clientv3.WithRev(1<<40))
	check(errors.Is(err, rpctypes.ErrFutureRev), err)
	_, err = one.Put(ctx, "", "x")
	check(errors.Is(err, rpctypes.ErrEmptyKey), err)
	deleted, err := one.Delete(ctx, "go/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	must(err)
	check(deleted.Deleted == 2 && len(deleted.PrevKvs) == 2, deleted)
}

func txn(ctx context.Context, one, other *clientv3.Client) {
	create := func(client *clientv3.Client) *clientv3.TxnResponse {
		reply, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision("go/txn"), "=", 0)).
			Then(clientv3.OpPut("go/txn", "new")).
			Else(clientv3.OpGet("go/txn")).
			Commit()
		must(err)
		return reply
	}
	check(create(one).Succeeded)
	again := create(other)
	check(!again.Succeeded && string(again.Responses[0].GetResponseRange().Kvs[0].Value) == "new")
	_, err := concurrency.NewSTM(one, func(stm concurrency.STM) error {
		stm.Put("go/txn", stm.Get("go/txn")+"er")
		return nil
	})
	must(err)
	got, err := other.Get(ctx, "go/txn")
	must(err)
	check(string(got.Kvs[0].Value) == "newer" && got.Kvs[0].Version == 2, got)
}

func watch(ctx context.Context, one, other *clientv3.Client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := one.Watch(clientv3.WithRequireLeader(ctx), "go/watch/",
		clientv3.WithPrefix(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	check((<-events).Created)
	_, err := other.Put(ctx, "go/watch/1", "a")
	must(err)
	_, err = other.Put(ctx, "go/watch/1", "b")
	must(err)
	_, err = other.Delete(ctx, "go/watch/1")
	must(err)
	seen := ""
	for len(seen) < len("PaPb<aD<b") {
		message := <-events
		must(message.Err())
		for _, event := range message.Events {
			seen += event.Type.String()[:1] + string(event.Kv.Value)
			if event.PrevKv != nil {
				seen += "<" + string(event.PrevKv.Value)
			}
		}
	}
	check(seen == "PaPb<aD<b", seen)
	must(one.RequestProgress(clientv3.WithRequireLeader(ctx)))
	progress := <-events
	check(progress.IsProgressNotify(), "progress")
	history := other.Watch(ctx, "go/txn", clientv3.WithRev(1))
	check(string((<-history).Events[0].Kv.Value) == "new")
	got, err := one.Get(ctx, "go/txn")
	must(err)
	_, err = one.Compact(ctx, got.Kvs[0].ModRevision)
	must(err)
	// Linearizable, so that this member has applied the compaction.
	_, err = other.Get(ctx, "go/txn")
	must(err)
	late := <-other.Watch(ctx, "go/txn", clientv3.WithRev(1))
	check(errors.Is(late.Err(), rpctypes.ErrCompacted) &&
		late.CompactRevision == got.Kvs[0].ModRevision, late)
}

func lease(ctx context.Context, one, other *clientv3.Client) {
	granted, err := one.Grant(ctx, 60)
	must(err)
	_, err = other.Put(ctx, "go/lease", "kept", clientv3.WithLease(granted.ID))
	must(err)
	renewed, err := other.KeepAliveOnce(ctx, granted.ID)
	must(err)
	check(renewed.TTL == 60, renewed)
	left, err := one.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	must(err)
	check(left.TTL > 50 && string(left.Keys[0]) == "go/lease", left)
	_, err = one.Revoke(ctx, granted.ID)
	must(err)
	got, err := other.Get(ctx, "go/lease")
	must(err)
	check(got.Count == 0, got)
	_, err = one.Put(ctx, "go/lease", "x", clientv3.WithLease(granted.ID))
	check(errors.Is(err, rpctypes.ErrLeaseNotFound), err)
	_, err = one.KeepAliveOnce(ctx, granted.ID)
	check(errors.Is(err, rpctypes.ErrLeaseNotFound), err)
}

func lock(ctx context.Context, one, other *clientv3.Client) {
	session, err := concurrency.NewSession(one, concurrency.WithTTL(10))
	must(err)
	defer session.Close()
	rival, err := concurrency.NewSession(other, concurrency.WithTTL(10))
	must(err)
	defer rival.Close()
	held := concurrency.NewMutex(session, "go/lock")
	must(held.Lock(ctx))
	err = concurrency.NewMutex(rival, "go/lock").TryLock(ctx)
	check(errors.Is(err, concurrency.ErrLocked), err)
	must(held.Unlock(ctx))
	election := concurrency.NewElection(session, "go/election")
	must(election.Campaign(ctx, "one"))
	leader, err := concurrency.NewElection(rival, "go/election").Leader(ctx)
	must(err)
	check(string(leader.Kvs[0].Value) == "one", leader)
	must(election.Resign(ctx))
}

func main() {
	urls := strings.Split(os.Getenv("ENDPOINTS"), ",")
	one, other := connect(urls), connect(urls[len(urls)-1:])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	checks := []struct {
		name string
		run  func(context.Context, *clientv3.Client, *clientv3.Client)
	}{{"kv", kv}, {"txn", txn}, {"watch", watch}, {"lease", lease}, {"lock", lock}}
	for _, check := range checks {
		check.run(ctx, one, other)
		fmt.Println("ok", check.name)
	}
	members, err := one.MemberList(ctx)
	must(err)
	check(len(members.Members) == len(urls), members)
}
