package httpserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

// NewAdmin returns the server of an admin address. It serves /livez (200 while the process runs), /readyz (200 if ready returns nil or
// [ErrReadOnly], otherwise 503; the response has the error's text), and profiles under /debug/pprof/. The public must not be able to reach
// its address. It answers 403 to requests of a web page of another origin, see [FromOtherPage].
//
// The profiles do not show the command line, which can hold secrets.
func NewAdmin(ready func(context.Context) error) (*http.Server, *http.ServeMux) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeLine(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		switch err := ready(ctx); {
		case err == nil:
			writeLine(w, http.StatusOK, "ok")
		case errors.Is(err, ErrReadOnly):
			writeLine(w, http.StatusOK, "ok, but "+err.Error())
		default:
			writeLine(w, http.StatusServiceUnavailable, err.Error())
		}
	})
	for path, profile := range map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "symbol": pprof.Symbol,
		"trace": pprof.Trace} {
		mux.HandleFunc("GET /debug/pprof/"+path, boundedProfile(profile))
	}
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// HTTP/1.0 probes may have no Host. Browsers always send one.
			if r.Host != "" && !NamesThisMachine(r.Host) || FromOtherPage(r) {
				writeLine(w, http.StatusForbidden,
					"an admin address is called by an IP address or as localhost, and not by web pages of other origins")
				return
			}
			mux.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}, mux
}

// maxProfileSeconds is the maximum duration of a profile.
const maxProfileSeconds = 60

// boundedProfile answers 400 to requests for a profile that would take longer than maxProfileSeconds.
func boundedProfile(profile http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// The profile uses its default duration if the value is not a number.
		if seconds, err := strconv.ParseFloat(r.FormValue("seconds"), 64); (err == nil || errors.Is(err, strconv.ErrRange)) &&
			!(seconds <= maxProfileSeconds) {
			writeLine(w, http.StatusBadRequest, fmt.Sprintf("seconds must be at most %d", maxProfileSeconds))
			return
		}
		profile(w, r)
	}
}

func writeLine(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, line)
}
