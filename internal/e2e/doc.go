// Package e2e tests the services as an operator runs them: as processes of their own, over real sockets and databases, with the
// simulator in Allthings' place, and with kill -9.
package e2e
