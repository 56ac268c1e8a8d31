// Checks of kadm, the administration side of franz-go. Takes the broker's address; prints one line of JSON for each check.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const checkTime = 60 * time.Second

type bus struct {
	address string
	client  *kgo.Client
	adm     *kadm.Client
	names   int
}

type check struct {
	name string
	run  func(context.Context, *bus) error
}

var checks = []check{
	{"admin: topics", topics},
	{"admin: partitions", partitions},
	{"admin: configs", configs},
	{"admin: groups", groups},
	{"admin: offsets of a group", groupOffsets},
	{"admin: delete records", deleteRecords},
	{"admin: cluster", cluster},
	{"offsets: earliest, latest", offsets},
	{"offsets by time", offsetsByTime},
	{"quotas", quotas},
	{"test: transactions and producers", transactions},
	{"test: log directories", logDirectories},
	{"test: SCRAM credentials", scram},
	{"test: permissions", permissions},
	{"test: share groups", shareGroups},
	{"test: config resources", configResources},
	{"test: leader election", election},
	{"errors in its own words", refusals},
}

func main() {
	address := os.Args[1]
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		panic(err)
	}
	b := &bus{address: address, client: client, adm: kadm.NewClient(client)}
	for _, c := range checks {
		ctx, cancel := context.WithTimeout(context.Background(), checkTime)
		report(c.name, c.run(ctx, b))
		cancel()
	}
	client.Close()
}

func report(name string, err error) {
	outcome := map[string]string{"kind": "passed"}
	if err != nil {
		outcome = map[string]string{"kind": "failed", "reason": err.Error()}
	}
	line, _ := json.Marshal(map[string]any{"capability": name, "outcome": outcome})
	fmt.Println(string(line))
}

// fresh is a name that no other check and no other run on the same broker uses.
func (b *bus) fresh() string {
	b.names++
	return fmt.Sprintf("kadm-%d-%d", os.Getpid(), b.names)
}

func (b *bus) topic(ctx context.Context, partitions int32) (string, error) {
	name := b.fresh()
	_, err := b.adm.CreateTopic(ctx, partitions, 1, nil, name)
	return name, err
}

func (b *bus) send(ctx context.Context, topic string, count int) error {
	for i := range count {
		record := &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value %d", i)}
		if err := b.client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func equal[T comparable](what string, actual, expected T) error {
	if actual != expected {
		return fmt.Errorf("%s: %v is not %v", what, actual, expected)
	}
	return nil
}

func until(ctx context.Context, condition func() (bool, error)) error {
	for {
		done, err := condition()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func topics(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 3)
	if err != nil {
		return err
	}
	found, err := b.adm.ListTopics(ctx, topic)
	if err := errors.Join(err, equal("partitions", len(found[topic].Partitions), 3)); err != nil {
		return err
	}
	if _, err := b.adm.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		found, err := b.adm.ListTopics(ctx)
		return !found.Has(topic), err
	})
}

func partitions(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	grown, err := b.adm.UpdatePartitions(ctx, 4, topic)
	if err := errors.Join(err, grown.Error()); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		found, err := b.adm.ListTopics(ctx, topic)
		return len(found[topic].Partitions) == 4, err
	})
}

func configs(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	for _, change := range []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("70000")},
		{Op: kadm.AppendConfig, Name: "cleanup.policy", Value: kadm.StringPtr("compact")},
		{Op: kadm.SubtractConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")},
	} {
		answers, err := b.adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, topic)
		if err != nil {
			return err
		}
		if answers[0].Err != nil {
			return fmt.Errorf("%s: %w", change.Name, answers[0].Err)
		}
	}
	described, err := b.adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	value := func(name string) string {
		at := slices.IndexFunc(described[0].Configs, func(c kadm.Config) bool { return c.Key == name })
		return described[0].Configs[at].MaybeValue()
	}
	return errors.Join(equal("retention.ms", value("retention.ms"), "70000"), equal("cleanup.policy", value("cleanup.policy"), "compact"))
}

// member joins a group and reads one record of it.
func (b *bus) member(ctx context.Context, group, topic string) (*kgo.Client, error) {
	member, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit())
	if err != nil {
		return nil, err
	}
	fetched := member.PollFetches(ctx)
	return member, errors.Join(fetched.Err(), member.CommitUncommittedOffsets(ctx))
}

func groups(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	group := b.fresh()
	if err := errors.Join(err, b.send(ctx, topic, 10)); err != nil {
		return err
	}
	member, err := b.member(ctx, group, topic)
	if err != nil {
		return err
	}
	lags, err := b.adm.Lag(ctx, group)
	if err := errors.Join(err, lags.Error(), equal("state", lags[group].State, "Stable"), equal("lag", lags[group].Lag.Total(), 0)); err != nil {
		return err
	}
	listed, err := b.adm.ListGroups(ctx)
	if err := errors.Join(err, equal("listed", slices.Contains(listed.Groups(), group), true)); err != nil {
		return err
	}
	member.Close()
	if err := until(ctx, func() (bool, error) {
		described, err := b.adm.DescribeGroups(ctx, group)
		return described[group].State == "Empty", err
	}); err != nil {
		return err
	}
	_, err = b.adm.DeleteGroup(ctx, group)
	return err
}

func groupOffsets(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 2)
	group := b.fresh()
	if err != nil {
		return err
	}
	var places kadm.Offsets
	places.AddOffset(topic, 1, 7, -1)
	if err := b.adm.CommitAllOffsets(ctx, group, places); err != nil {
		return err
	}
	found, err := b.adm.FetchOffsets(ctx, group)
	if err := errors.Join(err, equal("offset", found[topic][1].At, 7), equal("partitions", len(found[topic]), 1)); err != nil {
		return err
	}
	var gone kadm.TopicsSet
	gone.Add(topic, 1)
	deleted, err := b.adm.DeleteOffsets(ctx, group, gone)
	return errors.Join(err, deleted.Error())
}

func deleteRecords(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err := errors.Join(err, b.send(ctx, topic, 10)); err != nil {
		return err
	}
	var places kadm.Offsets
	places.AddOffset(topic, 0, 6, -1)
	deleted, err := b.adm.DeleteRecords(ctx, places)
	return errors.Join(err, deleted.Error(), equal("low watermark", deleted[topic][0].LowWatermark, 6))
}

func cluster(ctx context.Context, b *bus) error {
	brokers, err := b.adm.ListBrokers(ctx)
	if err := errors.Join(err, equal("brokers", len(brokers), 1)); err != nil {
		return err
	}
	_, err = b.adm.ApiVersions(ctx)
	return err
}

func offsets(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err := errors.Join(err, b.send(ctx, topic, 10)); err != nil {
		return err
	}
	start, err := b.adm.ListStartOffsets(ctx, topic)
	if err := errors.Join(err, equal("start", start[topic][0].Offset, 0)); err != nil {
		return err
	}
	end, err := b.adm.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, equal("end", end[topic][0].Offset, 10)); err != nil {
		return err
	}
	stable, err := b.adm.ListCommittedOffsets(ctx, topic)
	return errors.Join(err, equal("last stable", stable[topic][0].Offset, 10))
}

func offsetsByTime(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	base := time.UnixMilli(1_700_000_000_000)
	for i := range 3 {
		at := base.Add(time.Duration(i) * time.Second)
		if err := b.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x"), Timestamp: at}).FirstErr(); err != nil {
			return err
		}
	}
	found, err := b.adm.ListOffsetsAfterMilli(ctx, base.UnixMilli()+1500, topic)
	if err := errors.Join(err, equal("offset", found[topic][0].Offset, 2)); err != nil {
		return err
	}
	greatest, err := b.adm.ListMaxTimestampOffsets(ctx, topic)
	return errors.Join(err, equal("of the greatest", greatest[topic][0].Offset, 2))
}

func quotas(ctx context.Context, b *bus) error {
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: kadm.StringPtr(b.fresh())}}
	altered, err := b.adm.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{
		Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 123456}},
	}})
	if err != nil {
		return err
	}
	if altered[0].Err != nil {
		return altered[0].Err
	}
	found, err := b.adm.DescribeClientQuotas(ctx, true, []kadm.DescribeClientQuotaComponent{
		{Type: "client-id", MatchName: entity[0].Name, MatchType: 0},
	})
	if err := errors.Join(err, equal("entities", len(found), 1)); err != nil {
		return err
	}
	return equal("rate", found[0].Values[0].Value, 123456)
}

func transactions(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	id := b.fresh()
	producer, err := kgo.NewClient(kgo.SeedBrokers(b.address), kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))
	if err != nil {
		return err
	}
	defer producer.Close()
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	if err := producer.ProduceSync(ctx, kgo.StringRecord("open")).FirstErr(); err != nil {
		return err
	}
	described, err := b.adm.DescribeTransactions(ctx, id)
	if err := errors.Join(err, described[id].Err, equal("state", described[id].State, "Ongoing"), equal("has the topic", described[id].Topics.Lookup(topic, 0), true)); err != nil {
		return err
	}
	listed, err := b.adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	if err := errors.Join(err, equal("listed", slices.Contains(listed.TransactionalIDs(), id), true)); err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 0)
	producers, err := b.adm.DescribeProducers(ctx, set)
	if err := errors.Join(err, equal("producers", len(producers[topic].Partitions[0].ActiveProducers), 1)); err != nil {
		return err
	}
	end, err := b.adm.ListEndOffsets(ctx, topic)
	if err := errors.Join(err, equal("end", end[topic][0].Offset, 1)); err != nil {
		return err
	}
	stable, err := b.adm.ListCommittedOffsets(ctx, topic)
	if err := errors.Join(err, equal("last stable", stable[topic][0].Offset, 0)); err != nil {
		return err
	}
	if err := producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		described, err := b.adm.DescribeTransactions(ctx, id)
		return described[id].State == "CompleteCommit", err
	})
}

func logDirectories(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 2)
	if err := errors.Join(err, b.send(ctx, topic, 3)); err != nil {
		return err
	}
	found, err := b.adm.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	seen := 0
	found.Each(func(directory kadm.DescribedLogDir) {
		directory.Topics.Each(func(partition kadm.DescribedLogDirPartition) {
			if partition.Topic == topic {
				seen++
			}
		})
	})
	return equal("partitions", seen, 2)
}

func scram(ctx context.Context, b *bus) error {
	user := b.fresh()
	altered, err := b.adm.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "secret"}})
	if err := errors.Join(err, altered.Error()); err != nil {
		return err
	}
	described, err := b.adm.DescribeUserSCRAMs(ctx, user)
	if err := errors.Join(err, equal("credentials", len(described[user].CredInfos), 1)); err != nil {
		return err
	}
	deleted, err := b.adm.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha256}}, nil)
	return errors.Join(err, deleted.Error())
}

func permissions(ctx context.Context, b *bus) error {
	topic := b.fresh()
	builder := kadm.NewACLs().Allow("User:" + topic).AllowHosts().Topics(topic).ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpRead)
	created, err := b.adm.CreateACLs(ctx, builder)
	if err != nil {
		return err
	}
	if created[0].Err != nil {
		return created[0].Err
	}
	filter := kadm.NewACLs().Allow("User:" + topic).AllowHosts().Topics(topic).ResourcePatternType(kadm.ACLPatternPrefixed).Operations(kadm.OpRead)
	described, err := b.adm.DescribeACLs(ctx, filter)
	if err := errors.Join(err, equal("rules", len(described[0].Described), 1)); err != nil {
		return err
	}
	deleted, err := b.adm.DeleteACLs(ctx, filter)
	return errors.Join(err, equal("deleted", len(deleted[0].Deleted), 1))
}

func shareGroups(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	group := b.fresh()
	if err := errors.Join(err, b.send(ctx, topic, 10)); err != nil {
		return err
	}
	var places kadm.Offsets
	places.AddOffset(topic, 0, 4, -1)
	altered, err := b.adm.AlterShareGroupOffsets(ctx, group, places)
	if err := errors.Join(err, altered.Error()); err != nil {
		return err
	}
	found, err := b.adm.DescribeShareGroupOffsets(ctx, group)
	if err := errors.Join(err, equal("offset", found[group].Offsets[topic][0].StartOffset, 4)); err != nil {
		return err
	}
	described, err := b.adm.DescribeShareGroups(ctx, group)
	return errors.Join(err, equal("state", described[group].GroupState, "Empty"))
}

func configResources(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	found, err := b.adm.ListConfigResources(ctx)
	if err != nil {
		return err
	}
	return equal("topic listed", slices.Contains(found.Names(), topic), true)
}

func election(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 0)
	results, err := b.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	if err != nil {
		return err
	}
	return equal("not needed", errors.Is(results[topic][0].Err, kerr.ElectionNotNeeded), true)
}

func refusals(ctx context.Context, b *bus) error {
	topic, err := b.topic(ctx, 1)
	if err != nil {
		return err
	}
	if _, err := b.adm.CreateTopic(ctx, 1, 1, nil, topic); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("a second topic of one name: %v", err)
	}
	if _, err := b.adm.DeleteTopic(ctx, b.fresh()); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("an absent topic: %v", err)
	}
	return nil
}
