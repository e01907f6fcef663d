package postgresserver

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account returns the account of the server: nil for the account of this process. If this process runs as root, it is another account,
// because PostgreSQL refuses to run as root.
func account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var err error
	for _, name := range []string{"postgres", "nobody"} {
		var found *user.User
		if found, err = user.Lookup(name); err == nil {
			return credential(found)
		}
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root: looking for another account: %w", err)
}

func credential(of *user.User) (*syscall.Credential, error) {
	// The id is signed and then cut to 32 bits, because macOS writes the id of nobody as -2.
	uid, err := strconv.ParseInt(of.Uid, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", of.Username, err)
	}
	gid, err := strconv.ParseInt(of.Gid, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", of.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// give makes the account the owner of a file or a folder. It does nothing for nil, because this process already owns the file.
func give(path string, to *syscall.Credential) error {
	if to == nil {
		return nil
	}
	return os.Chown(path, int(to.Uid), int(to.Gid))
}
