package simulator

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// Headers that Allthings sends with each delivery.
const (
	// SignatureHeader holds the signature of the body, see [Sign].
	SignatureHeader = "x-allthings-signature"
	// TimestampHeader holds the time of this try, in milliseconds since the epoch. The signature does not cover it.
	TimestampHeader = "x-allthings-signature-timestamp"
)

// Sign returns the signature that Allthings sends with a body: its HMAC-SHA256 under the webhook's secret, in lower-case hex.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	var sum [sha256.Size]byte
	return hex.EncodeToString(mac.Sum(sum[:0]))
}
