package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strconv"

	pb "trivium.dev/examples/ask/gen/trivium/v1"
)

// signature says whose request a record is, for a tenant that must sign: docs/security.md has it in words.
func signature(key string, request *pb.Request, value []byte) string {
	id, content := sha256.Sum256([]byte(key)), sha256.Sum256(value)
	secret := hmac.New(sha256.New, []byte(key))
	secret.Write([]byte("trivium signing secret v1"))
	signed := hmac.New(sha256.New, secret.Sum(nil))
	replay := strconv.FormatUint(uint64(request.Replay), 10)
	for _, part := range []string{"trivium request v1", request.Tenant, request.Id, replay, string(content[:])} {
		fmt.Fprintf(signed, "%d:%s", len(part), part)
	}
	return fmt.Sprintf("v1 %x %x", id[:6], signed.Sum(nil))
}
