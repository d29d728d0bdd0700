#!/bin/sh
# Generates gen/ from protos/. The two plugins are the `tool` lines of go.mod; protoc is $PROTOC, or the one on the path.
#   PROTOC="python -m grpc_tools.protoc" go generate ./...     with the one that comes with Python's grpcio-tools
set -eu
protos=../../protos
mkdir -p bin gen
GOBIN="$PWD/bin" go install tool
${PROTOC:-protoc} -I "$protos" \
    --plugin="$PWD/bin/protoc-gen-go" --go_out=gen --go_opt=module=trivium.dev/protos \
    --plugin="$PWD/bin/protoc-gen-go-grpc" --go-grpc_out=gen --go-grpc_opt=module=trivium.dev/protos \
    "$protos"/trivium/v1/*.proto
