package load

import (
	"encoding/hex"
	"net"
	"net/url"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// The body is field 1 of HealthCheckRequest, "a", as protobuf's encoding guide
// writes a string, after the five bytes of gRPC's framing.
func TestGRPCBodyAsksBothVersionsOfReflection(t *testing.T) {
	old := reflectionv1.ServerReflection_ServiceDesc
	old.ServiceName = "grpc.reflection.v1alpha.ServerReflection"
	for name, desc := range map[string]*grpc.ServiceDesc{"v1": &reflectionv1.ServerReflection_ServiceDesc, "v1alpha": &old} {
		t.Run(name, func(t *testing.T) {
			address := serveHealth(t, func(s *grpc.Server) {
				s.RegisterService(desc, reflection.NewServerV1(reflection.ServerOptions{Services: s}))
			})
			u := &url.URL{Scheme: "grpc", Host: address, Path: "/grpc.health.v1.Health/Check"}
			got, err := GRPCBody(t.Context(), u, []byte(`{"service":"a"}`), "", nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := "00000000030a0161"; hex.EncodeToString(got) != want {
				t.Errorf("body %x, want %s", got, want)
			}
		})
	}
}

func TestGRPCBodyNamesWhatIsMissing(t *testing.T) {
	reflects := func(s *grpc.Server) { reflection.RegisterV1(s) }
	for _, c := range []struct{ name, path, want string }{
		{"no reflection", "/grpc.health.v1.Health/Check", "gRPC method: the server has no reflection service; give its description with --protoset FILE"},
		{"no method", "/grpc.health.v1.Health/Chek", "gRPC method: grpc.health.v1.Health has no method Chek; it has Check, List, Watch"},
		{"streams", "/grpc.health.v1.Health/Watch", "gRPC method: Watch streams; only unary methods can be loaded"},
		{"no path", "/Health", `gRPC method: path "/Health" is not /pkg.Service/Method`},
	} {
		t.Run(c.name, func(t *testing.T) {
			with := reflects
			if c.name == "no reflection" {
				with = func(*grpc.Server) {}
			}
			u := &url.URL{Scheme: "grpc", Host: serveHealth(t, with), Path: c.path}
			if _, err := GRPCBody(t.Context(), u, nil, "", nil); err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// serveHealth serves gRPC's own health service and returns its address.
func serveHealth(t *testing.T, with func(*grpc.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	healthv1.RegisterHealthServer(s, health.NewServer())
	with(s)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}
