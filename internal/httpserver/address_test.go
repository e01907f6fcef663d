package httpserver_test

import (
	"strings"
	"testing"

	"github.com/ticketbridge/ticketbridge/internal/httpserver"
)

func TestCheckProtected(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"127.0.0.1:80": "", "127.8.9.1:0": "", "[::1]:80": "", "localhost:80": "",
		"[::ffff:127.0.0.1]:80": "", ":80": "other machines", "0.0.0.0:80": "other machines", "[::]:80": "other machines",
		"LOCALHOST:80": "", "localhost.:80": "", "LocalHost.:80": "", "localhost..:80": "other machines",
		"localhost.example:80": "other machines", "127.0.0.1.:80": "other machines", "localhoſt:80": "other machines",
		"192.0.2.1:80":    "other machines",
		"example.test:80": "other machines", "127.0.0.1": "not an address", "": "not an address"} {
		for fix, says := range map[string]string{"": "no credentials yet", "set --tokens-file": "set --tokens-file, or use a loopback"} {
			err := httpserver.CheckProtected(address, "127.0.0.1:80", httpserver.Protection{Fix: fix})
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("CheckProtected(%q) = %v, want %q", address, err, want)
			}
			if want == "other machines" && !strings.Contains(err.Error(), says) {
				t.Errorf("CheckProtected(%q) = %v, want %q", address, err, says)
			}
		}
		err := httpserver.CheckProtected(address, "127.0.0.1:80", httpserver.Protection{Credentials: true})
		if (err != nil) != (want == "not an address") {
			t.Errorf("CheckProtected(%q) with credentials = %v", address, err)
		}
		if err := httpserver.CheckAddress(address, "127.0.0.1:80"); (err != nil) != (want == "not an address") {
			t.Errorf("CheckAddress(%q) = %v", address, err)
		}
	}
}
