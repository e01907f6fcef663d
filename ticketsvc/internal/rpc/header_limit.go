package rpc

import "net/http"

// maxHeaderFields is the maximum number of fields in the header of a request. maxFieldBytes is their maximum size together, including the
// URL if the URL does not hold the message. The fields stay in memory as long as the call, and an empty field takes a hundred bytes there.
// Browsers and proxies send a few tens of fields.
const maxHeaderFields, maxFieldBytes = 128, 16 << 10

// isHeaderTooLarge reports whether a request's header is above the limits.
func isHeaderTooLarge(request *http.Request) bool {
	fields, size := 0, 0
	if request.Method != http.MethodGet {
		size = len(request.RequestURI)
	}
	for name, values := range request.Header {
		fields += len(values)
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return fields > maxHeaderFields || size > maxFieldBytes
}
