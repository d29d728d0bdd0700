package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	pb "trivium.dev/examples/ask/gen/trivium/v1"
)

// callError is a call that came to no terminal: a gRPC status, with the reason that the gateway puts into the trailers.
type callError struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Reason  string `json:"reason"` // a word of a closed set: missing_field, id_reused ...
	Field   string `json:"field"`  // where in the request
}

func (e *callError) Error() string {
	said := e.Status + ": " + e.Message
	if e.Reason != "" {
		said += fmt.Sprintf(" [%s %s]", e.Reason, e.Field)
	}
	return said
}

func (e *callError) printJSON(out io.Writer) { _ = json.NewEncoder(out).Encode(e) }

func failed(err error, trailer metadata.MD) *callError {
	first := func(name string) string {
		if values := trailer.Get(name); len(values) > 0 {
			return values[0]
		}
		return ""
	}
	told := status.Convert(err)
	return &callError{
		Status:  code.Code(told.Code()).String(),
		Message: told.Message(),
		Reason:  first("trivium-reason"),
		Field:   first("trivium-field"),
	}
}

// dial connects in plain text, or over TLS to a gateway whose certificate the CA of --ca has signed.
func dial(o options) (*grpc.ClientConn, error) {
	trust := insecure.NewCredentials()
	if o.ca != "" {
		var err error
		if trust, err = credentials.NewClientTLSFromFile(o.ca, ""); err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
	}
	return grpc.NewClient(o.gateway, grpc.WithTransportCredentials(trust))
}

// outgoing gives a call its API key, when the environment has one, and its deadline, which travels with it: everything
// behind the gateway keeps to it. A call without one is refused.
func outgoing(ctx context.Context, o options) (context.Context, context.CancelFunc) {
	if key := os.Getenv("TRIVIUM_KEY"); key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}
	return context.WithTimeout(ctx, o.timeout)
}

// ask: one call, one terminal. A refused or failed request is a terminal too, not an error.
func ask(ctx context.Context, o options, out io.Writer) (int, error) {
	connection, err := dial(o)
	if err != nil {
		return unknown, err
	}
	defer connection.Close()
	ctx, done := outgoing(ctx, o)
	defer done()
	if o.durable {
		ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", o.id)
	}
	var trailer metadata.MD
	terminal, err := pb.NewGatewayClient(connection).Complete(ctx, o.request(o.id, o.arguments[0]), grpc.Trailer(&trailer))
	if err != nil {
		return unknown, failed(err, trailer)
	}
	return printTerminal(out, terminal, o.asJSON, true), nil
}

// stream: pieces as they come, then exactly one terminal. Ctrl-C cancels ctx, and with it the model's work.
func stream(ctx context.Context, o options, out io.Writer) (int, error) {
	connection, err := dial(o)
	if err != nil {
		return unknown, err
	}
	defer connection.Close()
	ctx, done := outgoing(ctx, o)
	defer done()
	events, err := pb.NewGatewayClient(connection).CompleteStream(ctx, o.request(o.id, o.arguments[0]))
	if err != nil {
		return unknown, failed(err, nil)
	}
	for {
		event, err := events.Recv()
		if errors.Is(err, io.EOF) {
			return unknown, errors.New("the stream ended without a terminal: what came is no answer")
		}
		if err != nil {
			return unknown, failed(err, events.Trailer())
		}
		if terminal := event.GetTerminal(); terminal != nil {
			return printTerminal(out, terminal, o.asJSON, false), nil
		}
		printPiece(out, event.GetDelta(), o.asJSON)
	}
}

// cancel: for who does not hold the call. It ends in the terminal `failed`, reason `cancelled`.
func cancel(ctx context.Context, o options, out io.Writer) (int, error) {
	connection, err := dial(o)
	if err != nil {
		return unknown, err
	}
	defer connection.Close()
	ctx, done := outgoing(ctx, o)
	defer done()
	var trailer metadata.MD
	asked := &pb.CancelRequest{Identity: &pb.Identity{Tenant: o.tenant, Id: o.arguments[0]}}
	reply, err := pb.NewGatewayClient(connection).Cancel(ctx, asked, grpc.Trailer(&trailer))
	if err != nil {
		return unknown, failed(err, trailer)
	}
	fmt.Fprintln(out, reply.State)
	return answered, nil
}
