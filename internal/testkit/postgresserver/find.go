package postgresserver

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// ErrNotInstalled is returned if this machine has no binaries of a PostgreSQL server.
var ErrNotInstalled = errors.New("PostgreSQL is not installed; on Debian: apt-get install postgresql")

// debianFolders is the pattern of Debian's folders of servers, one for each major version. They are not in PATH.
const debianFolders = "/usr/lib/postgresql/*/bin"

// Find returns the folder with the server's binaries: the folder of the initdb in PATH, otherwise Debian's folder of the newest version.
// The error is [ErrNotInstalled] if there is neither.
func Find() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		// What is in PATH may be a link, and the other binaries need not be beside it.
		if initdb, err = filepath.EvalSymlinks(initdb); err != nil {
			return "", fmt.Errorf("looking for PostgreSQL: %w", err)
		}
		if folder := filepath.Dir(initdb); hasServer(folder) {
			return folder, nil
		}
	}
	return newest(debianFolders)
}

// newest returns the folder with the highest version that matches the pattern. The asterisk of the pattern stands for the version.
func newest(pattern string) (string, error) {
	folders, err := filepath.Glob(pattern)
	if err != nil {
		return "", fmt.Errorf("looking for PostgreSQL: %w", err)
	}
	found, highest := "", 0.0
	for _, folder := range folders {
		// As a number, since 9.6 comes before 15.
		version, err := strconv.ParseFloat(filepath.Base(filepath.Dir(folder)), 64)
		if err == nil && version > highest && hasServer(folder) {
			found, highest = folder, version
		}
	}
	if found == "" {
		return "", ErrNotInstalled
	}
	return found, nil
}

func hasServer(folder string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, name)); err != nil {
			return false
		}
	}
	return true
}
