package rpc

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

// preflightAge is how long a browser may keep the answer to a preflight. No browser keeps it for longer than two hours.
const preflightAge = 2 * time.Hour

// allowedOrigins returns what tells whether an origin is one of these.
func allowedOrigins(origins []string) func(origin string) bool {
	allowed := map[string]bool{}
	for _, origin := range origins {
		allowed[canonicalOrigin(origin)] = true
	}
	return func(origin string) bool { return allowed[canonicalOrigin(origin)] }
}

// withCORS lets scripts of web pages of allowed origins, and of no others, call next from a browser. It comes before tokens are looked
// at, since a browser asks for leave without showing any.
//
// A page shows its token as other callers do, in the Authorization header. Cookies and other credentials of the browser's own are not
// allowed: the service has no use for them.
func withCORS(next http.Handler, isAllowed func(origin string) bool) http.Handler {
	return cors.New(cors.Options{
		AllowOriginFunc: isAllowed,
		AllowedMethods:  connectcors.AllowedMethods(),
		AllowedHeaders:  append(connectcors.AllowedHeaders(), "Authorization"),
		ExposedHeaders:  connectcors.ExposedHeaders(),
		MaxAge:          int(preflightAge.Seconds()),
	}).Handler(next)
}

// canonicalOrigin returns the one form of an origin in which origins can be compared: with [httpserver.CanonicalHost], and without the
// usual port. What is not an origin, such as "null", stays as it is.
func canonicalOrigin(origin string) string {
	parsed, err := url.Parse(origin)
	if err != nil || parsed.Host == "" {
		return origin
	}
	host, port := httpserver.CanonicalHost(parsed.Hostname()), parsed.Port()
	if port == "" {
		port = usualPorts[parsed.Scheme]
	}
	return parsed.Scheme + "://" + net.JoinHostPort(host, port)
}

var usualPorts = map[string]string{"http": "80", "https": "443"}

// CheckOrigin returns an error for the operator if origin is not a scheme and a host, such as https://tickets.example.com. Case, a dot
// at the end of the host and the usual port make no difference.
//
// There is no way to allow all pages, or all of a domain: whoever can get a page of their own in there could then have it call with the
// rights of each person who looks at it, and without tokens the page of any stranger could read all tickets.
func CheckOrigin(origin string) error {
	parsed, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return fmt.Errorf("%q has a wildcard: name each origin in full, such as https://tickets.example.com", origin)
	case err != nil, !slices.Contains([]string{"http", "https"}, parsed.Scheme), parsed.Hostname() == "",
		!strings.EqualFold(origin, parsed.Scheme+"://"+parsed.Host):
		return fmt.Errorf("%q is not an origin: use a scheme and a host, with the port where it is not the usual one, and nothing behind them, "+
			"such as https://tickets.example.com", origin[strings.LastIndex(origin, "@")+1:])
	}
	return nil
}
