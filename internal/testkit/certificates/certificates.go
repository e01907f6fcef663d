// Package certificates makes certificates for tests of TLS.
package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Files has the paths of a self-signed certificate for 127.0.0.1 and of its key, as PEM files.
type Files struct {
	Certificate, Key string
}

// MustCreate creates a certificate in a temporary folder of the test.
func MustCreate(tb testing.TB) Files {
	tb.Helper()
	folder := tb.TempDir()
	f := Files{Certificate: filepath.Join(folder, "certificate.pem"), Key: filepath.Join(folder, "key.pem")}
	f.MustReplace(tb)
	return f
}

// MustReplace replaces the content of the files by another certificate with another key.
func (f Files) MustReplace(tb testing.TB) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		f.Certificate: {Type: "CERTIFICATE", Bytes: certificate},
		f.Key:         {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// MustRead returns the content of the files.
func (f Files) MustRead(tb testing.TB) (certificate, key []byte) {
	tb.Helper()
	certificate, err := os.ReadFile(f.Certificate)
	if err != nil {
		tb.Fatal(err)
	}
	if key, err = os.ReadFile(f.Key); err != nil {
		tb.Fatal(err)
	}
	return certificate, key
}

// MustPool returns the authorities of a client that trusts only the current certificate.
func (f Files) MustPool(tb testing.TB) *x509.CertPool {
	tb.Helper()
	certificate, _ := f.MustRead(tb)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certificate) {
		tb.Fatal("the file holds no certificate")
	}
	return pool
}
