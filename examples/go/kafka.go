package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
	"google.golang.org/protobuf/proto"
	pb "trivium.dev/examples/ask/gen/trivium/v1"
)

const requests = "trivium.requests"

// publish asks over Kafka: it remembers where the replies end, publishes, and reads on until every question has its end.
func publish(ctx context.Context, o options, out io.Writer) (int, error) {
	ctx, done := context.WithTimeout(ctx, o.timeout+5*time.Second)
	defer done()
	// Only for the embedded broker, which cuts its answer to a newer ApiVersions request (key 18) short.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(18, 2)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(o.kafka),
		// Murmur2 of the key, as Kafka's own clients do: the record lands at the request's home, and is not forwarded.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// The embedded broker answers a fetch only when this is over; a real one answers at once.
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.MaxVersions(versions),
	)
	if err != nil {
		return unknown, err
	}
	defer client.Close()
	if err := readFromHere(ctx, client, o.replies); err != nil {
		return unknown, fmt.Errorf("the reply topic %s at %s cannot be read: %w", o.replies, o.kafka, err)
	}
	waiting := make(map[string]bool)
	for number, prompt := range o.arguments {
		record, err := record(o.request(fmt.Sprintf("%s-%d", o.id, number+1), prompt))
		if err != nil {
			return unknown, err
		}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return unknown, fmt.Errorf("the broker did not take %s: %w", record.Key, err)
		}
		waiting[string(record.Key)] = true
	}
	return replies(ctx, client, waiting, o.asJSON, out)
}

// readFromHere needs no consumer group: a reply is for whoever asked, so every asker reads the whole topic from the
// offsets that were its ends before anything was published.
func readFromHere(ctx context.Context, client *kgo.Client, topic string) error {
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	client.AddConsumePartitions(ends.KOffsets())
	return nil
}

// record: the key is the identity, so that all of a request has one home; the header says how the value is written, and
// the answer comes in the same form. With an API key in the environment it is signed.
func record(request *pb.Request) (*kgo.Record, error) {
	value, err := proto.Marshal(request)
	headers := []kgo.RecordHeader{
		{Key: "content-type", Value: []byte("application/protobuf")},
		{Key: "schema", Value: []byte("trivium.v1.Request")},
	}
	if key := os.Getenv("TRIVIUM_KEY"); key != "" {
		headers = append(headers, kgo.RecordHeader{Key: "trivium-signature", Value: []byte(signature(key, request, value))})
	}
	return &kgo.Record{Topic: requests, Key: []byte(request.Tenant + "/" + request.Id), Value: value, Headers: headers}, err
}

// replies takes the first terminal of each identity. A crash in the mesh may write one twice; the first counts.
func replies(ctx context.Context, client *kgo.Client, waiting map[string]bool, asJSON bool, out io.Writer) (int, error) {
	published, repeated, worst := len(waiting), 0, answered
	for open := published; open > 0; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return unknown, fmt.Errorf("%d of %d questions have no end yet; they go on in the mesh: %w", open, published, err)
		}
		for _, reply := range fetches.Records() {
			first, ours := waiting[string(reply.Key)]
			if !ours {
				continue
			}
			if !first {
				repeated++
				continue
			}
			var terminal pb.Terminal
			if err := proto.Unmarshal(reply.Value, &terminal); err != nil {
				return unknown, fmt.Errorf("the terminal of %s cannot be read: %w", reply.Key, err)
			}
			waiting[string(reply.Key)] = false
			open--
			worst = max(worst, printTerminal(out, &terminal, asJSON, true))
		}
	}
	count(out, map[string]int{"published": published, "terminals": published, "repeated": repeated}, asJSON)
	return worst, nil
}

func count(out io.Writer, counts map[string]int, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(out).Encode(counts)
		return
	}
	fmt.Fprintf(os.Stderr, "%d published, %d ended, %d repetitions left out\n",
		counts["published"], counts["terminals"], counts["repeated"])
}
