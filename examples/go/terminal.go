package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	pb "trivium.dev/examples/ask/gen/trivium/v1"
)

// printTerminal shows how a request ended and gives the exit status. whole: its text was not shown yet.
func printTerminal(out io.Writer, terminal *pb.Terminal, asJSON, whole bool) int {
	if asJSON {
		line, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(terminal)
		if err != nil {
			panic(err) // a message that was just read can be written
		}
		fmt.Fprintf(out, "%s\n", line)
	} else {
		if whole && terminal.Answer != nil {
			fmt.Fprintln(out, terminal.Answer.Text)
		}
		fmt.Fprintf(out, "\n%s: %s\n", terminal.Identity.Id, summary(terminal))
	}
	if terminal.Kind == "answered" {
		return answered
	}
	return unanswered
}

func summary(terminal *pb.Terminal) string {
	if reason := terminal.Reason; reason != nil {
		return strings.TrimSuffix(fmt.Sprintf("%s (%s): %s; %s", terminal.Kind, reason.Code, reason.Message, reason.Hint), "; ")
	}
	by := terminal.Target
	if by == "" {
		by = terminal.Tier
	}
	return fmt.Sprintf("%s by %s in %d ms for $%.6f", terminal.Kind, by,
		terminal.EndedMs-terminal.ArrivedMs, float64(terminal.CostMicroDollars)/1e6)
}

func printPiece(out io.Writer, piece string, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(out).Encode(map[string]string{"delta": piece})
		return
	}
	fmt.Fprint(out, piece)
}
