package rpc

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/ticketbridge/ticketbridge/gen/allthings/ticket/v1/ticketv1connect"
	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

// health answers gRPC's health checks. While the database is read-only, only TicketEventService reports not serving.
type health struct {
	ready func(context.Context) error
}

// Check implements [grpchealth.Checker].
func (h health) Check(ctx context.Context, request *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if request.Service != "" && !slices.Contains(serviceNames, request.Service) {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("no such service"))
	}
	err := h.ready(ctx)
	status := grpchealth.StatusNotServing
	if err == nil || errors.Is(err, httpserver.ErrReadOnly) && request.Service != ticketv1connect.TicketEventServiceName {
		status = grpchealth.StatusServing
	}
	return &grpchealth.CheckResponse{Status: status}, nil
}
