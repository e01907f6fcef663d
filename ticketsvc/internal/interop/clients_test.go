package interop_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/testkit/external"
)

// job is a call. It is what the programs in other languages read, as JSON.
type job struct {
	URL string `json:"url"`
	// Method is one of TicketService.
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
	Token   string          `json:"token"`
	// Protocol is "connect", "grpc" or "grpc-web".
	Protocol string `json:"protocol"`
	// TimeoutMs is how long the call may take, in milliseconds.
	TimeoutMs int `json:"timeoutMs"`
	// MaxBytes is the size of the largest answer that the client takes. 0 means the client's own limit.
	MaxBytes int `json:"maxBytes"`
	// Gzip says that the request is compressed.
	Gzip bool `json:"gzip"`
	// Enough is after how many messages the client ends a stream. 0 means never.
	Enough int `json:"enough"`
}

func (j *job) stream() bool { return j.Method == "WatchTickets" }

// path returns the procedure's path, without the slash before it.
func (j *job) path() string { return ticketv1connect.TicketServiceName + "/" + j.Method }

// outcome is what came of a call, as the client's library tells it.
type outcome struct {
	// Code is the number of a [connect.Code], 0 for OK.
	Code    uint32            `json:"code"`
	Message string            `json:"message"`
	Answers []json.RawMessage `json:"answers"`
	// Details are in one of these two.
	Details []detail `json:"details"`
	// Status is a google.rpc.Status, in Base64.
	Status string `json:"status"`
}

type detail struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

// client makes calls.
type client struct {
	protocol string
	// gzip and limit say whether the client can compress requests, and limit answers.
	gzip, limit bool
	call        func(t *testing.T, j job) outcome
}

// clients are all of them, each by a function that makes it ready.
var clients = map[string]func(t *testing.T) client{
	"connect-go by Connect":  func(*testing.T) client { return client{"connect", true, true, callConnectGo} },
	"connect-go by gRPC":     func(*testing.T) client { return client{"grpc", true, true, callConnectGo} },
	"connect-go by gRPC-Web": func(*testing.T) client { return client{"grpc-web", true, true, callConnectGo} },
	"Connect-ES by Connect":  func(t *testing.T) client { return client{"connect", true, true, connectES(t)} },
	"Connect-ES by gRPC":     func(t *testing.T) client { return client{"grpc", true, true, connectES(t)} },
	"Connect-ES by gRPC-Web": func(t *testing.T) client { return client{"grpc-web", true, true, connectES(t)} },
	"grpcio":                 func(t *testing.T) client { return client{"grpc", true, true, grpcio(t)} },
	"grpcurl":                func(t *testing.T) client { return client{"grpc", false, true, grpcurl(t)} },
	"buf curl by Connect":    func(t *testing.T) client { return client{"connect", false, false, bufCurl(t)} },
	"buf curl by gRPC":       func(t *testing.T) client { return client{"grpc", false, false, bufCurl(t)} },
	"buf curl by gRPC-Web":   func(t *testing.T) client { return client{"grpc-web", false, false, bufCurl(t)} },
}

// callConnectGo makes a call with connect-go.
func callConnectGo(t *testing.T, j job) outcome {
	transport := &http.Transport{Protocols: &http.Protocols{}}
	transport.Protocols.SetUnencryptedHTTP2(j.Protocol == "grpc")
	transport.Protocols.SetHTTP1(j.Protocol != "grpc")
	defer transport.CloseIdleConnections()
	options := []connect.ClientOption{connect.WithReadMaxBytes(j.MaxBytes)}
	if j.Gzip {
		options = append(options, connect.WithSendGzip())
	}
	switch j.Protocol {
	case "grpc":
		options = append(options, connect.WithGRPC())
	case "grpc-web":
		options = append(options, connect.WithGRPCWeb())
	}
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(j.path(), "/", ".")))
	if err != nil {
		t.Fatal(err)
	}
	method := descriptor.(protoreflect.MethodDescriptor)
	options = append(options, connect.WithSchema(method), connect.WithResponseInitializer(func(_ connect.Spec, message any) error {
		*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(method.Output())
		return nil
	}))
	request := connect.NewRequest(dynamicpb.NewMessage(method.Input()))
	if err := protojson.Unmarshal(j.Request, request.Msg); err != nil {
		t.Fatal(err)
	}
	request.Header().Set("Authorization", "Bearer "+j.Token)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(j.TimeoutMs)*time.Millisecond)
	defer cancel()
	caller := connect.NewClient[dynamicpb.Message, dynamicpb.Message](&http.Client{Transport: transport}, j.URL+"/"+j.path(), options...)
	var o outcome
	if !j.stream() {
		answer, err := caller.CallUnary(ctx, request)
		if err == nil {
			o.Answers = append(o.Answers, mustJSON(t, answer.Msg))
		}
		return o.failed(t, err)
	}
	stream, err := caller.CallServerStream(ctx, request)
	if err != nil {
		return o.failed(t, err)
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		if o.Answers = append(o.Answers, mustJSON(t, stream.Msg())); len(o.Answers) == j.Enough {
			return o
		}
	}
	return o.failed(t, stream.Err())
}

// failed returns the outcome with an error of connect-go's, if there is one.
func (o outcome) failed(t *testing.T, err error) outcome {
	var failure *connect.Error
	switch {
	case err == nil:
		return o
	case !errors.As(err, &failure):
		t.Fatal(err)
	}
	o.Code, o.Message = uint32(failure.Code()), failure.Message()
	for _, d := range failure.Details() {
		o.Details = append(o.Details, detail{d.Type(), base64.StdEncoding.EncodeToString(d.Bytes())})
	}
	return o
}

func mustJSON(t *testing.T, message proto.Message) json.RawMessage {
	t.Helper()
	encoded, err := protojson.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// connectES returns what makes a call with Connect-ES.
func connectES(t *testing.T) func(*testing.T, job) outcome {
	node, folder := external.Node(t)
	return func(t *testing.T, j job) outcome {
		return callProgram(t, j, exec.CommandContext(t.Context(), node, filepath.Join(folder, "dist", "test", "call.js")))
	}
}

// grpcio returns what makes a call with grpcio.
func grpcio(t *testing.T) func(*testing.T, job) outcome {
	python, folder := external.Python(t)
	return func(t *testing.T, j job) outcome {
		command := exec.CommandContext(t.Context(), python, filepath.Join(folder, "test", "call.py"))
		command.Env = append(command.Environ(), "PYTHONPATH="+folder)
		return callProgram(t, j, command)
	}
}

// callProgram runs a program of clients/, which reads a job and prints its outcome.
func callProgram(t *testing.T, j job, command *exec.Cmd) outcome {
	t.Helper()
	input, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(input), &errs
	printed, err := command.Output()
	var o outcome
	if err := errors.Join(err, json.Unmarshal(printed, &o)); err != nil {
		t.Fatalf("%v: %.2000s", err, &errs)
	}
	return o
}

// grpcurl returns what makes a call with grpcurl, which learns the contract by reflection where it has the time.
func grpcurl(t *testing.T) func(*testing.T, job) outcome {
	path, contract := external.Grpcurl(t), mustBuildContract(t)
	return func(t *testing.T, j job) outcome {
		args := []string{"-plaintext", "-format-error", "-max-time", fmt.Sprint(float64(j.TimeoutMs) / 1000), "-H",
			"Authorization: Bearer " + j.Token, "-d", "@"}
		if j.MaxBytes > 0 {
			args = append(args, "-max-msg-sz", fmt.Sprint(j.MaxBytes))
		}
		if j.TimeoutMs < int(patient.Milliseconds()) {
			args = append(args, "-protoset", contract)
		}
		args = append(args, strings.TrimPrefix(j.URL, "http://"), j.path())
		answers, failure := runCurl(t, j, path, args)
		o := outcome{Answers: answers}
		if failure == "" {
			return o
		}
		// A google.rpc.Status as JSON, behind a word.
		status := &statuspb.Status{}
		_, printed, _ := strings.Cut(failure, "{")
		if err := protojson.Unmarshal([]byte("{"+printed), status); err != nil {
			t.Fatalf("%v in %q", err, failure)
		}
		encoded, err := proto.Marshal(status)
		if err != nil {
			t.Fatal(err)
		}
		o.Code, o.Message, o.Status = uint32(status.GetCode()), status.GetMessage(), base64.StdEncoding.EncodeToString(encoded)
		return o
	}
}

// bufCurl returns what makes a call with buf curl, which learns the contract by reflection where it has the time.
func bufCurl(t *testing.T) func(*testing.T, job) outcome {
	path := external.Buf(t)
	contract := mustBuildContract(t)
	var call func(t *testing.T, j job) outcome
	call = func(t *testing.T, j job) outcome {
		args := []string{"curl", "--http2-prior-knowledge", "--protocol", strings.ReplaceAll(j.Protocol, "-", ""), "--header",
			"Authorization: Bearer " + j.Token, "--timeout", fmt.Sprintf("%dms", j.TimeoutMs), "--data", "@-", j.URL + "/" + j.path()}
		if j.TimeoutMs == int(patient.Milliseconds()) {
			args = append(args, "--reflect-header", "Authorization: Bearer "+adminToken)
		} else {
			args = append(args, "--schema", contract)
		}
		answers, failure := runCurl(t, j, path, args)
		o := outcome{Answers: answers}
		if failure == "" {
			return o
		}
		// The deadline counts from the start of buf: on a busy machine it can pass before the call begins. Then it is doubled.
		if strings.HasPrefix(failure, "Failure: ") && 2*j.TimeoutMs < int(patient.Milliseconds()) {
			j.TimeoutMs *= 2
			return call(t, j)
		}
		// An error as the Connect protocol has it.
		var printed struct {
			Code    connect.Code
			Message string
			Details []detail
		}
		if err := json.Unmarshal([]byte(failure), &printed); err != nil {
			t.Fatalf("%v in %q", err, failure)
		}
		o.Code, o.Message = uint32(printed.Code), printed.Message
		for _, d := range printed.Details {
			// Connect's JSON has Base64 without padding.
			value, err := base64.RawStdEncoding.DecodeString(d.Value)
			if err != nil {
				t.Fatal(err)
			}
			o.Details = append(o.Details, detail{d.Type, base64.StdEncoding.EncodeToString(value)})
		}
		return o
	}
	return call
}

// mustBuildContract returns a file with the contract, for calls with little time: to ask the server for it would be part of what has to be
// done in time.
func mustBuildContract(t *testing.T) string {
	t.Helper()
	contract := filepath.Join(t.TempDir(), "contract.binpb")
	build := exec.CommandContext(t.Context(), external.Buf(t), "build", filepath.Join("..", "..", ".."), "-o", contract)
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return contract
}

// runCurl runs a command that makes a call, and returns the answers that it prints, and what it prints of an error.
func runCurl(t *testing.T, j job, path string, args []string) (answers []json.RawMessage, failure string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	command := exec.CommandContext(ctx, path, args...)
	var errs bytes.Buffer
	command.Stdin, command.Stderr = bytes.NewReader(j.Request), &errs
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for decoder := json.NewDecoder(stdout); ; {
		var answer json.RawMessage
		if err := decoder.Decode(&answer); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if answers = append(answers, answer); len(answers) == j.Enough {
			cancel()
			_ = command.Wait() // It was ended.
			return answers, ""
		}
	}
	if err := command.Wait(); err != nil {
		return answers, errs.String()
	}
	return answers, ""
}

// details returns the details of an error.
func (o *outcome) details(t *testing.T) []proto.Message {
	t.Helper()
	var details []*anypb.Any
	for _, d := range o.Details {
		value, err := base64.StdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value})
	}
	encoded, err := base64.StdEncoding.DecodeString(o.Status)
	if err != nil {
		t.Fatal(err)
	}
	status := &statuspb.Status{}
	if err := proto.Unmarshal(encoded, status); err != nil {
		t.Fatal(err)
	}
	var messages []proto.Message
	for _, d := range append(details, status.GetDetails()...) {
		message, err := d.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, message)
	}
	return messages
}
