package postgresdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

var errBadURL = errors.New("is not of the form postgres://user:password@host:5432/database (in a password @ is written %40, and / %2F)")

var errBadParameters = errors.New("has parameters that are not of the form name=value&name=value (in a value & is written %26, = %3D," +
	" % %25, and a space %20)")

// isAmbiguous reports whether there is an @ after the one that ends user and password. User and password may then have been meant to go on.
// The part after it is shown as the database's name, and could be a part of the password.
func isAmbiguous(databaseURL string) bool {
	_, rest, _ := strings.Cut(databaseURL, "://")
	if end := strings.IndexAny(rest, "@/"); end >= 0 {
		rest = rest[end+1:]
	}
	return strings.Contains(rest, "@")
}

// explainURL returns an error of the driver, about a URL that is not ambiguous, as one line for the operator who set the URL.
//
// Nothing of the URL is repeated except the names of parameters that the driver knows. The driver's own error repeats the user, the values
// of parameters, and any part of a password that its redaction, by its own account a best effort, does not recognize in a malformed URL.
func explainURL(databaseURL string, err error) error {
	bare, parameters := splitParameters(databaseURL)
	if names := faultyParameters(bare, parameters); len(names) > 0 {
		return fmt.Errorf("has no usable value for %s%s", strings.Join(names, ", "), causeOf(err))
	}
	// This URL is ours, so an error of the driver about it comes from elsewhere.
	const harmless = "postgres://localhost/x"
	if _, err := pgxpool.ParseConfig(harmless); err != nil {
		text := strings.TrimPrefix(err.Error(), "cannot parse `"+harmless+"`: ")
		return fmt.Errorf("can't be used because of %s: %s", outsideSources(), oneLine(text))
	}
	if canParse(bare, nil) {
		return errBadParameters
	}
	return errBadURL
}

// splitParameters splits a URL that is not ambiguous into the URL without its parameters, and the parameters.
func splitParameters(databaseURL string) (bare string, parameters []string) {
	// A password may hold a ? as well.
	hosts := strings.Index(databaseURL, "@") + 1
	begin := strings.Index(databaseURL[hosts:], "?")
	if begin < 0 {
		return databaseURL, nil
	}
	return databaseURL[:hosts+begin], strings.Split(databaseURL[hosts+begin+1:], "&")
}

func canParse(bare string, parameters []string) bool {
	_, err := pgxpool.ParseConfig(bare + "?" + strings.Join(parameters, "&"))
	return err == nil
}

// faultyParameters returns the name of the parameter without which the URL could be used. If there are several faulty parameters, it
// returns the names of all that can't be used by themselves.
func faultyParameters(bare string, parameters []string) (names []string) {
	for i, parameter := range parameters {
		others := slices.Delete(slices.Clone(parameters), i, i+1)
		if name, faulty := isFaulty(bare, parameter, others); faulty {
			return []string{name}
		}
	}
	for _, parameter := range parameters {
		if name, faulty := isFaulty(bare, parameter, nil); faulty && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// isFaulty reports whether a parameter's value can't be used for its name. The driver then knows the name: for an unknown name, or for
// application_name, it accepts every value of the right form.
func isFaulty(bare, parameter string, others []string) (name string, faulty bool) {
	name, value, ok := strings.Cut(parameter, "=")
	if !ok || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "", false
	}
	others = slices.Clip(others)
	return name, !canParse(bare, append(others, parameter)) && canParse(bare, append(others, "application_name="+value))
}

// causeOf returns the cause of a parse error, in brackets, if the cause is known not to quote anything.
func causeOf(err error) string {
	var file *fs.PathError
	var number *strconv.NumError
	switch {
	case errors.As(err, &file):
		return " (" + file.Err.Error() + ")"
	case errors.As(err, &number):
		return " (" + number.Err.Error() + ")"
	default:
		return ""
	}
}

// outsideSources names what the driver uses besides the URL: the environment's variables, or else the files of libpq.
func outsideSources() string {
	var set []string
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") && value != "" {
			set = append(set, name)
		}
	}
	switch slices.Sort(set); len(set) {
	case 0:
		return "the files in ~/.postgresql"
	case 1:
		return "the environment's " + set[0]
	default:
		return "one of the environment's " + strings.Join(set, ", ")
	}
}
