// Command ask puts questions to a Trivium mesh: over gRPC, or over Kafka.
package main

//go:generate sh generate.sh

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	pb "trivium.dev/examples/ask/gen/trivium/v1"
)

const usage = `usage: ask COMMAND [flags] ARGUMENT...

  ask ask     "Where is my order?"       one question over gRPC, its whole answer
  ask stream  "Where is my order?"       the same, piece by piece; Ctrl-C cancels it and stops the model
  ask cancel  ID                         cancel a question that somebody else is asking
  ask publish "Question" "Question"...   questions over Kafka, each answered once

example: ask stream --gateway localhost:7300 --tenant acme --endpoint /auto "What is never written to the cache?"
Every command has --help. An API key is taken from TRIVIUM_KEY. Exit status: 0 answered, 1 ended without an answer, 2 no end was seen.
`

// Exit statuses.
const (
	answered = iota
	unanswered
	unknown
)

// options are the flags of every command; each takes those that mean something to it.
type options struct {
	gateway, ca, kafka, replies string
	tenant, endpoint, id        string
	timeout                     time.Duration
	durable, asJSON             bool
	arguments                   []string
}

type command func(ctx context.Context, o options, out io.Writer) (int, error)

func main() {
	commands := map[string]command{"ask": ask, "stream": stream, "cancel": cancel, "publish": publish}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		if len(os.Args) == 2 && (os.Args[1] == "--help" || os.Args[1] == "-h") {
			os.Exit(0)
		}
		os.Exit(unknown)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := parse(os.Args[1], os.Args[2:])
	status, err := commands[os.Args[1]](ctx, o, os.Stdout)
	if err != nil {
		report(err, o.asJSON)
	}
	os.Exit(status)
}

func parse(name string, arguments []string) options {
	var o options
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	flags.StringVar(&o.gateway, "gateway", "localhost:7300", "`HOST:PORT` of the gateway")
	flags.StringVar(&o.ca, "ca", "", "`FILE` of the CA that signed the gateway's certificate; none: plain text")
	flags.StringVar(&o.kafka, "kafka", "localhost:9092", "`HOST:PORT` of a Kafka broker (publish)")
	flags.StringVar(&o.replies, "replies", "trivium.responses", "the tenant's reply topic (publish)")
	flags.StringVar(&o.tenant, "tenant", "acme", "who asks")
	flags.StringVar(&o.endpoint, "endpoint", "/auto", "what kind of work it is; /auto lets the mesh find out")
	flags.StringVar(&o.id, "id", "", "request id, yours to choose; the same id again is the same request")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long an answer may take")
	flags.BoolVar(&o.durable, "durable", false, "through the log: the question survives the gateway (ask)")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage, "\nflags of ask ", name, ":\n")
		flags.PrintDefaults()
	}
	_ = flags.Parse(arguments) // ExitOnError
	o.arguments = flags.Args()
	if len(o.arguments) == 0 || (len(o.arguments) > 1 && name != "publish") {
		fmt.Fprintf(os.Stderr, "ask %s: %d arguments were given; flags come before the question, and a question is quoted\n",
			name, len(o.arguments))
		os.Exit(unknown)
	}
	if o.id == "" {
		o.id = "go-" + rand.Text()
	}
	return o
}

// request is what both doors take.
func (o options) request(id, prompt string) *pb.Request {
	milliseconds := uint32(o.timeout.Milliseconds())
	return &pb.Request{Tenant: o.tenant, Id: id, Endpoint: o.endpoint, Prompt: prompt, TimeoutMs: &milliseconds}
}

// report says what went wrong, to a person or to a program.
func report(err error, asJSON bool) {
	var call *callError
	switch {
	case errors.As(err, &call) && asJSON:
		call.printJSON(os.Stdout)
	default:
		fmt.Fprintln(os.Stderr, err)
	}
}
