// Command server answers on loopback for bench/load: "ok" over HTTP/1.1 and h2c
// at the address on its first line, and the gRPC health check, with reflection,
// at the address on its second.
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	calls, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\n", plain.Addr(), calls.Addr())
	g := grpc.NewServer()
	healthv1.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	go func() { _ = g.Serve(calls) }()
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := http.Server{Protocols: &p, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok"))
	})}
	return s.Serve(plain)
}
