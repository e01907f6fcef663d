package main

import (
	"context"
	"crypto/hmac"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/ticketbridge/ticketbridge/internal/simulator"
)

const (
	webhookPath = "/webhook"
	readyPath   = "/readyz"
	// maxBody is the gateway's default limit.
	maxBody = 1 << 20
)

type bareCommand struct {
	Address string `arg:"" help:"The address to listen on, such as 127.0.0.1:8080."`
	Secret  string `arg:"" help:"The secret with which requests are signed."`
}

// bareHandler returns a handler that does the minimum of a webhook endpoint: it reads the body, checks its signature, and answers. It
// stores nothing. The gateway is compared to it.
func bareHandler(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+readyPath, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST "+webhookPath, func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 || r.ContentLength > maxBody {
			http.Error(w, "body too large", http.StatusRequestEntityTooLarge)
			return
		}
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, "body cut short", http.StatusBadRequest)
			return
		}
		if !hmac.Equal([]byte(simulator.Sign(secret, body)), []byte(r.Header.Get(simulator.SignatureHeader))) {
			http.Error(w, "wrong signature", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"message":"success"}`)
	})
	return mux
}

// serveBare serves [bareHandler] until ctx ends, with the timeouts that any public server has.
func serveBare(ctx context.Context, address, secret string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           bareHandler(secret),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	unhook := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer unhook()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
