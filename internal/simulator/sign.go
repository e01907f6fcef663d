package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// These are the headers that Allthings sends with each delivery.
const (
	// SignatureHeader is the header with the signature of the body, see [Sign].
	SignatureHeader = "x-allthings-signature"
	// TimestampHeader is the header with the time of this try, in milliseconds since the epoch. The signature does not cover it.
	TimestampHeader = "x-allthings-signature-timestamp"
)

// Sign returns the signature that Allthings sends with a body: the HMAC-SHA256 of the body under the webhook's secret, in lower-case hex.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	var sum [sha256.Size]byte
	return hex.EncodeToString(mac.Sum(sum[:0]))
}
