//go:build tools

// Package grpc pins the client and the server of grpc-go that tests/interop runs.
package grpc

import (
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
