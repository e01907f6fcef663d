package rpc

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"
)

// preflightAge is how long a browser may keep the answer to a preflight. No browser keeps it for longer than two hours.
const preflightAge = 2 * time.Hour

// shareWithPages lets scripts of web pages of these origins, and of no others, call next from a browser. It comes before tokens are looked
// at, since a browser asks for leave without showing any.
//
// A page shows its token as other callers do, in the Authorization header. Cookies and other credentials of the browser's own are not
// allowed: the service has no use for them.
func shareWithPages(next http.Handler, origins []string) http.Handler {
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: connectcors.AllowedMethods(),
		AllowedHeaders: append(connectcors.AllowedHeaders(), "Authorization"),
		ExposedHeaders: connectcors.ExposedHeaders(),
		MaxAge:         int(preflightAge.Seconds()),
	}).Handler(next)
}

// CheckOrigin returns an error, for whoever set it, unless origin is one as browsers send it, such as https://tickets.example.com.
//
// There is no way to allow all pages, or all of a domain: whoever can get a page of their own in there could then have it call with the
// rights of each person who looks at it, and without tokens the page of any stranger could read all tickets.
func CheckOrigin(origin string) error {
	parsed, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return fmt.Errorf("%q has a wildcard: name each origin in full, such as https://tickets.example.com", origin)
	case err != nil, !slices.Contains([]string{"http", "https"}, parsed.Scheme), parsed.Hostname() == "",
		origin != parsed.Scheme+"://"+parsed.Host:
		return fmt.Errorf("%q is not an origin: use a scheme and a host, with the port where it is not the usual one, and nothing behind them, "+
			"such as https://tickets.example.com", origin[strings.LastIndex(origin, "@")+1:])
	case origin != strings.ToLower(origin), parsed.Port() == usualPorts[parsed.Scheme], strings.HasSuffix(parsed.Host, ":"):
		return fmt.Errorf("%q is not written as browsers do: use lower case, and leave out the usual port", origin)
	}
	return nil
}

var usualPorts = map[string]string{"http": "80", "https": "443"}
