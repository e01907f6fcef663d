// Package settings reads a service's settings from flags and environment variables. Its errors name the setting and the fix.
//
// Every flag --some-name can be given as the environment variable PREFIX_SOME_NAME. The flag takes precedence. A variable that begins with
// the prefix but belongs to no flag is an error, because it is a mistyped setting. Exceptions are variables of removed settings, and those
// that Kubernetes sets for a service.
package settings

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// ErrHelp is returned if the caller asked for help or the version. It was printed, and there is nothing else to do.
var ErrHelp = errors.New("help was printed")

// Program describes a program whose settings are read, and their sources.
type Program struct {
	// Name is the program's name, such as "gateway".
	Name string
	// Description is the text that --help prints before the settings.
	Description string
	// EnvPrefix is the prefix of the names of its environment variables, such as "GATEWAY".
	EnvPrefix string
	// IgnoredVariables are environment variables with that prefix that are not settings of this version, but are of an earlier or a later
	// version. They are not errors.
	IgnoredVariables []string
	// Args are the arguments of the command line, without the program's name.
	Args []string
	// Environ is the environment, as [os.Environ] returns it.
	Environ []string
	// Stdout receives the help and the version.
	Stdout io.Writer
}

// Parse fills into from the program's flags and environment. into is a pointer to a struct with tags of package kong. Parse returns the
// name of the command that was called, after the names of its parent commands ("erasures export"). A command is a field with the tag cmd.
// The command with the tag default:"withargs" is called if the command line names none, and the program's help shows its flags.
//
// A flag with the tag noenv has no environment variable.
//
// Parse adds the flag --version, which prints the program's version.
//
// It returns [ErrHelp] if help or the version was printed. Other errors are for people, one line each.
func (p Program) Parse(into any) (command string, err error) {
	exited := false
	environ := p.environ()
	known := map[string]bool{}
	parser, err := kong.New(into,
		kong.Name(p.Name),
		kong.Description(p.Description),
		kong.Writers(p.Stdout, p.Stdout),
		kong.Exit(func(int) { exited = true }),
		kong.Help(printHelp),
		kong.Embed(&struct {
			Version kong.VersionFlag `short:"v" help:"Print the version."`
		}{}),
		kong.Vars{"version": p.version()},
		kong.PostBuild(func(k *kong.Kong) error {
			return kong.Visit(k.Model, func(node kong.Visitable, next kong.Next) error {
				if flag, ok := node.(*kong.Flag); ok && p.isSetting(flag) {
					known[p.Env(flag.Name)] = true
					flag.Help += defaultOf(flag) + " ($" + p.Env(flag.Name) + ")"
				}
				return next(nil)
			})
		}),
		kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
			if value, ok := environ[p.Env(flag.Name)]; ok && p.isSetting(flag) {
				return value, nil
			}
			return nil, nil
		})),
	)
	if err != nil {
		return "", err
	}
	parsed, err := parser.Parse(p.Args)
	if exited {
		return "", ErrHelp
	}
	var problems []error
	if err != nil {
		problems = append(problems, p.parseProblem(err, commands(parser.Model)))
	}
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		if !known[name] && !slices.Contains(p.IgnoredVariables, name) && !isServiceLink(name, environ[name]) {
			problems = append(problems,
				problem{fmt.Errorf("%s is not a setting: correct or unset this environment variable (%s)", name, seeHelp(p.Name))})
		}
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	if selected := parsed.Selected(); selected != nil {
		command = selected.Path()
	}
	return command, nil
}

// environ returns the environment variables whose names begin with the program's prefix.
func (p Program) environ() map[string]string {
	variables := map[string]string{}
	for _, pair := range p.Environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, p.EnvPrefix+"_") {
			variables[name] = value
		}
	}
	return variables
}

// serviceLink matches the names of the variables that Kubernetes sets in each container for each Service of the namespace. A Service can
// have the program's name.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// isServiceLink reports whether Kubernetes set a variable. GATEWAY_PORT is such a variable if its value is a URL.
func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// version returns the line that --version prints. Go takes the version from the repository's tags and commits when it builds the program.
func (p Program) version() string {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	return fmt.Sprintf("%s %s %s %s/%s", p.Name, version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// commands returns the names of a program's commands.
func commands(program *kong.Application) []string {
	var names []string
	for _, child := range program.Children {
		names = append(names, child.Name)
	}
	return names
}

// printHelp prints the help of a command or of the program. The program's help has the flags of its default command among its own.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if unnamed := ctx.Model.DefaultCmd; unnamed != nil && ctx.Selected() == nil {
		ctx.Model.Flags = append(ctx.Model.Flags, unnamed.Flags...)
		unnamed.Hidden = true
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// parseProblem returns the error of a command line or environment that can't be parsed.
func (p Program) parseProblem(err error, commands []string) error {
	text := err.Error()
	switch {
	case !strings.HasPrefix(text, "unexpected argument"):
	case len(commands) > 0 && !strings.HasPrefix(p.Args[0], "-") && !slices.Contains(commands, p.Args[0]):
		text = "the first argument is not a command: use one of " + strings.Join(commands, ", ") + ", or --version"
	default:
		// The argument may be a part of a secret without quotes, so it is not repeated.
		text = "an argument is not a command and not the value of a flag: put values with spaces in quotes"
	}
	if flag := flagOf.FindStringSubmatch(text); flag != nil && !strings.HasPrefix(text, "unknown flag") {
		text = fmt.Sprintf("--%s / %s%s", flag[1], p.Env(flag[1]), text[len(flag[0]):])
	}
	command := p.Name
	var parseError *kong.ParseError
	if errors.As(err, &parseError) {
		if selected := parseError.Context.Selected(); selected != nil && selected != parseError.Context.Model.DefaultCmd {
			command = selected.FullPath()
		}
	}
	return problem{fmt.Errorf("%s (%s)", text, seeHelp(command))}
}

// seeHelp returns the end of an error about a setting that does not exist or can't be parsed.
func seeHelp(command string) string { return command + " --help lists all settings" }

// flagOf matches the flag at the beginning of an error of package kong.
var flagOf = regexp.MustCompile(`^--([a-z-]+)`)

func defaultOf(flag *kong.Flag) string {
	if flag.Default == "" {
		return ""
	}
	return " Default " + flag.Default + "."
}

func (p Program) isSetting(flag *kong.Flag) bool {
	return flag.Name != "help" && flag.Name != "version" && !flag.Tag.Has("noenv")
}

// Env returns the name of the environment variable of a flag.
func (p Program) Env(flag string) string {
	return p.EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// problem is an error that a change of the settings fixes.
type problem struct{ error }

func (p problem) Unwrap() error { return p.error }

// Problem returns the error of a setting that can't be used. It names the setting as a flag and as an environment variable, and the fix.
func (p Program) Problem(flag, format string, args ...any) error {
	return problem{fmt.Errorf("--%s / %s: %w", flag, p.Env(flag), fmt.Errorf(format, args...))}
}

// ArgumentProblem returns the error of an argument that can't be used. It names the argument and the fix.
func (p Program) ArgumentProblem(format string, args ...any) error {
	return problem{fmt.Errorf(format, args...)}
}

// Exit codes.
const (
	ExitOK       = 0
	ExitFailure  = 1
	ExitSettings = 2
)

// Exit prints err to stderr, line by line with the program's name, and returns the program's exit code: [ExitOK] without an error or after
// [ErrHelp], [ExitSettings] for an error of the command line, of [Program.Problem] or of [Program.ArgumentProblem], otherwise
// [ExitFailure].
func (p Program) Exit(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, ErrHelp) {
		return ExitOK
	}
	// A stderr whose reader does not read must not keep the program from ending.
	stderr = &boundedWriter{w: stderr, warning: func(int) []byte { return nil }}
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintf(stderr, "%s: %s\n", p.Name, strings.TrimSuffix(line, "\n"))
	}
	if errors.As(err, &problem{}) {
		return ExitSettings
	}
	return ExitFailure
}
