package load

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// ErrMethod says that a gRPC method cannot be called as asked: it is not
// there, it streams, or the body is not its message.
var ErrMethod = errors.New("gRPC method")

// GRPCBody returns the message body (JSON) of the unary method that the path
// of u names, "/pkg.Service/Method", in the length-prefixed form of gRPC. The
// method's description comes from protoset, a file of FileDescriptorSet, or,
// when that is empty, from the server's reflection service.
func GRPCBody(ctx context.Context, u *url.URL, body []byte, protoset string, t *tls.Config) ([]byte, error) {
	service, name, ok := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !ok || service == "" || name == "" {
		return nil, fmt.Errorf("%w: path %q is not /pkg.Service/Method", ErrMethod, u.Path)
	}
	var files *protoregistry.Files
	var err error
	if protoset != "" {
		files, err = readProtoset(protoset)
	} else {
		files, err = reflected(ctx, u, service, t)
	}
	if err != nil {
		return nil, err
	}
	d, err := files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("%w: no service %s", ErrMethod, service)
	}
	s, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%w: %s is no service", ErrMethod, service)
	}
	m := s.Methods().ByName(protoreflect.Name(name))
	switch {
	case m == nil:
		var known []string
		for i := range s.Methods().Len() {
			known = append(known, string(s.Methods().Get(i).Name()))
		}
		return nil, fmt.Errorf("%w: %s has no method %s; it has %s", ErrMethod, service, name, strings.Join(known, ", "))
	case m.IsStreamingClient() || m.IsStreamingServer():
		return nil, fmt.Errorf("%w: %s streams; only unary methods can be loaded", ErrMethod, name)
	}
	message := dynamicpb.NewMessage(m.Input())
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := (protojson.UnmarshalOptions{Resolver: dynamicpb.NewTypes(files)}).Unmarshal(body, message); err != nil {
		return nil, fmt.Errorf("%w: the body is no %s: %w", ErrMethod, m.Input().FullName(), err)
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("%w: encode the body: %w", ErrMethod, err)
	}
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(encoded)))
	return append(framed, encoded...), nil
}

func readProtoset(path string) (*protoregistry.Files, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMethod, err)
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("%w: %s is no protoset: %w", ErrMethod, path, err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("%w: protoset %s: %w", ErrMethod, path, err)
	}
	return files, nil
}

// reflected asks the server for the files that describe service.
func reflected(ctx context.Context, u *url.URL, service string, t *tls.Config) (*protoregistry.Files, error) {
	c := insecure.NewCredentials()
	host := u.Host
	if u.Scheme == "grpcs" {
		c = credentials.NewTLS(t)
	}
	if u.Port() == "" {
		host += map[string]string{"grpc": ":80", "grpcs": ":443"}[u.Scheme]
	}
	connection, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(c))
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	ask, err := openReflection(ctx, connection)
	if err != nil {
		return nil, err
	}
	set := &descriptorpb.FileDescriptorSet{}
	have := map[string]bool{}
	add := func(raw [][]byte) ([]string, error) {
		var wanted []string
		for _, b := range raw {
			f := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(b, f); err != nil {
				return nil, fmt.Errorf("%w: reflection of %s: %w", ErrMethod, service, err)
			}
			if !have[f.GetName()] {
				have[f.GetName()] = true
				set.File = append(set.File, f)
				wanted = append(wanted, f.GetDependency()...)
			}
		}
		return wanted, nil
	}
	raw, err := ask(service, "")
	if err != nil {
		return nil, err
	}
	wanted, err := add(raw)
	for err == nil && len(wanted) > 0 {
		name := wanted[0]
		wanted = wanted[1:]
		if have[name] {
			continue
		}
		if raw, err = ask("", name); err != nil {
			return nil, err
		}
		var more []string
		more, err = add(raw)
		wanted = append(wanted, more...)
	}
	if err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("%w: reflection of %s: %w", ErrMethod, service, err)
	}
	return files, nil
}

// An asker returns the files that hold a symbol, or the file of a name.
type asker func(symbol, file string) ([][]byte, error)

// reflectionMethods are version 1 of the reflection service, and the version
// before it for servers that do not know 1. The messages of both have the same
// fields with the same numbers, so those of version 1 serve for both; the
// package of the older version is deprecated.
var reflectionMethods = []string{
	reflectionv1.ServerReflection_ServerReflectionInfo_FullMethodName,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}

// openReflection speaks the newest version of the reflection service that the
// server knows.
func openReflection(ctx context.Context, c *grpc.ClientConn) (asker, error) {
	version := 0
	stream, err := reflectionStream(ctx, c, version)
	if err != nil {
		return nil, err
	}
	return func(symbol, file string) ([][]byte, error) {
		request := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}}
		if file != "" {
			request.MessageRequest = &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: file}
		}
		for {
			_ = stream.Send(request) // an error is io.EOF; Recv says why
			answer, err := stream.Recv()
			switch {
			case status.Code(err) == codes.Unimplemented && version+1 < len(reflectionMethods):
				version++
				if stream, err = reflectionStream(ctx, c, version); err != nil {
					return nil, err
				}
				continue
			case status.Code(err) == codes.Unimplemented:
				return nil, fmt.Errorf("%w: the server has no reflection service; give its description with --protoset FILE", ErrMethod)
			case err != nil:
				return nil, err
			}
			if e := answer.GetErrorResponse(); e != nil {
				return nil, fmt.Errorf("%w: %s", ErrMethod, e.GetErrorMessage())
			}
			return answer.GetFileDescriptorResponse().GetFileDescriptorProto(), nil
		}
	}, nil
}

func reflectionStream(ctx context.Context, c *grpc.ClientConn, version int) (reflectionv1.ServerReflection_ServerReflectionInfoClient, error) {
	stream, err := c.NewStream(ctx, &reflectionv1.ServerReflection_ServiceDesc.Streams[0], reflectionMethods[version])
	if err != nil {
		return nil, fmt.Errorf("reflection: %w", err)
	}
	return &grpc.GenericClientStream[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse]{ClientStream: stream}, nil
}
