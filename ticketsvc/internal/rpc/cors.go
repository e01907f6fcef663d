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

// preflightAge is the maximum time for which a browser may cache the response to a preflight. No browser caches it for longer than two
// hours.
const preflightAge = 2 * time.Hour

// allowedOrigins returns a function that reports whether an origin is one of these.
func allowedOrigins(origins []string) func(origin string) bool {
	allowed := map[string]bool{}
	for _, origin := range origins {
		allowed[canonicalOrigin(origin)] = true
	}
	return func(origin string) bool { return allowed[canonicalOrigin(origin)] }
}

// withCORS allows scripts of web pages of the allowed origins to call next from a browser, and no other scripts. It must run before the
// check of tokens, because a preflight of a browser has no token.
//
// A page sends its token in the Authorization header, like other callers. Cookies and other credentials of the browser are not allowed,
// because the service does not use them.
func withCORS(next http.Handler, isAllowed func(origin string) bool) http.Handler {
	return cors.New(cors.Options{
		AllowOriginFunc: isAllowed,
		AllowedMethods:  connectcors.AllowedMethods(),
		AllowedHeaders:  append(connectcors.AllowedHeaders(), "Authorization"),
		ExposedHeaders:  connectcors.ExposedHeaders(),
		MaxAge:          int(preflightAge.Seconds()),
	}).Handler(next)
}

// canonicalOrigin returns the form of an origin in which origins can be compared: with [httpserver.CanonicalHost], and with the port even
// if it is the default. It returns any other string, such as "null", unchanged.
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

// CheckOrigin returns an error for the operator if origin is not a scheme and a host, such as https://tickets.example.com. Case, a dot at
// the end of the host and the default port make no difference.
//
// It is not possible to allow all pages, or all pages of a domain. An attacker with a page in that domain could call the service with the
// rights of each person who views the page. Without tokens, any page on the web could read all tickets.
func CheckOrigin(origin string) error {
	parsed, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return fmt.Errorf("%q has a wildcard: name each origin in full, such as https://tickets.example.com", origin)
	case err != nil, !slices.Contains([]string{"http", "https"}, parsed.Scheme), parsed.Hostname() == "",
		!strings.EqualFold(origin, parsed.Scheme+"://"+parsed.Host):
		return fmt.Errorf("%q is not an origin: use a scheme and a host, with the port unless it is the default, and nothing after them, "+
			"such as https://tickets.example.com", origin[strings.LastIndex(origin, "@")+1:])
	}
	return nil
}
